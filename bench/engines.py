"""An engine in a process of its own, which loads a model and then runs it when it is told to.

Engines that share a process share its threads, caches and peak of memory; those here share nothing, and only one of
them runs at a time.
"""

import multiprocessing
import os
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "models"))
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")


def peak_mb():
    """The process's largest resident size in MB. VmHWM: ru_maxrss starts at the parent's value."""
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1024


def _load(engine, threads, source, feeds):
    """(a call that gives the outputs, seconds to load, peak MB before)."""
    if engine == "torch":
        import torch
        import zoo

        torch.set_num_threads(threads)
        __import__("transformers")
        base, start = peak_mb(), time.perf_counter()
        model = zoo.build(source, full=True)
        tensors = [torch.from_numpy(v) for v in feeds.values()]

        def run():
            with torch.inference_mode():
                return [model(*tensors).numpy()]

        return run, time.perf_counter() - start, base
    runtime = __import__(engine)
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    base, start = peak_mb(), time.perf_counter()
    session = runtime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    return (lambda: session.run(None, feeds)), time.perf_counter() - start, base


def _serve(connection, engine, threads, source, feeds):
    try:
        run, load, base = _load(engine, threads, source, feeds)
        start = time.perf_counter()
        outputs = run()
        connection.send({"load_ms": load * 1e3, "first_ms": (time.perf_counter() - start) * 1e3, "output": outputs[0]})
        for _ in range(3):
            run()
        while (seconds := connection.recv()) is not None:
            times, end = [], time.perf_counter() + seconds
            while len(times) < 2 or time.perf_counter() < end:
                start = time.perf_counter()
                run()
                times.append((time.perf_counter() - start) * 1e3)
            connection.send((times, peak_mb() - base))
    except (EOFError, BrokenPipeError):
        pass
    except Exception as error:
        connection.send(f"{type(error).__name__}: {error}")


class Engine:
    """One engine with one model; `source` is a file or its bytes (for torch, the model's name in the zoo)."""

    def __init__(self, name, threads, source, feeds):
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, name, threads, source, feeds), daemon=True)
        self._process.start()
        theirs.close()
        self.first = self._receive()
        self.rounds, self.times, self.mb = [], [], 0.0

    def _receive(self):
        try:
            answer = self._connection.recv()
        except EOFError:
            answer = "the process ended"
        if isinstance(answer, str):
            raise RuntimeError(answer)
        return answer

    def round(self, seconds):
        """Runs for that long, at least twice; keeps the median in milliseconds."""
        self._connection.send(seconds)
        times, self.mb = self._receive()
        self.rounds.append(statistics.median(times))
        self.times += times

    def close(self):
        self._connection.send(None)
        self._process.join(10)
        if self._process.is_alive():
            self._process.kill()


def take_turns(engines, rounds, seconds):
    """Rounds in which each engine runs alone, in an order that turns about."""
    for i in range(rounds):
        for engine in engines if i % 2 == 0 else reversed(engines):
            engine.round(seconds)


def ratio(subject, peers):
    """How many times as fast as the best of the peers: a ratio within a round, the median over rounds."""
    best = [min(times) for times in zip(*(p.rounds for p in peers), strict=True)]
    return statistics.median(peer / mine for peer, mine in zip(best, subject.rounds, strict=True))
