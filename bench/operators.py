"""Slipway beside onnxruntime on single operators: the least of many runs made in turns, one process.

A turn is a pause until no thread of the process spins any more (onnxruntime's do for 50 ms after a run, and would take
a core from the other engine), one run that is not counted and four that are.

python bench/operators.py [--threads N] [--rounds N] [NAME ...]      # NAME: part of a row's name
"""

import argparse
import os
import statistics
import time

import numpy as np
import slipway

from onnx import TensorProto, helper, numpy_helper

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

RNG = np.random.default_rng(0)
F32, F16, F64, I64 = np.float32, np.float16, np.float64, np.int64


def normal(*shape, dtype=F32):
    return RNG.standard_normal(shape).astype(dtype)


def recurrent(op, gates, batch, hidden=256, steps=100, size=256):
    w, r = normal(1, gates * hidden, size) / 16, normal(1, gates * hidden, hidden) / 16
    held = {"w": w, "r": r, "b": normal(1, 2 * gates * hidden) / 16}
    return row(f"{op} h{hidden} t{steps} b{batch}", op, {"x": normal(steps, batch, size)}, held, hidden_size=hidden)


def row(name, op, feeds, held=None, outputs=1, domain="", **attributes):
    """A benchmark: `feeds` go in with each run, `held` are initializers; a null array leaves an input out."""
    return name, op, feeds, held or {}, outputs, domain, attributes


