"""What the specification does not allow is refused, by a message that names the node."""

import numpy as np
import pytest
import slipway

import onnx
from onnx import helper

F = np.float32
IMAGE = np.zeros((1, 2, 6, 6), F)
MATRIX = np.zeros((2, 3), F)
SEQUENCE = [np.zeros((3, 1, 4), F), np.zeros((1, 20, 4), F), np.zeros((1, 20, 5), F)]

CASES = [
    ("Relu", [MATRIX], {"wibble": 3}, "no attribute 'wibble'"),
    ("Conv", [IMAGE, np.zeros((2, 2, 3, 3), F)], {"auto_pad": "SAME_UPPER", "pads": [1, 1, 1, 1]}, "both attribute"),
    ("ConvTranspose", [IMAGE, np.zeros((2, 2, 3, 3), F)], {"auto_pad": "SIDEWAYS"}, "SIDEWAYS"),
    (
        "ConvTranspose",
        [IMAGE, np.zeros((2, 2, 3, 3), F)],
        {"strides": [2, 2], "output_padding": [2, 0]},
        "below stride",
    ),
    ("LpPool", [IMAGE], {"kernel_shape": [2, 2], "p": 0}, "'p' is 0"),
    ("LpPool", [IMAGE], {"kernel_shape": [2, 2], "p": "two"}, "'p' should be an int"),
    ("GlobalLpPool", [IMAGE], {"p": -1}, "'p' is -1"),
    ("LSTM", SEQUENCE, {"hidden_size": 6}, "'hidden_size' is 6"),
    ("LSTM", SEQUENCE, {"hidden_size": 5, "activations": ["Sigmoid"]}, "'activations' has 1 names, not 3"),
    ("LSTM", SEQUENCE, {"hidden_size": 5, "linear_before_reset": 1}, "no attribute 'linear_before_reset'"),
    ("LSTM", SEQUENCE, {"hidden_size": 5, "clip": -1.0}, "'clip' is -1"),
    ("Split", [MATRIX, np.array([1, 2])], {"axis": 1, "num_outputs": 2}, "both num_outputs and the lengths"),
    ("Transpose", [MATRIX], {"perm": [0, -1]}, "perm holds -1"),
    ("Mod", [MATRIX, MATRIX], {}, "fmod"),
    ("ReverseSequence", [MATRIX, np.array([1, 1])], {"batch_axis": 0, "time_axis": 2}, "time_axis 2"),
    ("LayerNormalization", [MATRIX, np.zeros(3, F)], {"stash_type": 7}, "'stash_type' is 7"),
    ("PRelu", [MATRIX, np.zeros((4, 2, 3), F)], {}, "cannot be broadcast"),
    ("Resize", [IMAGE, None, np.ones(4, F)], {"coordinate_transformation_mode": "tf_crop_and_resize"}, "needs roi"),
    ("Resize", [IMAGE, None, np.ones(4, F)], {"keep_aspect_ratio_policy": "not_larger"}, "goes with sizes only"),
    ("Expand", [MATRIX, np.array([1 << 20, 1 << 20, 2, 3])], {}, "cannot allocate"),
    ("Tile", [MATRIX, np.array([1 << 62, 1 << 62])], {}, "does not fit 64 bits"),
    # One element is wanted, and none comes.
    ("CumSum", [MATRIX, np.zeros((0, 3), np.int64)], {}, "one element"),
    ("Dropout", [MATRIX, np.zeros(0, F)], {}, "one element"),
    ("Range", [np.zeros(0, F), np.ones((), F), np.ones((), F)], {}, "one element"),
    ("TopK", [MATRIX, np.zeros(0, np.int64)], {}, "one element"),
    ("Trilu", [MATRIX, np.zeros((2, 0), np.int64)], {}, "one element"),
    ("OneHot", [np.array([1]), np.zeros(0, np.int64), np.zeros(2, F)], {}, "one element"),
    # A list is wanted, and a matrix comes.
    ("Slice", [MATRIX, np.zeros((1, 1), np.int64), np.array([1])], {}, "must be a list"),
    ("Squeeze", [MATRIX, np.zeros((1, 2), np.int64)], {}, "must be a list"),
    ("Unsqueeze", [MATRIX, np.zeros((2, 2), np.int64)], {}, "must be a list"),
    ("Split", [MATRIX, np.zeros((0, 3), np.int64)], {}, "must be a list"),
    ("Pad", [MATRIX, np.zeros((2, 2), np.int64)], {}, "must be a list"),
    ("Reshape", [MATRIX, np.zeros((2, 2), np.int64)], {}, "rank must be 1"),
    # Axes that come as data, of what has none: its shape is known without them.
    ("ReduceMax", [np.zeros((), F), np.array([1, 2])], {}, "an axis is 1"),
    ("Slice", [np.zeros((), F), np.array([0]), np.array([1]), np.array([0])], {}, "axis is 0"),
    ("Pad", [np.zeros((), F), np.array([1, 1]), None, np.array([3])], {}, "axis is 3"),
    ("DFT", [np.zeros((2, 3, 1), F), None, np.array(2147483647)], {}, "2147483647"),
    # Inputs left out that are needed.
    ("RNN", [SEQUENCE[0], None, np.zeros((1, 5, 5), F)], {"hidden_size": 5}, "input 1 is left out"),
    ("Add", [None, MATRIX], {}, "input 0 is left out"),
    ("MatMulInteger", [np.zeros(1, np.int8), np.zeros((), np.int8), None, np.zeros(0, np.int8)], {}, "scalar"),
]


