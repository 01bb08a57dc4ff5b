"""Convolutions and pools beside onnxruntime, with weights that are fed and weights that the file holds."""

import numpy as np
import onnxruntime
import pytest
import slipway

import onnx
from onnx import helper, numpy_helper


def both(op, inputs, constant, **attributes):
    """Runs a node in both; `constant`: inputs behind the first are in the file."""
    names = [f"x{i}" for i in range(len(inputs))]
    held = [numpy_helper.from_array(v, n) for n, v in zip(names, inputs, strict=True) if constant and n != "x0"]
    fed = {n: v for n, v in zip(names, inputs, strict=True) if n == "x0" or not constant}
    infos = [helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, [None] * v.ndim) for n, v in fed.items()]
    node = helper.make_node(op, names, ["y"], **attributes)
    graph = helper.make_graph([node], "g", infos, [onnx.ValueInfoProto(name="y")], held)
    file = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9).SerializeToString()
    results = [
        r.InferenceSession(file, providers=["CPUExecutionProvider"]).run(None, fed) for r in (slipway, onnxruntime)
    ]
    np.testing.assert_allclose(results[0][0], results[1][0], rtol=1e-4, atol=1e-4)


def rand(*shape):
    return np.random.default_rng(3).standard_normal(shape).astype(np.float32)


CONVOLUTIONS = {
    "volume": ((2, 5, 6, 7, 8), (9, 5, 3, 3, 3), {"pads": [1, 0, 1, 1, 1, 0], "strides": [2, 1, 1]}),
    "volume in slices": ((2, 40, 3, 9, 8), (33, 40, 1, 3, 3), {"pads": [0, 1, 1, 0, 1, 1]}),
    "slices with padding": ((1, 4, 3, 5, 5), (6, 4, 1, 3, 3), {"pads": [1, 1, 1, 1, 1, 1]}),
    "volume of groups": ((1, 8, 4, 5, 5), (8, 1, 3, 3, 3), {"group": 8, "dilations": [1, 2, 1]}),
    "stem of a volume": ((1, 3, 5, 12, 13), (10, 3, 3, 5, 5), {"strides": [1, 2, 2], "pads": [1, 2, 2, 1, 2, 2]}),
    "groups in a vector": ((2, 32, 9, 8), (32, 4, 3, 3), {"group": 8, "pads": [1, 1, 1, 1]}),
    "a group a vector": ((1, 48, 9, 20), (96, 16, 3, 3), {"group": 3, "strides": [2, 2]}),
    "outputs by channel": ((1, 7, 9, 9), (14, 1, 5, 5), {"group": 7, "pads": [2, 2, 2, 2]}),
    "signal": ((1, 1, 3000), (20, 1, 10), {"strides": [5], "pads": [3, 4]}),
}


@pytest.mark.parametrize("constant", [False, True])
@pytest.mark.parametrize("case", CONVOLUTIONS)
def test_convolution(case, constant):
    x, w, attributes = CONVOLUTIONS[case]
    both("Conv", [rand(*x), rand(*w), rand(w[0])], constant, kernel_shape=w[2:], **attributes)


@pytest.mark.parametrize("constant", [False, True])
@pytest.mark.parametrize(
    ("x", "w", "attributes"),
    [
        ((2, 6, 9), (6, 4, 5), {"strides": [3], "pads": [1, 2]}),
        ((1, 6, 5, 6), (6, 2, 4, 4), {"strides": [2, 2], "group": 2}),
        ((1, 4, 3, 4, 5), (4, 3, 2, 2, 2), {"strides": [2, 2, 2]}),
    ],
)
def test_transposed_convolution(x, w, attributes, constant):
    bias = rand(w[1] * attributes.get("group", 1))
    both("ConvTranspose", [rand(*x), rand(*w), bias], constant, kernel_shape=w[2:], **attributes)


@pytest.mark.parametrize("op", ["MaxPool", "AveragePool"])
@pytest.mark.parametrize(
    "attributes",
    [
        {"kernel_shape": [2, 2, 2], "strides": [2, 2, 2]},
        {"kernel_shape": [1, 2, 2], "strides": [1, 2, 2]},
        {"kernel_shape": [3, 2, 3], "pads": [1, 0, 1, 2, 1, 1]},
        {"kernel_shape": [3, 3, 2], "strides": [2, 2, 2], "pads": [1, 1, 0, 1, 1, 0], "ceil_mode": 1},
    ],
)
def test_pool_over_a_volume(op, attributes):
    x = rand(2, 3, 7, 8, 9)
    both(op, [x], False, **attributes)
    if op == "AveragePool":
        both(op, [x], False, count_include_pad=1, **attributes)


@pytest.mark.parametrize("op", ["GlobalAveragePool", "GlobalMaxPool"])
@pytest.mark.parametrize("shape", [(2, 70, 7, 7), (1, 3, 600), (1, 5, 2, 3, 4)])
def test_pool_over_all(op, shape):
    both(op, [rand(*shape)], False)
