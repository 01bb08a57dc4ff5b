"""Fails where Slipway has become slower: a ratio to onnxruntime over 15% under the one recorded.

python bench/guard.py [--record] [NAME ...]    half a minute; SLIPWAY_ISA=avx2 guards that instruction set

Small models made on the spot run in both engines by turns in this process, on one thread. What counts is the median
over rounds of the ratio within a round, and what falls is measured again, with new sessions and at more length, before
it fails: where memory comes to lie alone makes a tenth. Ratios are recorded in guard.json by Slipway's instruction set
and the kind of CPU, of which onnxruntime uses what there is; where there are none for those, the guard says so and
passes. --record keeps the least of five.
"""

import argparse
import json
import os
import statistics
import sys
import time
from pathlib import Path

import numpy as np
import onnxruntime
import slipway
from names import one_of

import onnx
from onnx import helper

RECORDED = Path(__file__).resolve().parent / "guard.json"
FALL = 0.15
TRIES = 4
ROUNDS = 9
ROUND_SECONDS = 0.03


class Model:
    """A graph of float inputs, built node by node; weights are seeded."""

    def __init__(self):
        self.nodes, self.weights, self.inputs, self.feeds = [], [], [], {}
        self.random = np.random.default_rng(0)

    def input(self, name, *shape):
        self.inputs.append(helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape))
        self.feeds[name] = self.random.standard_normal(shape, np.float32)
        return name

    def weight(self, *shape):
        name = f"w{len(self.weights)}"
        fan_in = int(np.prod(shape[1:])) if len(shape) == 4 else shape[0]
        values = self.random.standard_normal(shape, np.float32) / np.float32(fan_in**0.5)
        self.weights.append(onnx.numpy_helper.from_array(values, name))
        return name

    def ints(self, *values):
        name = f"i{len(self.weights)}"
        self.weights.append(onnx.numpy_helper.from_array(np.array(values, np.int64), name))
        return name

    def add(self, op, *inputs, **attributes):
        name = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [name], **attributes))
        return name

    def linear(self, x, k, n):
        return self.add("Add", self.add("MatMul", x, self.weight(k, n)), self.weight(n))

    def conv(self, x, c, oc, side=3, **attributes):
        pads = [side // 2] * 4
        group = attributes.get("group", 1)
        weight = self.weight(oc, c // group, side, side)
        return self.add("Conv", x, weight, self.weight(oc), kernel_shape=[side, side], pads=pads, **attributes)

    def bytes(self, output):
        outputs = [helper.make_tensor_value_info(output, onnx.TensorProto.FLOAT, None)]
        graph = helper.make_graph(self.nodes, "guard", self.inputs, outputs, self.weights)
        return helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)]).SerializeToString()


def one_node(m):
    return m.add("Relu", m.input("x", 1, 4))


def mlp(m):
    x = m.input("x", 128, 384)
    return m.linear(m.add("Relu", m.linear(x, 384, 1536)), 1536, 384)


def row(m):
    return m.linear(m.add("Relu", m.linear(m.input("x", 1, 768), 768, 3072)), 3072, 768)


def convolutions(m):
    x = m.input("x", 1, 64, 28, 28)
    y = m.conv(m.add("Relu", m.conv(x, 64, 64)), 64, 64)
    return m.add("Relu", m.add("Add", x, y))


def mobile(m):
    x = m.input("x", 1, 32, 28, 28)
    y = m.add("Relu", m.conv(x, 32, 192, 1))
    y = m.add("Relu", m.conv(y, 192, 192, 3, group=192))
    return m.add("Add", x, m.conv(y, 192, 32, 1))


def attention(m, tokens=128, heads=6, size=32):
    width = heads * size
    x = m.input("x", 1, tokens, width)

    def split(y, perm):
        return m.add("Transpose", m.add("Reshape", y, m.ints(1, tokens, heads, size)), perm=perm)

    q, k, v = (split(m.linear(x, width, width), p) for p in ([0, 2, 1, 3], [0, 2, 3, 1], [0, 2, 1, 3]))
    scale = onnx.numpy_helper.from_array(np.array(size**-0.5, np.float32), "scale")
    m.weights.append(scale)
    weights = m.add("Softmax", m.add("Mul", m.add("MatMul", q, k), "scale"), axis=-1)
    y = m.add("Transpose", m.add("MatMul", weights, v), perm=[0, 2, 1, 3])
    y = m.linear(m.add("Reshape", y, m.ints(1, tokens, width)), width, width)
    return m.add("LayerNormalization", m.add("Add", x, y), m.weight(width), m.weight(width))