@pytest.mark.parametrize(
    ("op", "inputs", "attributes", "message"), CASES, ids=lambda v: v if isinstance(v, str) else ""
)
def test_refused(op, inputs, attributes, message):
    feeds = {f"in{i}": v for i, v in enumerate(inputs) if v is not None}
    outputs = ["y", "z"] if op == "Split" else ["y"]
    node = helper.make_node(
        op, [f"in{i}" if v is not None else "" for i, v in enumerate(inputs)], outputs, name="culprit", **attributes
    )
    typed = [
        helper.make_tensor_value_info(k, helper.np_dtype_to_tensor_dtype(v.dtype), v.shape) for k, v in feeds.items()
    ]
    results = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in outputs]
    model = helper.make_model(
        helper.make_graph([node], "refused", typed, results), opset_imports=[helper.make_opsetid("", 21)], ir_version=10
    )
    with pytest.raises(slipway.errors.Error) as caught:
        slipway.InferenceSession(model.SerializeToString()).run(None, feeds)
    assert "'culprit'" in str(caught.value)
    assert message in str(caught.value)


OWN = [
    (
        "FusedSeparableConv",
        [np.zeros((1, 6, 6, 4), F), None, None, np.zeros((4, 1, 3, 0), F)],
        {},
        "'in3' is empty",
    ),
    (
        "FusedSeparableConv",
        [np.zeros((1, 6, 6, 4), F), np.zeros((0, 4, 1, 1), F), None, np.zeros((0, 1, 3, 3), F)],
        {},
        "'in1' is empty",
    ),
    (
        "FusedConv",
        [np.zeros((2, 6, 6, 4), F), np.zeros((3, 4, 1, 1), F), None, None, np.zeros((2, 1, 1, 5), F)],
        {"channels_last": 1},
        "one number a channel and image",
    ),
    (
        "FusedConv",
        [np.zeros((2, 6, 6, 4), F), np.zeros((3, 4, 1, 1), F), None, None, np.zeros((1, 1, 1, 4), F)],
        {"channels_last": 1},
        "one number a channel and image",
    ),
    (
        "FusedConv",
        [np.zeros((2, 6, 6, 4), F), np.zeros((3, 4, 3, 3), F), None, None, np.zeros((2, 1, 1, 4), F)],
        {"channels_last": 1},
        "for 1x1 kernels",
    ),
]


@pytest.mark.parametrize(("op", "inputs", "attributes", "message"), OWN, ids=lambda v: v if isinstance(v, str) else "")
@pytest.mark.parametrize("held", [False, True])
def test_refused_by_operators_of_the_engine(op, inputs, attributes, message, held):
    """They are in files that the engine has optimized, and in those that somebody has tampered with."""
    feeds = {f"in{i}": v for i, v in enumerate(inputs) if v is not None}
    weights = {k: v for k, v in feeds.items() if held and k in ("in1", "in3")}
    names = [f"in{i}" if v is not None else "" for i, v in enumerate(inputs)]
    graph = helper.make_graph(
        [helper.make_node(op, names, ["y"], name="culprit", domain="ai.slipway", **attributes)],
        "refused",
        [helper.make_tensor_value_info(k, 1, v.shape) for k, v in feeds.items() if k not in weights],
        [helper.make_tensor_value_info("y", 1, None)],
        [onnx.numpy_helper.from_array(v, k) for k, v in weights.items()],
    )
    imports = [helper.make_opsetid("", 21), helper.make_opsetid("ai.slipway", 1)]
    model = helper.make_model(graph, opset_imports=imports, ir_version=10)
    with pytest.raises(slipway.errors.Error) as caught:
        session = slipway.InferenceSession(model.SerializeToString())
        session.run(None, {k: v for k, v in feeds.items() if k not in weights})
    assert "'culprit'" in str(caught.value)
    assert message in str(caught.value)


