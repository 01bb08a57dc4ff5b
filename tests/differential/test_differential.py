"""Random nodes on Slipway beside onnx's reference evaluator and onnxruntime. A result is right where it is that of one
of the two: each has errors of its own. SLIPWAY_DIFFERENTIAL=N makes N nodes of each operator, by default 12;
SLIPWAY_SEED=N others."""

import os
import warnings

import cases
import ml_dtypes
import numpy as np
import pytest
import slipway
from onnx.reference import ReferenceEvaluator

import onnx
from onnx import helper

onnxruntime = pytest.importorskip("onnxruntime")

COUNT = int(os.environ.get("SLIPWAY_DIFFERENTIAL", "12"))
SEED = int(os.environ.get("SLIPWAY_SEED", "0"))
# Relative to the largest value, or to 0.01 where that is less. Attributes are floats: what the peers make of them in
# double differs by as much.
BOUNDS = {"float64": 1e-6, "float32": 2e-5, "float16": 4e-3, "bfloat16": 5e-2}
# What no peer gets right.
KNOWN = {
    ("ReduceSumSquare", "uint32"): "the reference gives uint64",
    ("ReduceSumSquare", "uint64"): "the reference gives float64",
    ("ReduceSumSquare", "int32"): "the reference gives int64, and onnxruntime keeps empty axes",
    ("Pad", "object"): "the reference pads strings with zeros",
    ("Trilu", "object"): "the same",
}
ROUNDED = ("Resize", "ReduceLogSumExp", "ReduceLogSum", "ReduceL2")  # Integers for which rounding errors decide.


def make_model(op, inputs, attributes, dynamic):
    _, opset = cases.schema(op)
    names = [f"in{i}" if v is not None else "" for i, v in enumerate(inputs)]
    while names and not names[-1]:
        names.pop()
    outputs = [f"out{i}" for i in range(cases.OUTPUTS.get(op, 1))]

    def typed(name, value):
        shape = [f"{name}_{i}" for i in range(value.ndim)] if dynamic else value.shape
        elem = 8 if value.dtype == object else helper.np_dtype_to_tensor_dtype(value.dtype)
        return helper.make_tensor_value_info(name, elem, shape)

    typed_inputs = [typed(n, v) for n, v in zip(names, inputs, strict=False) if n]
    graph = helper.make_graph(
        [helper.make_node(op, names, outputs, name="node", **attributes)],
        "differential",
        typed_inputs,
        [helper.make_empty_tensor_value_info(name) for name in outputs],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)
    return model, {n: v for n, v in zip(names, inputs, strict=False) if n}


def give_types(model):
    """Outputs need a type for some runtimes; Slipway's session tells it."""
    elems = {f"tensor({n})": i for i, n in enumerate(NAMES) if n}
    for info, told in zip(
        model.graph.output, slipway.InferenceSession(model.SerializeToString()).get_outputs(), strict=True
    ):
        info.CopyFrom(helper.make_tensor_value_info(info.name, elems[told.type], None))


NAMES = ["", "float", "uint8", "int8", "uint16", "int16", "int32", "int64", "string", "bool", "float16", "double"]
NAMES += ["uint32", "uint64", "", "", "bfloat16"]


def difference(op, got, want, in_float):
    got, want = np.asarray(got), np.asarray(want)
    if got.shape != want.shape:
        return f"shape {got.shape}, not {want.shape}"
    if want.dtype.kind in "OUS":
        return "" if [*map(str, got.flat)] == [*map(str, want.flat)] else "other strings"
    if got.dtype != want.dtype and not in_float:
        return f"type {got.dtype}, not {want.dtype}"
    if op in ROUNDED and want.dtype.kind in "iu":
        return "" if np.abs(got.astype(np.int64) - want.astype(np.int64)).max(initial=0) <= 1 else "other numbers"
    if not cases.is_float(want.dtype):
        return "" if np.array_equal(got, want) else f"{got.ravel()[:4]}, not {want.ravel()[:4]}"
    a, b = got.astype(np.float64), want.astype(np.float64)
    finite = np.isfinite(b)
    if not np.array_equal(a[~finite], b[~finite], equal_nan=True):
        return "other infinities or NaN"
    top = max(1e-2, np.abs(b[finite]).max(initial=0))
    error = np.abs(a[finite] - b[finite]).max(initial=0) / top
    bound = max(BOUNDS[want.dtype.name], BOUNDS[got.dtype.name] if in_float else 0)
    return "" if error <= bound else f"error {error:.1e}, bound {bound:.0e}"


def peers(model, feeds):
    """What each peer gives, or why it does not."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            yield "reference", ReferenceEvaluator(model).run(None, feeds)
        except Exception as e:
            yield "reference", f"{type(e).__name__}"
    yield "onnxruntime", run_onnxruntime(model, feeds)
    # Where it has no kernel for the type, in float.
    wide = {k: v.astype(np.float32) if cases.is_float(v.dtype) else v for k, v in feeds.items()}
    if any(wide[k].dtype != v.dtype for k, v in feeds.items()):
        in_float = onnx.ModelProto()
        in_float.CopyFrom(model)
        for info in (*in_float.graph.input, *in_float.graph.output):
            if info.type.tensor_type.elem_type in FLOATS:
                info.type.tensor_type.elem_type = onnx.TensorProto.FLOAT
        yield "onnxruntime in float", run_onnxruntime(in_float, wide)


FLOATS = (onnx.TensorProto.DOUBLE, onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16)


def run_onnxruntime(model, feeds):
    if any(v.dtype == ml_dtypes.bfloat16 for v in feeds.values()):
        return "has no bridge"
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    try:
        session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        return session.run(None, feeds)
    except Exception as e:
        return type(e).__name__


@pytest.mark.parametrize("op", cases.MAKERS)
def test_operator(op):
    types = [t for t in cases.types_of(op) if (op, t.name) not in KNOWN]
    compared = 0
    for i in range(COUNT):
        dtype = types[i % len(types)]
        draw = cases.Draw([SEED, i, *op.encode()], dtype)
        inputs, attributes = cases.MAKERS[op](draw)
        model, feeds = make_model(op, inputs, attributes, dynamic=i % 2)
        told = f"{op} {dtype} {[None if v is None else (v.dtype.name, v.shape) for v in inputs]} {attributes}"
        failed = None
        try:
            give_types(model)
            got = slipway.InferenceSession(model.SerializeToString()).run(None, feeds)
        except Exception as e:
            failed = str(e)
        wrong = []
        for peer, want in peers(model, feeds):
            if isinstance(want, str):
                continue
            differences = (
                [failed]
                if failed
                else [difference(op, g, w, peer.endswith("float")) for g, w in zip(got, want, strict=False)]
            )
            if not any(differences):
                wrong = []
                compared += 1
                break
            wrong.append(f"{peer}: {[d for d in differences if d]}")
        assert not wrong, f"{told}: {wrong}"
    assert compared > 0