def chain(m):
    x = m.input("x", 256, 1024)
    return m.add("Mul", m.add("Sigmoid", m.add("Add", m.add("Tanh", x), m.weight(1024))), x)


def softmax(m):
    return m.add("Softmax", m.input("x", 256, 1024), axis=-1)


MODELS = (one_node, mlp, row, convolutions, mobile, attention, chain, softmax)


def machine_key():
    """Slipway's instruction set, and the kind of CPU: its maker's name, family and model."""
    lines = Path("/proc/cpuinfo").read_text().split("\n\n")[0].splitlines()
    told = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    flags = told.get("flags", "").split()
    best = "avx3" if "avx512f" in flags else "avx2" if "avx2" in flags else "other"
    kind = " ".join(told.get(k, "?") for k in ("vendor_id", "cpu family", "model"))
    return f"{os.environ.get('SLIPWAY_ISA') or best} on {kind}"


def sessions(build):
    """A call of Slipway and one of onnxruntime, which have agreed on the result."""
    model = Model()
    data = model.bytes(build(model))
    calls = []
    for runtime in (slipway, onnxruntime):
        options = runtime.SessionOptions()
        options.intra_op_num_threads = 1
        run = runtime.InferenceSession(data, options, providers=["CPUExecutionProvider"]).run
        calls.append(lambda run=run: run(None, model.feeds))
    np.testing.assert_allclose(calls[0]()[0], calls[1]()[0], rtol=1e-3, atol=1e-3)
    return calls


def spent(call, seconds):
    """The median of one call's time over that long."""
    times, end = [], time.perf_counter() + seconds
    while (start := time.perf_counter()) < end or len(times) < 3:
        call()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def measure(calls, rounds=ROUNDS, seconds=ROUND_SECONDS):
    """onnxruntime's time by Slipway's, the median over rounds."""
    for call in calls:
        spent(call, seconds)
    ratios = []
    for i in range(rounds):
        order = calls if i % 2 == 0 else calls[::-1]
        times = {call: spent(call, seconds) for call in order}
        ratios.append(times[calls[1]] / times[calls[0]])
    return statistics.median(ratios)


def falls(ratio, recorded):
    return ratio < recorded * (1 - FALL)


def confirmed(ratio, recorded, again):
    """The best ratio found: where the first one falls, again(i) measures up to TRIES times more."""
    for i in range(TRIES):
        if not falls(ratio, recorded):
            break
        ratio = max(ratio, again(i))
    return ratio


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--record", action="store_true")
    parser.add_argument("names", nargs="*", type=one_of([b.__name__ for b in MODELS]))
    a = parser.parse_args()
    builds = [b for b in MODELS if not a.names or b.__name__ in a.names]
    everything = json.loads(RECORDED.read_text()) if RECORDED.exists() else {}
    key = machine_key()
    recorded = everything.get(key, {})
    if not recorded and not a.record:
        print(f"no ratios are recorded for {key}: python bench/guard.py --record")
    fallen = []
    for build in builds:
        name = build.__name__
        ratio = measure(sessions(build))
        if a.record:
            recorded[name] = round(min([ratio, *(measure(sessions(build)) for _ in range(4))]), 3)
            print(f"{name:14} {recorded[name]:.2f}x onnxruntime", flush=True)
            continue
        if name in recorded:
            ratio = confirmed(
                ratio, recorded[name], lambda i, b=build: measure(sessions(b), 2 * ROUNDS, (i + 1) * ROUND_SECONDS)
            )
            if falls(ratio, recorded[name]):
                fallen.append(name)
        was = f"recorded {recorded[name]:.2f}x" if name in recorded else "not recorded"
        print(f"{name:14} {ratio:.2f}x onnxruntime, {was}{' FALLEN' if name in fallen else ''}", flush=True)
    if a.record:
        everything[key] = recorded
        RECORDED.write_text(json.dumps(everything, indent=1, sort_keys=True) + "\n")
    if fallen:
        sys.exit(f"over {FALL:.0%} slower against onnxruntime than recorded for {key}: {', '.join(fallen)}")


if __name__ == "__main__":
    main()
