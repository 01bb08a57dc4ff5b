"""ONNX's own backend tests on Slipway, and the ledger of what they say.

python tests/conformance/conformance.py            # runs all of them and writes ledger.txt
python tests/conformance/conformance.py NAME ...   # runs those whose name holds one of these, and writes nothing

The tests are all that the onnx package holds or generates. A test passes where each output has the type, shape and
values, within the test's own tolerances, that the test wants.
"""

import argparse
import collections
import multiprocessing
import os
import re
import sys
import warnings
from multiprocessing import connection
from pathlib import Path
from typing import NamedTuple

import numpy as np

import onnx
from onnx import numpy_helper

LEDGER = Path(__file__).with_name("ledger.txt")
FOLDERS = ("simple", "pytorch-converted", "pytorch-operator")
SECONDS = 60  # One test may take that long.
PASS = "pass"


class Case(NamedTuple):
    name: str  # "node/test_abs"
    model: bytes
    sets: list  # Pairs of inputs and outputs: arrays, lists, or None.
    rtol: float
    atol: float


def plain(value):
    """A value of ONNX's as an array, a list of them, or None."""
    if isinstance(value, onnx.TensorProto):
        return numpy_helper.to_array(value)
    if isinstance(value, onnx.SequenceProto):
        return numpy_helper.to_list(value)
    if isinstance(value, onnx.OptionalProto):
        return plain(numpy_helper.to_optional(value))
    return value


def parse(path, kind):
    protos = {"sequence_type": onnx.SequenceProto, "optional_type": onnx.OptionalProto}
    proto = protos.get(kind.WhichOneof("value"), onnx.TensorProto)()
    proto.ParseFromString(path.read_bytes())
    return plain(proto)


def fed_inputs(model):
    held = {i.name for i in model.graph.initializer}
    return [i for i in model.graph.input if i.name not in held]


def node_cases():
    from onnx.backend.test.case.node import collect_testcases

    for case in collect_testcases(None):
        sets = [([plain(v) for v in ins], [plain(v) for v in outs]) for ins, outs in case.data_sets]
        yield Case(f"node/{case.name}", case.model.SerializeToString(), sets, case.rtol, case.atol)


def folder_cases(kind):
    from onnx.backend.test.loader import load_model_tests

    for case in load_model_tests(kind=kind):
        folder = Path(case.model_dir)
        data = (folder / "model.onnx").read_bytes()
        graph = onnx.load_model_from_string(data).graph
        sets = []
        for values in sorted(folder.glob("test_data_set_*")):
            count = len(list(values.glob("input_*.pb")))
            fed = fed_inputs(onnx.load_model_from_string(data))
            inputs = graph.input if count > len(fed) else fed
            outputs = range(len(list(values.glob("output_*.pb"))))
            sets.append(
                (
                    [parse(values / f"input_{i}.pb", inputs[i].type) for i in range(count)],
                    [parse(values / f"output_{i}.pb", graph.output[i].type) for i in outputs],
                )
            )
        yield Case(f"{kind}/{case.name}", data, sets, case.rtol, case.atol)


def light_cases():
    """Known networks whose weights the file makes; the input is a ramp from 0 to 1."""
    folder = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
    for path in sorted(folder.glob("*.onnx")):
        data = path.read_bytes()
        feeds = []
        for i in fed_inputs(onnx.load_model_from_string(data)):
            shape = [d.dim_value for d in i.type.tensor_type.shape.dim]
            count = int(np.prod(shape))
            feeds.append(np.arange(count).reshape(shape).astype(np.float32) / np.float32(count))
        want = parse(folder / f"{path.stem}_output_0.pb", onnx.TypeProto())
        yield Case(f"light/{path.stem}", data, [(feeds, [want])], 1e-3, 1e-5)


def cases():
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        found = [*node_cases(), *light_cases()]
        for kind in FOLDERS:
            found += folder_cases(kind)
    return sorted(found, key=lambda c: c.name)


