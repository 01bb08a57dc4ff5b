"""The Python package: what onnxruntime's users know, and what they are told when something is wrong."""

import threading

import ml_dtypes
import numpy as np
import pytest
import slipway

import onnx
from onnx import TensorProto, helper, numpy_helper


def model(nodes, inputs, outputs, initializers=(), opset=21):
    graph = helper.make_graph(
        nodes, "test", inputs, outputs, [numpy_helper.from_array(v, k) for k, v in dict(initializers).items()]
    )
    proto = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10, producer_name="tests"
    )
    helper.set_model_props(proto, {"team": "maps"})
    return proto.SerializeToString()


def tensor(name, shape, elem=TensorProto.FLOAT):
    return helper.make_tensor_value_info(name, elem, shape)


@pytest.fixture
def linear():
    weights = np.arange(12, dtype=np.float32).reshape(4, 3)
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"], name="product")]
    return model(nodes, [tensor("x", ["batch", 4])], [tensor("y", ["batch", 3])], {"w": weights}), weights


def test_run_gives_numpy_arrays(linear):
    data, weights = linear
    session = slipway.InferenceSession(data, providers=["CPUExecutionProvider"])
    x = np.random.default_rng(0).standard_normal((2, 4), dtype=np.float32)
    (y,) = session.run(None, {"x": x})
    np.testing.assert_allclose(y, x @ weights, rtol=1e-5)
    (again,) = session.run(["y"], {"x": x})
    np.testing.assert_array_equal(y, again)


def test_from_a_path(linear, tmp_path):
    path = tmp_path / "linear.onnx"
    path.write_bytes(linear[0])
    assert slipway.InferenceSession(path).run(None, {"x": np.ones((1, 4), np.float32)})[0].shape == (1, 3)
    assert slipway.InferenceSession(str(path)).get_inputs()[0].name == "x"


def test_describes_itself(linear):
    session = slipway.InferenceSession(linear[0])
    (x,) = session.get_inputs()
    assert (x.name, x.type, x.shape) == ("x", "tensor(float)", ["batch", 4])
    (y,) = session.get_outputs()
    assert (y.name, y.type, y.shape) == ("y", "tensor(float)", ["batch", 3])
    meta = session.get_modelmeta()
    assert (meta.producer_name, meta.graph_name, meta.custom_metadata_map) == ("tests", "test", {"team": "maps"})
    assert session.get_providers() == slipway.get_available_providers() == ["CPUExecutionProvider"]


@pytest.mark.parametrize("level", list(slipway.GraphOptimizationLevel))
def test_levels_and_threads(linear, level):
    data, weights = linear
    options = slipway.SessionOptions()
    options.graph_optimization_level = level
    options.intra_op_num_threads = 1
    options.execution_mode = slipway.ExecutionMode.ORT_SEQUENTIAL
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = slipway.InferenceSession(data, options)
    np.testing.assert_allclose(session.run(None, {"x": np.eye(4, dtype=np.float32)})[0], weights)


@pytest.mark.parametrize(
    ("feed", "message"),
    [
        ({}, "input 'x' .* is missing"),
        ({"x": np.zeros((2, 5), np.float32)}, r"wants float \[batch, 4\], got float \[2, 5\]"),
        ({"x": np.zeros((2, 4))}, r"got double \[2, 4\]"),
        ({"x": np.zeros((2, 4), np.float32), "z": np.zeros(1)}, "no input 'z'"),
        ({"x": object()}, "got object"),
    ],
)
def test_bad_feeds_are_named(linear, feed, message):
    session = slipway.InferenceSession(linear[0])
    with pytest.raises(slipway.errors.InvalidArgument, match=message):
        session.run(None, feed)
    with pytest.raises(ValueError):
        session.run(None, feed)


def test_bad_models_and_options(linear, tmp_path):
    with pytest.raises(slipway.errors.InvalidProtobuf):
        slipway.InferenceSession(b"this is no model")
    with pytest.raises(slipway.errors.InvalidProtobuf, match=r"missing\.onnx"):
        slipway.InferenceSession(str(tmp_path / "missing.onnx"))
    unknown = model([helper.make_node("Blorp", ["x"], ["y"], name="odd")], [tensor("x", [1])], [tensor("y", [1])])
    with pytest.raises(slipway.Error, match=r"odd.*Blorp"):
        slipway.InferenceSession(unknown)
    with pytest.raises(slipway.Error, match="no output 'z'"):
        slipway.InferenceSession(linear[0]).run(["z"], {"x": np.zeros((1, 4), np.float32)})
    with pytest.raises(TypeError):
        slipway.InferenceSession(3)
    with pytest.warns(UserWarning, match="CUDAExecutionProvider"):
        slipway.InferenceSession(linear[0], providers=["CUDAExecutionProvider", "CPUExecutionProvider"])


