"""onnx's own node tests, converted to older opsets and run there: the numbers stay."""

import warnings

import numpy as np
import pytest
import slipway
from onnx.backend.test.loader import load_model_tests

import onnx
from onnx import numpy_helper

try:
    import onnxruntime
except ImportError:
    onnxruntime = None

# What onnxruntime lacks at an opset is no fault of the model's.
LACKS = (
    "NOT_IMPLEMENTED",
    "is not a registered",
    "not under",
    "Unrecognized attribute",
    "layout_ == 0",
    "Numpy_type",
    "conv_integer.cc",
    "empty set",
)
# Where onnxruntime gives other numbers than the test wants at the model's own opset too.
ITS_OWN = (
    "maxunpool_export_with_output_shape",
    "downsample_scales_linear_align_corners",
    "downsample_scales_cubic_align_corners",
)
RANDOM = ("bernoulli", "training_dropout")


def node_tests():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for test in load_model_tests(kind="node"):
            domains = {o.domain for o in test.model.opset_import}
            if domains <= {"", "ai.onnx"} and test.data_sets:
                yield test.name, test.model, test.data_sets[0][0]


TESTS = list(node_tests())


def fix(model, inputs):
    """The model with all inputs but the first as constants, as exported models have axes and sizes."""
    model = onnx.ModelProto.FromString(model.SerializeToString())
    for info, value in list(zip(model.graph.input, inputs, strict=False))[1:]:
        if info.type.HasField("tensor_type") and value is not None:
            model.graph.initializer.append(numpy_helper.from_array(np.asarray(value), info.name))
            model.graph.input.remove(info)
    return model


def same(a, b):
    if a is None or b is None:
        return a is b
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    a, b = np.asarray(a), np.asarray(b)
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    if a.dtype.kind in "OUSbiu":
        return bool((a == b).all())
    wide = np.complex128 if a.dtype.kind == "c" else np.float64
    bound = 2e-2 if a.dtype.itemsize <= 2 else 1e-3
    return np.allclose(a.astype(wide), b.astype(wide), rtol=bound, atol=bound, equal_nan=True)


def run_in_onnxruntime(model, feed):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    try:
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"]).run(None, feed)
    except Exception as e:
        if any(text in str(e) for text in LACKS):
            return None
        raise


@pytest.mark.parametrize("opset", [11, 13, 17, 21])
def test_node_tests_at_older_opsets(opset):
    converted, wrong = 0, []
    for name, model, inputs in TESTS:
        raw = model.SerializeToString()
        feed = {
            i.name: np.asarray(v) if not isinstance(v, list) else v
            for i, v in zip(model.graph.input, inputs, strict=False)
        }
        feed = {k: v for k, v in feed.items() if v is not None and getattr(v, "dtype", None) is not np.dtype(object)}
        try:
            want = slipway.InferenceSession(raw).run(None, feed)
        except (slipway.Error, RuntimeError):
            continue  # an operator or a form of it that does not run at any opset
        try:
            older = slipway.convert_opset(raw, opset=opset)
        except slipway.errors.NotImplemented:
            fixed = fix(model, inputs)
            feed = {k: v for k, v in feed.items() if k in {i.name for i in fixed.graph.input}}
            try:
                older = slipway.convert_opset(fixed.SerializeToString(), opset=opset)
            except slipway.errors.NotImplemented as e:
                assert f"opset {opset}" in str(e), name
                continue
        converted += 1
        read = onnx.load_from_string(older)
        assert read.opset_import[0].version == opset, name
        if any(text in name for text in RANDOM):
            continue
        got = slipway.InferenceSession(older).run(None, feed)
        if not all(map(same, want, got)):
            wrong.append(name)
        if onnxruntime and opset <= 21:
            theirs = run_in_onnxruntime(older, feed)
            its_own = any(text in name for text in ITS_OWN)
            if theirs is not None and not its_own and not all(map(same, want, theirs)):
                wrong.append(f"{name} (onnxruntime)")
    assert not wrong, wrong
    assert converted > 1200


def test_writes_files_and_bytes(tmp_path):
    model = onnx.parser.parse_model(
        '<ir_version: 9, opset_import: ["": 20]> g (float[2] x) => (float[2] y) { y = Gelu(x) }'
    )
    onnx.save(model, tmp_path / "model.onnx")
    slipway.convert_opset(tmp_path / "model.onnx", tmp_path / "older.onnx", opset=13)
    from_file = slipway.convert_opset(tmp_path / "model.onnx", opset=13)
    older = onnx.load(tmp_path / "older.onnx")
    onnx.checker.check_model(older, full_check=True)
    assert older.opset_import[0].version == 13 and older.ir_version == 7
    assert from_file == (tmp_path / "older.onnx").read_bytes()
    feed = {"x": np.array([-1, 2], np.float32)}
    want = slipway.InferenceSession(model.SerializeToString()).run(None, feed)[0]
    np.testing.assert_allclose(slipway.InferenceSession(from_file).run(None, feed)[0], want, rtol=1e-6)


def test_names_what_cannot_be_written():
    model = onnx.parser.parse_model(
        '<ir_version: 9, opset_import: ["": 17]> g (float[2,2] x) => (float y) { y = Det(x) }'
    )
    with pytest.raises(slipway.errors.NotImplemented, match=r"Det.*opset 10.*opset 11"):
        slipway.convert_opset(model.SerializeToString(), opset=10)
    with pytest.raises(slipway.errors.InvalidArgument, match="opset 3"):
        slipway.convert_opset(model.SerializeToString(), opset=3)
