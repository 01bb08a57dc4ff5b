"""slipway.quantization: the API is onnxruntime's; results stay near those of the float model."""

import numpy as np
import pytest
import slipway as ort
from slipway.quantization import QuantType, quantize_dynamic

import onnx
from onnx import TensorProto, helper, numpy_helper


@pytest.fixture
def model():
    rng = np.random.default_rng(0)
    weights = [rng.standard_normal(shape).astype(np.float32) for shape in ((32, 48), (48, 16), (16,))]
    names = ["w1", "w2", "bias"]
    nodes = [
        helper.make_node("MatMul", ["x", "w1"], ["h"], name="first"),
        helper.make_node("Relu", ["h"], ["a"]),
        helper.make_node("Gemm", ["a", "w2", "bias"], ["y"], name="second"),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 32])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 16])],
        [numpy_helper.from_array(w, n) for w, n in zip(weights, names, strict=True)],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])


def run(path_or_bytes):
    x = np.random.default_rng(1).standard_normal((9, 32)).astype(np.float32)
    return ort.InferenceSession(path_or_bytes).run(None, {"x": x})[0]


@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("weight_type", list(QuantType))
def test_results_stay_near(model, tmp_path, weight_type, per_channel):
    source, target = tmp_path / "model.onnx", tmp_path / "int8.onnx"
    onnx.save(model, source)
    quantize_dynamic(source, target, weight_type=weight_type, per_channel=per_channel)
    want, got = run(str(source)), run(str(target))
    assert got.shape == want.shape
    assert np.abs(got - want).max() < 0.03 * np.abs(want).max()
    written = onnx.load(target)
    onnx.checker.check_model(written)
    assert sum(n.op_type == "MatMulInteger" for n in written.graph.node) == 2
    assert {n.domain for n in written.graph.node} == {""}


def test_what_is_asked_for(model, tmp_path):
    target = str(tmp_path / "int8.onnx")

    def count():
        return sum(n.op_type == "MatMulInteger" for n in onnx.load(target).graph.node)

    for options, expected in [
        ({"nodes_to_exclude": ["first"]}, 1),
        ({"nodes_to_quantize": ["second"]}, 1),
        ({"op_types_to_quantize": ["MatMul"]}, 1),
        ({"extra_options": {"WeightSymmetric": False}, "reduce_range": True}, 2),
    ]:
        quantize_dynamic(model, target, **options)
        assert count() == expected, options
    with pytest.raises(ValueError, match="weight_type"):
        quantize_dynamic(model, target, weight_type="QInt8")
    with pytest.raises(ort.Error):
        quantize_dynamic(model, target, op_types_to_quantize=["Softmax"])