TYPES = [np.float32, np.float64, np.float16, np.int8, np.int16, np.int32, np.int64, np.uint8, np.uint16, np.uint32]
TYPES += [np.uint64, np.bool_, np.complex64, ml_dtypes.bfloat16, ml_dtypes.float8_e4m3fn, ml_dtypes.int4]


@pytest.mark.parametrize("dtype", TYPES, ids=lambda t: np.dtype(t).name)
def test_every_type_goes_in_and_out(dtype):
    elem = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    data = model(
        [helper.make_node("Transpose", ["x"], ["y"])],
        [tensor("x", [2, 3], elem)],
        [tensor("y", [3, 2], elem)],
        opset=23,
    )
    x = np.arange(6).reshape(2, 3).astype(dtype)
    (y,) = slipway.InferenceSession(data).run(None, {"x": x})
    assert y.dtype == x.dtype
    np.testing.assert_array_equal(y, x.T)


def test_strings_scalars_and_odd_layouts():
    data = model(
        [helper.make_node("Identity", ["x"], ["y"])],
        [tensor("x", [2], TensorProto.STRING)],
        [tensor("y", [2], TensorProto.STRING)],
    )
    for x in (np.array(["añ", "b"]), np.array(["añ", "b"], dtype=object)):
        assert slipway.InferenceSession(data).run(None, {"x": x})[0].tolist() == ["añ", "b"]
    data = model([helper.make_node("Neg", ["x"], ["y"])], [tensor("x", None)], [tensor("y", None)])
    session = slipway.InferenceSession(data)
    for x in (np.float32(3), np.ones((3, 4), np.float32).T, np.ones((4, 6), np.float32)[::2, ::3], np.ones(2, ">f4")):
        (y,) = session.run(None, {"x": x})
        assert y.shape == np.shape(x)
        np.testing.assert_array_equal(y, -np.asarray(x))


def test_sequences_are_lists():
    data = model(
        [helper.make_node("SequenceConstruct", ["x", "x"], ["s"]), helper.make_node("SequenceLength", ["s"], ["n"])],
        [tensor("x", [2])],
        [helper.make_tensor_sequence_value_info("s", TensorProto.FLOAT, None), tensor("n", [], TensorProto.INT64)],
    )
    s, n = slipway.InferenceSession(data).run(None, {"x": np.ones(2, np.float32)})
    assert isinstance(s, list)
    assert n == 2
    np.testing.assert_array_equal(s[1], [1, 1])


def test_control_flow_captures():
    then = helper.make_graph([helper.make_node("Add", ["x", "x"], ["a"])], "then", [], [tensor("a", [2])])
    other = helper.make_graph([helper.make_node("Neg", ["x"], ["b"])], "else", [], [tensor("b", [2])])
    data = model(
        [helper.make_node("If", ["c"], ["y"], then_branch=then, else_branch=other)],
        [tensor("c", [], TensorProto.BOOL), tensor("x", [2])],
        [tensor("y", [2])],
    )
    session = slipway.InferenceSession(data)
    x = np.array([1, 2], np.float32)
    np.testing.assert_array_equal(session.run(None, {"c": np.array(True), "x": x})[0], [2, 4])
    np.testing.assert_array_equal(session.run(None, {"c": np.array(False), "x": x})[0], [-1, -2])


def test_loop_counts():
    body = helper.make_graph(
        [helper.make_node("Add", ["v", "step"], ["w"]), helper.make_node("Identity", ["w"], ["kept"])],
        "body",
        [tensor("i", [], TensorProto.INT64), tensor("go", [], TensorProto.BOOL), tensor("v", [1])],
        [tensor("go", [], TensorProto.BOOL), tensor("w", [1]), tensor("kept", [1])],
    )
    data = model(
        [helper.make_node("Loop", ["n", "", "x"], ["y", "all"], body=body)],
        [tensor("n", [], TensorProto.INT64), tensor("x", [1])],
        [tensor("y", [1]), tensor("all", [None, 1])],
        {"step": np.array([2], np.float32)},
    )
    y, every = slipway.InferenceSession(data).run(None, {"n": np.array(4), "x": np.zeros(1, np.float32)})
    np.testing.assert_array_equal(y, [8])
    np.testing.assert_array_equal(every.ravel(), [2, 4, 6, 8])