def test_where_of_empty_constants():
    held = [np.zeros(0, bool), np.array(7), np.zeros(0, np.int64)]
    graph = helper.make_graph(
        [helper.make_node("Where", ["c", "x", "y"], ["z"])],
        "empty",
        [],
        [helper.make_tensor_value_info("z", onnx.TensorProto.INT64, [0])],
        [onnx.numpy_helper.from_array(v, k) for k, v in zip("cxy", held, strict=True)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    assert slipway.InferenceSession(model.SerializeToString()).run(None, {})[0].shape == (0,)


def test_a_loop_with_constant_inputs_runs():
    body = helper.make_graph(
        [helper.make_node("Identity", ["on"], ["still"]), helper.make_node("Identity", ["turn"], ["n"])],
        "body",
        [
            helper.make_tensor_value_info("turn", onnx.TensorProto.INT64, []),
            helper.make_tensor_value_info("on", onnx.TensorProto.BOOL, []),
        ],
        [
            helper.make_tensor_value_info("still", onnx.TensorProto.BOOL, []),
            helper.make_tensor_value_info("n", onnx.TensorProto.INT64, []),
        ],
    )
    graph = helper.make_graph(
        [helper.make_node("Loop", ["count", ""], ["y"], body=body)],
        "loop",
        [],
        [helper.make_tensor_value_info("y", onnx.TensorProto.INT64, [None])],
        [onnx.numpy_helper.from_array(np.array(3), "count")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    (y,) = slipway.InferenceSession(model.SerializeToString()).run(None, {})
    assert y.tolist() == [0, 1, 2]


def test_an_empty_batch_runs_through_what_reads_an_empty_arena():
    w = helper.make_tensor("w", onnx.TensorProto.FLOAT, [4, 2, 3, 3], np.ones(72))
    nodes = [helper.make_node("Conv", ["x", "w"], ["c"]), helper.make_node("Relu", ["c"], ["y"])]
    graph = helper.make_graph(
        nodes,
        "empty",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["n", 2, 6, 6])],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ["n", 4, 4, 4])],
        [w],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    (y,) = slipway.InferenceSession(model.SerializeToString()).run(None, {"x": np.zeros((0, 2, 6, 6), F)})
    assert y.shape == (0, 4, 4, 4)


@pytest.mark.parametrize("declared", [[None, 1], [2, 1], [None]])
def test_an_output_is_what_it_is_whatever_shape_the_file_declares(declared):
    """Some converters declare one column for several; a shape within the graph, or a type, has to be right."""

    def made(inner, declared, elem=1):
        nodes = [helper.make_node("Gemm", ["x", "w"], ["h"], name="first"), helper.make_node("Relu", ["h"], ["y"])]
        infos = [helper.make_tensor_value_info("x", 1, [None, 4])]
        weights = [onnx.numpy_helper.from_array(np.ones((4, 3), F), "w")]
        graph = helper.make_graph(
            nodes,
            "declares",
            infos,
            [helper.make_tensor_value_info("y", elem, declared)],
            weights,
            value_info=[helper.make_tensor_value_info("h", 1, inner)],
        )
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9).SerializeToString()

    session = slipway.InferenceSession(made([None, 3], declared))
    np.testing.assert_array_equal(session.run(None, {"x": np.ones((2, 4), F)})[0], np.full((2, 3), 4, F))
    assert session.get_outputs()[0].shape[1:] == [3]
    with pytest.raises(Exception, match="first"):
        slipway.InferenceSession(made([None, 7], [None, 3]))
    with pytest.raises(Exception, match="file declares"):
        slipway.InferenceSession(made([None, 3], [None, 3], elem=7))
