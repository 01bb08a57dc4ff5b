"""Maps and sequences of maps at Python's edge."""

import numpy as np
import pytest
import slipway

from onnx import TensorProto, helper


def session(op, x, y, **attributes):
    node = helper.make_node(op, ["x"], ["y"], domain="ai.onnx.ml", **attributes)
    values = [helper.make_value_info(name, of) for name, of in (("x", x), ("y", y))]
    graph = helper.make_graph([node], "g", values[:1], values[1:])
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("ai.onnx.ml", 3)]
    return slipway.InferenceSession(helper.make_model(graph, opset_imports=opsets, ir_version=10).SerializeToString())


def tensor(elem, shape=None):
    return helper.make_tensor_type_proto(elem, shape)


def map_of(key, elem):
    return helper.make_map_type_proto(key, tensor(elem, []))


@pytest.mark.parametrize(
    ("key", "labels"),
    [(TensorProto.INT64, {"classlabels_int64s": [5, 6]}), (TensorProto.STRING, {"classlabels_strings": ["a", "b"]})],
)
def test_zip_map_gives_dicts(key, labels):
    s = session(
        "ZipMap", tensor(TensorProto.FLOAT, [None, 2]), helper.make_sequence_type_proto(map_of(key, 1)), **labels
    )
    names = next(iter(labels.values()))
    assert s.get_outputs()[0].type == f"seq(map({'int64' if key == TensorProto.INT64 else 'string'},tensor(float)))"
    got = s.run(None, {"x": np.array([[1, 2], [3, 4]], np.float32)})[0]
    assert got == [dict(zip(names, [1.0, 2.0], strict=True)), dict(zip(names, [3.0, 4.0], strict=True))]


@pytest.mark.parametrize(("elem", "dtype"), [(TensorProto.FLOAT, np.float32), (TensorProto.DOUBLE, np.float64)])
def test_numbers_of_a_dict_take_the_declared_type(elem, dtype):
    s = session("DictVectorizer", map_of(TensorProto.STRING, elem), tensor(elem), string_vocabulary=["a", "b", "c"])
    assert s.get_inputs()[0].type == f"map(string,tensor({'float' if elem == TensorProto.FLOAT else 'double'}))"
    got = s.run(None, {"x": {"c": 2.5, "a": 1, "z": 9.0}})[0]
    assert got.dtype == dtype and got.tolist() == [[1, 0, 2.5]]
    assert s.run(None, {"x": {}})[0].tolist() == [[0, 0, 0]]


def test_a_map_of_another_type_is_refused():
    s = session("CastMap", map_of(TensorProto.INT64, TensorProto.STRING), tensor(TensorProto.INT64), cast_to="TO_INT64")
    assert s.run(None, {"x": {3: "7", 1: "-2"}})[0].tolist() == [[-2, 7]]
    for bad in ({"a": "1"}, {1: 2.0}, np.zeros(2), [1]):
        with pytest.raises(slipway.errors.InvalidArgument, match="input 'x'"):
            s.run(None, {"x": bad})
