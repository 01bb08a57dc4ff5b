"""Requests of different lengths, without padding and with: tokens and requests a second.

python bench/ragged.py [--requests N] [--median TOKENS] [--threads N] [--rounds N] [NAME or FILE ...]

N requests of one text each, whose lengths are drawn once from a log-normal distribution
between 8 and 256 tokens. They are run together by Slipway's `run_many`, one by one, and as one batch padded to the
longest, by Slipway and onnxruntime, each engine in a process of its own, by turns. Ratios are within a round, their
median over rounds. Prints a table and writes bench/results/ragged.json.
"""

import argparse
import json
import multiprocessing
import os
import statistics
import sys
import time
from pathlib import Path

import numpy as np
from models import TEXTS
from names import one_of

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "models"))
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
RESULTS = Path(__file__).resolve().parent / "results"
WAYS = ("slipway together", "slipway one by one", "slipway padded", "onnxruntime one by one", "onnxruntime padded")


def draw_lengths(requests, median, seed=0):
    drawn = np.random.default_rng(seed).lognormal(np.log(median), 0.6, requests)
    return [int(n) for n in np.clip(drawn, 8, 256).round()]


def make_requests(inputs, lengths):
    random, requests = np.random.default_rng(1), []
    for n in lengths:
        feeds = {name: np.zeros((1, n), np.int64) for name in inputs}
        for name in feeds:
            if name == "input_ids":
                feeds[name] = random.integers(1, 1000, (1, n))
            elif name == "attention_mask":
                feeds[name] += 1
        requests.append(feeds)
    return requests


def padded(requests):
    longest = max(r["input_ids"].shape[1] for r in requests)
    return {
        k: np.concatenate([np.pad(r[k], ((0, 0), (0, longest - r[k].shape[1]))) for r in requests]) for k in requests[0]
    }


def _serve(connection, engine, threads, file, lengths):
    runtime = __import__(engine)
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    session = runtime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    requests = make_requests([i.name for i in session.get_inputs()], lengths)
    batch = padded(requests)
    calls = {
        "one by one": lambda: [session.run(None, r) for r in requests],
        "padded": lambda: session.run(None, batch),
    }
    if engine == "slipway":
        assert session.packing.packed, session.packing.reason
        calls["together"] = lambda: session.run_many(None, requests)
    for call in calls.values():
        call()
    connection.send(None)
    while (way := connection.recv()) is not None:
        start = time.perf_counter()
        calls[way]()
        connection.send(time.perf_counter() - start)


class Engine:
    def __init__(self, *arguments):
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, *arguments), daemon=True)
        self._process.start()
        theirs.close()
        self._connection.recv()

    def seconds(self, way):
        self._connection.send(way)
        return self._connection.recv()

    def close(self):
        self._connection.send(None)
        self._process.join(10)


def measure(file, threads, lengths, rounds):
    """Seconds by way, one a round."""
    engines = {e: Engine(e, threads, file, lengths) for e in ("slipway", "onnxruntime")}
    times = {way: [] for way in WAYS}
    for number in range(rounds):
        for way in WAYS if number % 2 == 0 else reversed(WAYS):
            engine, _, how = way.partition(" ")
            times[way].append(engines[engine].seconds(how))
    for engine in engines.values():
        engine.close()
    return times


def report(name, lengths, times):
    together = times["slipway together"]
    result = {
        "requests": len(lengths),
        "tokens": sum(lengths),
        "padded_tokens": max(lengths) * len(lengths),
        "ways": {},
    }
    print(f"{name}: {len(lengths)} requests, {sum(lengths)} tokens, {result['padded_tokens']} when padded")
    for way, spent in times.items():
        seconds = statistics.median(spent)
        ratio = statistics.median(t / mine for t, mine in zip(spent, together, strict=True))
        result["ways"][way] = {
            "ms": seconds * 1e3,
            "requests_per_s": len(lengths) / seconds,
            "tokens_per_s": sum(lengths) / seconds,
            "together_is_faster": ratio,
        }
        print(
            f"  {way:24} {seconds * 1e3:8.1f} ms {len(lengths) / seconds:8.1f} requests/s "
            f"{sum(lengths) / seconds:9.0f} tokens/s   together: {ratio:.2f} times as fast",
            flush=True,
        )
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=32)
    parser.add_argument("--median", type=int, default=40)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("names", nargs="*", default=["minilm_l6", "bert_base"], type=one_of(TEXTS))
    a = parser.parse_args()
    lengths, results = draw_lengths(a.requests, a.median), {}
    for name in a.names:
        file = name
        if not Path(name).exists():
            import zoo

            file = str(zoo.export(name, "dynamo", 18, full=True))
        results[Path(name).stem] = report(Path(name).stem, lengths, measure(file, a.threads, lengths, a.rounds))
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "ragged.json").write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
