"""Files of one operator of com.microsoft, run by Slipway and onnxruntime, and what attention is in NumPy."""

import math
import os

import numpy as np
import pytest
import slipway

import onnx
from onnx import helper, numpy_helper

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
ort = pytest.importorskip("onnxruntime")

RNG = np.random.default_rng(7)


def rand(*shape):
    return RNG.standard_normal(shape).astype(np.float32)


def ints(*values):
    return np.array(values, np.int32)


def model(op, inputs, outputs, attributes, domain="com.microsoft", opset=17, constants=(), dynamic=True):
    """A file of one node; inputs left out are None, outputs not wanted 0."""
    names = [f"x{i}" if x is not None else "" for i, x in enumerate(inputs)]
    elem = {i: helper.np_dtype_to_tensor_dtype(x.dtype) for i, x in enumerate(inputs) if x is not None}
    infos, held = [], []
    for i, x in enumerate(inputs):
        if x is None:
            continue
        if i in constants:
            held.append(numpy_helper.from_array(x, names[i]))
        else:
            shape = [f"d{i}_{axis}" for axis in range(x.ndim)] if dynamic else x.shape
            infos.append(helper.make_tensor_value_info(names[i], elem[i], shape))
    ys = [f"y{i}" if wanted else "" for i, wanted in enumerate(outputs)]
    node = helper.make_node(op, names, ys, domain=domain, name="node", **attributes)
    graph = helper.make_graph([node], "g", infos, [onnx.ValueInfoProto(name=y) for y in ys if y], held)
    imports = [helper.make_opsetid("", opset), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=imports, ir_version=9).SerializeToString()


def feeds(inputs, constants=()):
    return {f"x{i}": x for i, x in enumerate(inputs) if x is not None and i not in constants}


def run_slipway(data, fed, level=3):
    options = slipway.SessionOptions()
    options.graph_optimization_level = slipway.GraphOptimizationLevel.ORT_ENABLE_ALL
    if level == 0:
        options.graph_optimization_level = slipway.GraphOptimizationLevel.ORT_DISABLE_ALL
    return slipway.InferenceSession(data, options).run(None, fed)


def run_onnxruntime(data, fed):
    options = ort.SessionOptions()
    options.log_severity_level = 3
    return ort.InferenceSession(data, options, providers=["CPUExecutionProvider"]).run(None, fed)


def close(ours, theirs, tolerance):
    assert len(ours) == len(theirs)
    for a, b in zip(ours, theirs, strict=True):
        assert a.shape == b.shape
        assert a.dtype == b.dtype
        if a.dtype.kind == "f":
            np.testing.assert_allclose(a.astype(np.float64), b.astype(np.float64), rtol=tolerance, atol=tolerance)
        else:
            np.testing.assert_array_equal(a, b)


def check(
    op, inputs, outputs=(1,), tolerance=2e-5, valid=None, constants=(), opset=17, domain="com.microsoft", **attributes
):
    """Both give the same: with sizes known and not known at load, optimized and not. `valid` picks what is defined."""
    fed = feeds(inputs, constants)
    wanted = run_onnxruntime(model(op, inputs, outputs, attributes, domain, opset, constants, False), fed)
    for dynamic in (True, False):
        data = model(op, inputs, outputs, attributes, domain, opset, constants, dynamic)
        for level in (0, 3):
            got = run_slipway(data, fed, level)
            close(*((valid(got), valid(wanted)) if valid else (got, wanted)), tolerance)


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def attend(q, k, v, added=0.0, scale=None):
    """q [B, H, S, D] and kin"""
    scores = q @ k.swapaxes(-1, -2) * (scale or 1 / math.sqrt(q.shape[-1])) + added
    return softmax(scores) @ v


def split(x, heads):
    return x.reshape(x.shape[0], x.shape[1], heads, -1).transpose(0, 2, 1, 3)


def merge(x):
    return x.transpose(0, 2, 1, 3).reshape(x.shape[0], x.shape[2], -1)


def only_slipway(op, inputs, outputs, wanted, tolerance=2e-5, **attributes):
    for dynamic in (True, False):
        for level in (0, 3):
            got = run_slipway(model(op, inputs, outputs, attributes, dynamic=dynamic), feeds(inputs), level)
            close(got, [w.astype(g.dtype) for g, w in zip(got, wanted, strict=True)], tolerance)


def caches(rows, half):
    angle = np.arange(rows)[:, None] * 100.0 ** (-np.arange(half) / half)
    return np.cos(angle).astype(np.float32), np.sin(angle).astype(np.float32)


def group_query(batch, new, total, room, lengths, packed=False, rotary=False, half=8, extra=(), dtype=np.float32):
    """Inputs of 4 query heads over 2 heads of 16."""
    if packed:
        qkv = [rand(batch, new, 8 * 16), None, None]
    else:
        qkv = [rand(batch, new, 64), rand(batch, new, 32), rand(batch, new, 32)]
    past = [rand(batch, 2, room, 16), rand(batch, 2, room, 16)] if room else [None, None]
    turned = list(caches(32, half)) if rotary else [None, None]
    inputs = [*qkv, *past, ints(*[n - 1 for n in lengths]), np.array(total, np.int32), *turned, *extra]
    inputs = [x if x is None or x.dtype.kind != "f" else x.astype(dtype) for x in inputs]
    while inputs[-1] is None:
        inputs.pop()
    return inputs