def rows():
    image, matrix, tokens = normal(1, 64, 112, 112), normal(1024, 1024), normal(8, 128, 768)
    index = RNG.integers(0, 30000, (8, 128))
    yield row("Resize nearest 2x", "Resize", {"x": image}, {"roi": None, "s": np.array([1, 1, 2, 2], F32)})
    yield row(
        "Resize linear 2x", "Resize", {"x": image}, {"roi": None, "s": np.array([1, 1, 2, 2], F32)}, mode="linear"
    )
    yield row("Resize cubic 2x", "Resize", {"x": image}, {"roi": None, "s": np.array([1, 1, 2, 2], F32)}, mode="cubic")
    yield row("Transpose 1024^2", "Transpose", {"x": matrix}, perm=[1, 0])
    yield row("Transpose heads", "Transpose", {"x": normal(8, 128, 12, 64)}, perm=[0, 2, 1, 3])
    yield row("Transpose NCHW-NHWC", "Transpose", {"x": image}, perm=[0, 2, 3, 1])
    yield row("Transpose fp16 1024^2", "Transpose", {"x": matrix.astype(F16)}, perm=[1, 0])
    yield row("Gather rows", "Gather", {"x": normal(30000, 256), "i": index})
    yield row("Gather columns", "Gather", {"x": matrix, "i": RNG.integers(0, 1024, 256)}, axis=1)
    yield row("GatherElements", "GatherElements", {"x": matrix, "i": RNG.integers(0, 1024, (1024, 1024))}, axis=1)
    yield row("ReduceSum rows", "ReduceSum", {"x": tokens}, {"a": np.array([-1])})
    yield row("ReduceMean image", "ReduceMean", {"x": image}, {"a": np.array([2, 3])})
    yield row("ReduceMax columns", "ReduceMax", {"x": matrix}, {"a": np.array([0])})
    yield row("ReduceSum int64", "ReduceSum", {"x": RNG.integers(0, 9, (512, 1024))}, {"a": np.array([1])})
    yield row("Softmax 1024^2", "Softmax", {"x": matrix})
    yield row("Softmax axis 1", "Softmax", {"x": normal(8, 21, 128, 128)}, axis=1)
    yield row("Softmax fp16", "Softmax", {"x": matrix.astype(F16)})
    yield row("LogSoftmax", "LogSoftmax", {"x": matrix})
    yield row("TopK 10 of 1000", "TopK", {"x": normal(64, 1000)}, {"k": np.array([10])}, outputs=2)
    yield row("TopK 100 of 100k", "TopK", {"x": normal(1, 100000)}, {"k": np.array([100])}, outputs=2)
    yield row("ArgMax 1000", "ArgMax", {"x": normal(256, 1000)}, axis=-1)
    yield row("ArgMax channels", "ArgMax", {"x": normal(1, 21, 256, 256)}, axis=1)
    boxes = np.sort(RNG.random((1, 1000, 2, 2)).astype(F32), 2).reshape(1, 1000, 4)
    limits = {"n": np.array([100]), "i": np.array([0.5], F32), "t": np.array([0.3], F32)}
    yield row("NonMaxSuppression", "NonMaxSuppression", {"b": boxes, "s": RNG.random((1, 8, 1000)).astype(F32)}, limits)
    yield row(
        "Einsum bhid,bhjd",
        "Einsum",
        {"a": normal(2, 12, 128, 64), "b": normal(2, 12, 128, 64)},
        equation="bhid,bhjd->bhij",
    )
    yield row("Einsum bij,jk", "Einsum", {"a": normal(8, 128, 256), "b": normal(256, 256)}, equation="bij,jk->bik")
    yield row("Pad image", "Pad", {"x": image}, {"p": np.array([0, 0, 1, 1, 0, 0, 1, 1])})
    yield row("Pad reflect", "Pad", {"x": image}, {"p": np.array([0, 0, 3, 3, 0, 0, 3, 3])}, mode="reflect")
    yield row("Concat channels", "Concat", {"a": image, "b": normal(1, 64, 112, 112)}, axis=1)
    yield row("Concat last", "Concat", {"a": tokens, "b": normal(8, 128, 64)}, axis=2)
    yield row("Split last", "Split", {"x": tokens}, outputs=3, axis=2, num_outputs=3)
    yield row(
        "Slice step 2",
        "Slice",
        {"x": image},
        {"s": np.array([0, 0]), "e": np.array([112, 112]), "a": np.array([2, 3]), "t": np.array([2, 2])},
    )
    yield row("Cast fp32-fp16", "Cast", {"x": matrix}, to=TensorProto.FLOAT16)
    yield row("Cast fp16-fp32", "Cast", {"x": matrix.astype(F16)}, to=TensorProto.FLOAT)
    yield row("Cast int64-fp32", "Cast", {"x": RNG.integers(0, 99, (1024, 1024))}, to=TensorProto.FLOAT)
    yield row("Cast fp32-int64", "Cast", {"x": matrix}, to=TensorProto.INT64)
    yield row("Cast fp32-fp64", "Cast", {"x": matrix}, to=TensorProto.DOUBLE)
    for op, gates in (("LSTM", 4), ("GRU", 3), ("RNN", 1)):
        yield recurrent(op, gates, 1)
        yield recurrent(op, gates, 8)
    yield row(
        "ConvTranspose 2x2",
        "ConvTranspose",
        {"x": normal(1, 128, 28, 28)},
        {"w": normal(128, 64, 2, 2)},
        strides=[2, 2],
    )
    yield row(
        "ConvTranspose 4x4",
        "ConvTranspose",
        {"x": normal(1, 64, 28, 28)},
        {"w": normal(64, 32, 4, 4)},
        strides=[2, 2],
        pads=[1, 1, 1, 1],
    )
    yield row("Pow tensor", "Pow", {"x": np.abs(matrix), "y": normal(1024, 1024)})
    yield row("Pow 2.5", "Pow", {"x": np.abs(matrix)}, {"y": np.array(2.5, F32)})
    for op in ("Sin", "Cos", "Exp", "Log", "Tanh", "Sigmoid", "Erf", "Sqrt", "Gelu", "Softplus", "Floor", "Round"):
        yield row(op, op, {"x": np.abs(matrix) if op in ("Log", "Sqrt") else matrix})
    yield row("Exp fp16", "Exp", {"x": matrix.astype(F16)})
    yield row("Add", "Add", {"x": matrix, "y": normal(1024, 1024)})
    yield row("Add row", "Add", {"x": matrix, "y": normal(1024)})
    yield row("Mul fp64", "Mul", {"x": matrix.astype(F64), "y": normal(1024, 1024, dtype=F64)})
    yield row("Add int64", "Add", {"x": RNG.integers(0, 9, (1024, 1024)), "y": RNG.integers(0, 9, (1024, 1024))})
    yield row("MatMul fp64", "MatMul", {"x": normal(256, 256, dtype=F64), "y": normal(256, 256, dtype=F64)})
    yield row("Where", "Where", {"c": matrix > 0, "x": matrix, "y": normal(1024, 1024)})
    yield row("Greater fp32", "Greater", {"x": matrix, "y": normal(1024, 1024)})
    yield row("Equal int64", "Equal", {"x": RNG.integers(0, 9, (1024, 1024)), "y": RNG.integers(0, 9, (1024, 1024))})
    per_channel = {"s": normal(64), "b": normal(64), "m": normal(64), "v": np.abs(normal(64)) + 1}
    yield row("BatchNormalization", "BatchNormalization", {"x": image}, per_channel)
    yield row("InstanceNormalization", "InstanceNormalization", {"x": image}, {"s": normal(64), "b": normal(64)})
    yield row("LayerNormalization", "LayerNormalization", {"x": tokens}, {"s": normal(768), "b": normal(768)})
    caches = {"c": normal(128, 32), "s": normal(128, 32), "p": np.arange(128)[None].repeat(8, 0)}
    yield row("RotaryEmbedding", "RotaryEmbedding", {"x": normal(8, 12, 128, 64)}, caches)
    yield row("CumSum", "CumSum", {"x": matrix}, {"a": np.array(1)})
    yield row("Tile", "Tile", {"x": normal(1, 64, 56, 56)}, {"r": np.array([4, 1, 1, 1])})
    yield row("Expand", "Expand", {"x": normal(8, 1, 128)}, {"s": np.array([8, 128, 128])})
    yield row("OneHot", "OneHot", {"i": index[:, :64]}, {"d": np.array(1000), "v": np.array([0, 1], F32)})
    yield row("ScatterND", "ScatterND", {"x": matrix, "i": RNG.permutation(1024)[:256, None], "u": normal(256, 1024)})
    yield row("NonZero", "NonZero", {"x": (matrix > 1).astype(I64)})
    yield row("MaxPool 3x3", "MaxPool", {"x": image}, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    yield row("AveragePool 2x2", "AveragePool", {"x": image}, kernel_shape=[2, 2], strides=[2, 2])
    yield row("DepthToSpace", "DepthToSpace", {"x": image}, blocksize=2)
    grid = RNG.uniform(-1, 1, (1, 112, 112, 2)).astype(F32)
    yield row("GridSample linear", "GridSample", {"x": image, "g": grid})
    yield row("GridSample nearest", "GridSample", {"x": image, "g": grid}, mode="nearest")
    offsets = {"x": normal(1, 64, 28, 28), "w": normal(64, 64, 3, 3), "o": normal(1, 18, 28, 28)}
    yield row("DeformConv 3x3", "DeformConv", offsets, pads=[1, 1, 1, 1])


def model(op, feeds, held, outputs, domain, attributes):
    names = [k if v is not None else "" for k, v in {**feeds, **held}.items()]
    results = [f"out{i}" for i in range(outputs)]
    graph = helper.make_graph(
        [helper.make_node(op, names, results, domain=domain, **attributes)],
        "bench",
        [helper.make_tensor_value_info(k, helper.np_dtype_to_tensor_dtype(v.dtype), v.shape) for k, v in feeds.items()],
        [helper.make_empty_tensor_value_info(name) for name in results],
        [numpy_helper.from_array(v, k) for k, v in held.items() if v is not None],
    )
    imports = [helper.make_opsetid("", 24)] + ([helper.make_opsetid(domain, 1)] if domain else [])
    proto = helper.make_model(graph, opset_imports=imports, ir_version=10)
    del proto.graph.output[:]
    proto.graph.output.extend(onnx_outputs(proto, results))
    return proto.SerializeToString()


def onnx_outputs(proto, names):
    """The outputs with the types that ONNX infers."""
    from onnx import shape_inference

    inferred = shape_inference.infer_shapes(proto, data_prop=True).graph.value_info
    types = {v.name: v.type.tensor_type.elem_type for v in inferred}
    return [helper.make_tensor_value_info(n, types.get(n, TensorProto.FLOAT), None) for n in names]


def measure(case, threads, rounds):
    """Microseconds for Slipway and onnxruntime, and the median of the ratios of neighbouring turns."""
    import onnxruntime

    _, op, feeds, held, outputs, domain, attributes = case
    data = model(op, feeds, held, outputs, domain, attributes)
    runs = []
    for runtime in (slipway, onnxruntime):
        options = runtime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 4
        session = runtime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        runs.append(lambda session=session: session.run(None, feeds))
    turns = ([], [])
    for _ in range(rounds):
        for run, least in zip(runs, turns, strict=True):
            rest()
            run()
            least.append(min(seconds(run) for _ in range(4)) * 1e6)
    ratios = [theirs / ours for ours, theirs in zip(*turns, strict=True)]
    return min(turns[0]), min(turns[1]), statistics.median(ratios)


def rest(slice_seconds=0.025):
    """Waits until the process uses no CPU; a slice is some ticks of the clock that counts what other threads use."""
    while True:
        before = time.process_time()
        time.sleep(slice_seconds)
        if time.process_time() - before < slice_seconds / 10:
            return


def seconds(run):
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("names", nargs="*")
    arguments = parser.parse_args()
    cases = [c for c in rows() if not arguments.names or any(n.lower() in c[0].lower() for n in arguments.names)]
    if not cases:
        parser.error(f"no operator's row has {' or '.join(map(repr, arguments.names))} in its name")
    print(f"{'operator':24} {'Slipway us':>11} {'ort us':>11} {'least':>6} {'median':>7}   {arguments.threads} threads")
    for case in cases:
        try:
            ours, theirs, ratio = measure(case, arguments.threads, arguments.rounds)
        except Exception as e:
            print(f"{case[0]:24} {str(e).splitlines()[0][:90]}", flush=True)
            continue
        print(f"{case[0]:24} {ours:11.0f} {theirs:11.0f} {theirs / ours:6.2f} {ratio:7.2f}", flush=True)


if __name__ == "__main__":
    main()