def difference(got, want, rtol, atol, where):
    """What keeps `got` from being `want`; empty where nothing does."""
    if want is None:
        return "" if got is None else f"{where} should be nothing"
    if isinstance(want, (list, tuple)):
        if not isinstance(got, (list, tuple)) or len(got) != len(want):
            return f"{where} should be a sequence of {len(want)}"
        differences = (
            difference(g, w, rtol, atol, f"{where}[{i}]") for i, (g, w) in enumerate(zip(got, want, strict=True))
        )
        return next((d for d in differences if d), "")
    got, want = np.asarray(got), np.asarray(want)
    if got.shape != want.shape:
        return f"{where} has shape {list(got.shape)}, not {list(want.shape)}"
    if want.dtype.kind in "OUS":
        return "" if [*map(str, got.flat)] == [*map(str, want.flat)] else f"{where} has other strings"
    if got.dtype != want.dtype:
        return f"{where} is {got.dtype}, not {want.dtype}"
    wide = {"b": np.int64, "i": np.int64, "u": np.int64, "c": np.complex128}.get(want.dtype.kind, np.float64)
    with np.errstate(all="ignore"):
        same = np.allclose(got.astype(wide), want.astype(wide), rtol=rtol, atol=atol, equal_nan=wide is not np.int64)
    return "" if same else f"{where} has other values"


def run(case):
    """ "pass", or in a line why not."""
    import slipway

    try:
        session = slipway.InferenceSession(case.model, providers=["CPUExecutionProvider"])
        names = [i.name for i in session.get_inputs()]
        for inputs, wanted in case.sets:
            feeds = {n: np.asarray(v) if isinstance(v, np.generic) else v for n, v in zip(names, inputs, strict=False)}
            outputs = session.run(None, feeds)
            if len(outputs) < len(wanted):
                return f"gives {len(outputs)} outputs, not {len(wanted)}"
            for i, (got, want) in enumerate(zip(outputs, wanted, strict=False)):
                if differs := difference(got, want, case.rtol, case.atol, f"output {i}"):
                    return differs
    except Exception as e:
        return re.sub(r"\s+", " ", f"{type(e).__name__}: {e}")[:160]
    return PASS


def work(todo, pipe):
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    for case in todo:
        pipe.send(case.name)
        pipe.send(run(case))


def run_all(todo, workers=None):
    """The result of each case by its name. A case that ends its worker process, or takes too long, fails alone."""
    context = multiprocessing.get_context("fork")  # The cases, which take seconds to make, come along.
    workers = workers or len(os.sched_getaffinity(0))
    results, running = {}, {}

    def start(share):
        if share:
            here, there = context.Pipe(duplex=False)
            process = context.Process(target=work, args=(share, there), daemon=True)
            process.start()
            there.close()
            running[here] = [process, collections.deque(share), False]

    for i in range(workers):
        start(todo[i::workers])
    while running:
        ready = connection.wait(list(running), SECONDS)
        for pipe in ready or list(running):
            process, share, begun = running[pipe]
            try:
                message = pipe.recv() if ready else None
            except EOFError:
                message = None
            if message is not None and not begun:
                running[pipe][2] = True
            elif message is not None:
                results[share.popleft().name] = message
                running[pipe][2] = False
            if message is not None:
                continue
            del running[pipe]
            process.kill()
            process.join()
            if share:
                ended = f"ended the process ({process.exitcode})" if ready else f"took more than {SECONDS} s"
                results[share.popleft().name] = ended
                start(list(share))
    return results


def read_ledger():
    """Test names and what each is known to give."""
    lines = LEDGER.read_text().splitlines() if LEDGER.exists() else []
    return dict(line.split(maxsplit=1) for line in lines if line and not line.startswith("#"))


def write_ledger(results):
    passed = sum(r == PASS for r in results.values())
    head = [
        f"# ONNX's backend tests (onnx {onnx.__version__}) on Slipway: {passed} of {len(results)} pass.",
        "# Written by conformance.py; test_conformance.py fails where this is not so.",
    ]
    LEDGER.write_text("\n".join(head + [f"{name} {results[name]}" for name in sorted(results)]) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*")
    arguments = parser.parse_args()
    chosen = [c for c in cases() if not arguments.names or any(n in c.name for n in arguments.names)]
    results = run_all(chosen)
    if arguments.names:
        for name, result in results.items():
            print(name, result)
    else:
        write_ledger(results)
    failed = sum(r != PASS for r in results.values())
    print(f"{len(results) - failed} passed, {failed} failed")
    return 1 if arguments.names and failed else 0


if __name__ == "__main__":
    sys.exit(main())