def test_a_run_is_stopped():
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["on"]), helper.make_node("Sin", ["v"], ["w"])],
        "body",
        [tensor("i", [], TensorProto.INT64), tensor("go", [], TensorProto.BOOL), tensor("v", [8])],
        [tensor("on", [], TensorProto.BOOL), tensor("w", [8])],
    )
    data = model(
        [helper.make_node("Loop", ["", "go", "x"], ["y"], body=body)],
        [tensor("go", [], TensorProto.BOOL), tensor("x", [8])],
        [tensor("y", [8])],
    )
    options = slipway.RunOptions()
    threading.Timer(0.2, lambda: setattr(options, "terminate", True)).start()
    with pytest.raises(slipway.errors.Cancelled):
        slipway.InferenceSession(data).run(None, {"go": np.array(True), "x": np.ones(8, np.float32)}, options)


def test_defaults_that_may_be_fed():
    inputs = [tensor("x", [2]), tensor("w", [2])]
    data = model(
        [helper.make_node("Mul", ["x", "w"], ["y"])], inputs, [tensor("y", [2])], {"w": np.full(2, 3, np.float32)}
    )
    session = slipway.InferenceSession(data)
    assert [i.name for i in session.get_inputs()] == ["x"]
    assert [i.name for i in session.get_overridable_initializers()] == ["w"]
    x = np.ones(2, np.float32)
    np.testing.assert_array_equal(session.run(None, {"x": x})[0], [3, 3])
    np.testing.assert_array_equal(session.run(None, {"x": x, "w": x})[0], [1, 1])


def test_outputs_are_the_callers():
    data = model(
        [helper.make_node("Identity", ["x"], ["y"])],
        [tensor("x", [2])],
        [tensor("y", [2]), tensor("w", [2])],
        {"w": np.ones(2, np.float32)},
    )
    session = slipway.InferenceSession(data)
    x = np.zeros(2, np.float32)
    y, w = session.run(None, {"x": x})
    y += 1
    w += 1
    assert x.tolist() == [0, 0]
    assert session.run(None, {"x": x})[1].tolist() == [1, 1]


def test_external_data(tmp_path):
    weights = np.random.default_rng(1).standard_normal((64, 64)).astype(np.float32)
    proto = onnx.load_from_string(
        model(
            [helper.make_node("MatMul", ["x", "w"], ["y"])],
            [tensor("x", [1, 64])],
            [tensor("y", [1, 64])],
            {"w": weights},
        )
    )
    onnx.save(proto, tmp_path / "m.onnx", save_as_external_data=True, location="m.bin", size_threshold=0)
    x = np.ones((1, 64), np.float32)
    (y,) = slipway.InferenceSession(str(tmp_path / "m.onnx")).run(None, {"x": x})
    np.testing.assert_allclose(y, x @ weights, rtol=1e-4, atol=1e-5)
    (tmp_path / "m.bin").write_bytes(b"short")
    with pytest.raises(slipway.Error, match=r"'w'.*m\.bin"):
        slipway.InferenceSession(str(tmp_path / "m.onnx"))


def test_packing_at_load_or_later(tmp_path):
    """What a mapped file holds takes no memory of its own until it is packed; either way the results are the same."""
    weight = np.random.default_rng(0).standard_normal((2048, 2048), np.float32)
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"])]
    path = tmp_path / "m.onnx"
    path.write_bytes(model(nodes, [tensor("x", (2, 2048))], [tensor("y", (2, 2048))], {"w": weight}))

    def held():
        return next(int(s.split()[1]) for s in open("/proc/self/status") if s.startswith("RssAnon")) // 1024

    results = []
    for at_load in (False, True):
        options = slipway.SessionOptions()
        options.pack_at_load = at_load
        before = held()
        session = slipway.InferenceSession(str(path), options)
        grown = held() - before
        assert grown > 12 if at_load else grown < 4
        results += [session.run(None, {"x": weight[:2]})[0] for _ in range(3)]
        assert held() - before > 12
    np.testing.assert_allclose(results[0], weight[:2] @ weight, rtol=1e-3, atol=1e-3)
    for result in results[1:]:
        np.testing.assert_allclose(result, results[0], rtol=1e-5, atol=1e-4)
