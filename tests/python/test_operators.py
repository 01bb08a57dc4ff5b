"""Operators beside ONNX's reference evaluator, on shapes, attributes and types drawn at random from a fixed seed."""

import numpy as np
import pytest
import slipway
from onnx.reference import ReferenceEvaluator
from reference import PREVIEW, TRAINING, compare, floats, pick, single

import onnx
from onnx import helper


def test_grid_sample(rng):
    axes = int(rng.integers(1, 4))
    x = floats(rng, 2, 3, *rng.integers(1, 6, axes), dtype=pick(rng, np.float32, np.float64))
    grid = (rng.random((2, *rng.integers(1, 5, axes), axes)) * 3 - 1.5).astype(np.float32)
    # The reference moves a place beyond the border onto it before it goes cubic; PyTorch and onnxruntime do not.
    mode = pick(rng, "linear", "nearest", "cubic")
    compare(
        "GridSample",
        [x, grid],
        mode=mode,
        padding_mode=pick(rng, "zeros", "reflection", *(["border"] if mode != "cubic" else [])),
        align_corners=int(rng.integers(2)),
        rtol=1e-3,
        atol=1e-4,
    )


def test_pools_with_gaps(rng):
    attributes = {"kernel_shape": [2, 3], "dilations": [2, 1], "strides": [1, 2], "pads": [1, 0, 0, 1]}
    x = floats(rng, 2, 3, 7, 8)
    compare("AveragePool", [x], count_include_pad=int(rng.integers(2)), **attributes)
    compare("MaxPool", [x], **attributes)


@pytest.mark.parametrize("lengths", [None, [3, 1]])
def test_scan_of_opset_8(lengths):
    body = helper.make_graph(
        [helper.make_node("Add", ["s", "x"], ["t"]), helper.make_node("Identity", ["t"], ["u"])],
        "body",
        [onnx.ValueInfoProto(name="s"), onnx.ValueInfoProto(name="x")],
        [onnx.ValueInfoProto(name="t"), onnx.ValueInfoProto(name="u")],
    )
    state, x = np.array([[1.0], [2.0]], np.float32), np.arange(6, dtype=np.float32).reshape(2, 3, 1)
    counts = None if lengths is None else np.array(lengths)
    model, feeds = single("Scan", [counts, state, x], 2, opset=8, body=body, num_scan_inputs=1)
    last, sums = slipway.InferenceSession(model.SerializeToString()).run(None, feeds)
    want = state[:, None] + np.cumsum(x, axis=1)
    for i in range(2):
        n = 3 if lengths is None else lengths[i]
        np.testing.assert_array_equal(last[i], want[i, n - 1])
        np.testing.assert_array_equal(sums[i], np.where(np.arange(3)[:, None] < n, want[i], 0))


def test_affine_grid(rng):
    axes = int(rng.integers(2, 4))
    size = np.array([2, 1, *rng.integers(2, 6, axes)], dtype=np.int64)
    compare("AffineGrid", [floats(rng, 2, axes, axes + 1), size], align_corners=int(rng.integers(2)))


def test_roi_align(rng):
    boxes = np.sort(rng.random((4, 2, 2)) * 12 - 1, axis=1).reshape(4, 4).astype(np.float32)
    compare(
        "RoiAlign",
        [floats(rng, 2, 3, 9, 7), boxes, rng.integers(0, 2, 4)],
        mode=pick(rng, "avg", "max"),
        output_height=int(rng.integers(1, 4)),
        output_width=int(rng.integers(1, 4)),
        sampling_ratio=int(rng.integers(0, 3)),
        spatial_scale=float(pick(rng, 1.0, 0.5)),
        coordinate_transformation_mode=pick(rng, "half_pixel", "output_half_pixel"),
    )


def test_col2im(rng):
    axes = int(rng.integers(1, 4))
    image, block = rng.integers(4, 7, axes), rng.integers(1, 3, axes)
    strides, pads, dilations = rng.integers(1, 3, axes), rng.integers(0, 2, 2 * axes), rng.integers(1, 3, axes)
    columns = (image + pads[:axes] + pads[axes:] - dilations * (block - 1) - 1) // strides + 1
    x = floats(rng, 2, 3 * int(np.prod(block)), int(np.prod(columns)))
    attributes = {"strides": strides.tolist(), "pads": pads.tolist(), "dilations": dilations.tolist()}
    compare("Col2Im", [x, image, block], **attributes)


def test_deform_conv(rng):
    group, offset_group = pick(rng, 1, 2), pick(rng, 1, 2)
    kernel, stride, pad, dilation = rng.integers(1, 4, 2), pick(rng, 1, 2), pick(rng, 0, 1), pick(rng, 1, 2)
    out = [(7 + 2 * pad - dilation * (k - 1) - 1) // stride + 1 for k in kernel]
    taps = int(np.prod(kernel))
    compare(
        "DeformConv",
        [
            floats(rng, 2, 4, 7, 7),
            floats(rng, 6, 4 // group, *kernel),
            floats(rng, 2, offset_group * taps * 2, *out),
            pick(rng, None, floats(rng, 6)),
            pick(rng, None, floats(rng, 2, offset_group * taps, *out)),
        ],
        group=group,
        offset_group=offset_group,
        kernel_shape=kernel.tolist(),
        strides=[stride] * 2,
        pads=[pad] * 4,
        dilations=[dilation] * 2,
        rtol=1e-3,
        atol=1e-3,
    )


def test_max_unpool_undoes_max_pool(rng):
    x = floats(rng, 2, 3, 6, 8)
    pooled, index = ReferenceEvaluator(single("MaxPool", [x], 2, kernel_shape=[2, 2], strides=[2, 2])[0]).run(
        None, {"x0": x}
    )
    compare("MaxUnpool", [pooled, index], kernel_shape=[2, 2], strides=[2, 2])


def test_non_max_suppression(rng):
    center = int(rng.integers(2))
    boxes = rng.random((2, 40, 4)).astype(np.float32)
    scores = rng.integers(0, 30, (2, 3, 40)).astype(np.float32) / 30
    limits = [np.array([int(rng.integers(1, 12))]), np.array([rng.random()], np.float32), np.array([0.2], np.float32)]
    compare("NonMaxSuppression", [boxes, scores, *limits], center_point_box=center)


@pytest.mark.parametrize("length", [1, 2, 3, 4, 5, 7, 12, 17, 30, 97, 128, 401])
def test_dft_against_numpy(length):
    rng = np.random.default_rng(length)
    x = rng.standard_normal((3, length, 2, 2))
    z = x[..., 0] + 1j * x[..., 1]
    axis = np.array(1)

    def run(value, dft_length=None, **attributes):
        size = None if dft_length is None else np.array(dft_length)
        model, feeds = single("DFT", [value, size, axis], **attributes)
        return slipway.InferenceSession(model.SerializeToString()).run(None, feeds)[0]

    def parts(value):
        return np.stack([value.real, value.imag], -1)

    np.testing.assert_allclose(run(x), parts(np.fft.fft(z, axis=1)), atol=1e-10)
    np.testing.assert_allclose(run(x, inverse=1), parts(np.fft.ifft(z, axis=1)), atol=1e-10)
    np.testing.assert_allclose(run(x, length + 3), parts(np.fft.fft(z, length + 3, axis=1)), atol=1e-10)
    real = x[..., :1]
    half = np.fft.rfft(real[..., 0], axis=1)
    np.testing.assert_allclose(run(real, onesided=1), parts(half), atol=1e-10)
    back = run(parts(half), length, onesided=1, inverse=1)
    np.testing.assert_allclose(back, real, atol=1e-10)


def test_stft(rng):
    n, step = int(rng.integers(3, 17)), int(rng.integers(1, 7))
    window = pick(rng, None, rng.random(n).astype(np.float32))
    x = floats(rng, 2, int(rng.integers(n, 60)), 1)
    compare("STFT", [x, np.array(step), window, np.array(n)], onesided=int(rng.integers(2)), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("op", ["BlackmanWindow", "HammingWindow", "HannWindow"])
def test_windows(op):
    for periodic in (0, 1):
        for elem in (onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE):
            compare(op, [np.array(11, np.int32)], periodic=periodic, output_datatype=elem, rtol=1e-2, atol=3e-3)


def test_mel_weight_matrix(rng):
    numbers = [np.array(v) for v in (int(rng.integers(3, 20)), 512, 16000)]
    edges = [np.array(v, np.float32) for v in (0.0, pick(rng, 8000.0, 4000.0))]
    compare("MelWeightMatrix", [*numbers, *edges])


@pytest.mark.parametrize("op", ["NegativeLogLikelihoodLoss", "SoftmaxCrossEntropyLoss"])
def test_losses(op, rng):
    shape = [3, 5, *rng.integers(1, 4, rng.integers(0, 3))]
    target = rng.integers(0, 5, [3, *shape[2:]]).astype(pick(rng, np.int32, np.int64))
    attributes = {"reduction": pick(rng, "none", "sum", "mean")}
    if rng.integers(2):
        attributes["ignore_index"] = 2
    weights = pick(rng, None, rng.random(5).astype(np.float32) + 0.1)
    outputs = 2 if op.startswith("Softmax") else 1
    compare(op, [floats(rng, *shape), target, weights], outputs, **attributes)


def test_optimizers(rng):
    rate, steps = np.array(0.1, np.float32), np.array(int(rng.integers(0, 3)))
    x, g, s = (floats(rng, 3, 2) for _ in range(3))
    v = np.abs(floats(rng, 3, 2))
    options = {"domain": TRAINING, "norm_coefficient": 0.01}
    compare("Adagrad", [rate, steps, x, g, v], 2, epsilon=1e-4, decay_factor=0.1, **options)
    compare("Adam", [rate, steps, x, g, s, v], 3, alpha=0.9, beta=0.99, epsilon=1e-4, **options)
    mode = pick(rng, "standard", "nesterov")
    compare("Momentum", [rate, steps, x, g, s], 2, alpha=0.9, beta=0.8, mode=mode, **options)


def test_causal_conv_with_state(rng):
    length, taps = int(rng.integers(1, 8)), int(rng.integers(1, 5))
    inputs = [
        floats(rng, 2, 3, length),
        floats(rng, 3, 1, taps),
        pick(rng, None, floats(rng, 3)),
        pick(rng, None, floats(rng, 2, 3, taps - 1)),
    ]
    compare("CausalConvWithState", inputs, 2, activation=pick(rng, "none", "silu", "swish"))


def test_swiglu_and_flex_attention(rng):
    compare("SwiGLU", [floats(rng, 3, 4), floats(rng, 3, 4)], alpha=float(pick(rng, 1.0, 1.7)))
    heads = 4
    q, k, v = floats(rng, 2, heads, 3, 8), floats(rng, 2, pick(rng, 4, 2), 5, 8), None
    v = floats(rng, 2, k.shape[1], 5, 6)
    compare("FlexAttention", [q, k, v], domain=PREVIEW, rtol=1e-3, atol=1e-4)


def gradient(expression, feeds, xs, y, declared=None):
    """dy/dx for each of xs as the Gradient operator gives it, for a graph written in ONNX's text."""
    given = ", ".join(f"float[{','.join(map(str, v.shape))}] {n}" for n, v in feeds.items())
    model = onnx.parser.parse_model(
        f'<ir_version: 10, opset_import: ["" : 18, "{TRAINING}" : 1]> g ({given}) => (float {y}) {{ {expression} }}'
    )
    names = [f"d_{x}" for x in xs]
    node = helper.make_node("Gradient", xs, names, domain=TRAINING, xs=xs, y=y, name="g")
    model.graph.node.append(node)
    model.graph.output.extend(onnx.ValueInfoProto(name=n) for n in names)
    del model.graph.output[0]
    return slipway.InferenceSession(model.SerializeToString()).run(None, feeds)


@pytest.mark.parametrize(
    "expression",
    [
        "y = MatMul(a, b)",
        "t = MatMul(a, b) s = Softmax(t) y = Log(s)",
        "t = Gemm<transA = 0, alpha = 0.5>(a, b) y = Tanh(t)",
        "t = MatMul(a, b) s = Sigmoid(t) u = Exp(s) y = Div(u, t)",
        "t = MatMul(a, b) s = Mul(t, t) y = ReduceMean(s)",
        "t = MatMul(a, b) s = Relu(t) u = Transpose<perm = [1, 0]>(s) y = LogSoftmax(u)",
        "s = Sqrt(a) t = MatMul(s, b) u = Erf(t) y = Sum(u, t)",
    ],
)
def test_gradient_against_differences(expression):
    rng = np.random.default_rng(3)
    feeds = {"a": rng.random((3, 4)).astype(np.float32) + 0.5, "b": rng.random((4, 2)).astype(np.float32) + 0.5}
    got = gradient(expression, feeds, ["a", "b"], "y")
    model = onnx.parser.parse_model(
        f'<ir_version: 10, opset_import: ["" : 18]> g (double[3,4] a, double[4,2] b) => (double y) {{ {expression} }}'
    )
    reference = ReferenceEvaluator(model)
    wide = {n: v.astype(np.float64) for n, v in feeds.items()}
    for name, have in zip(("a", "b"), got, strict=True):
        for at in np.ndindex(wide[name].shape):
            ends = []
            for step in (1e-5, -1e-5):
                moved = {n: v.copy() for n, v in wide.items()}
                moved[name][at] += step
                ends.append(np.sum(reference.run(None, moved)[0]))
            np.testing.assert_allclose(have[at], (ends[0] - ends[1]) / 2e-5, rtol=2e-3, atol=1e-3)


@pytest.mark.parametrize(
    ("op", "inputs", "attributes", "message"),
    [
        ("GridSample", [np.zeros((1, 1, 2, 2), np.float32), np.zeros((1, 2, 2, 3), np.float32)], {}, "coordinates"),
        ("NonMaxSuppression", [np.zeros((1, 2, 4), np.float32), np.zeros((1, 1, 3), np.float32)], {}, "shape"),
        ("DFT", [np.zeros((1, 4, 3), np.float32)], {}, "real"),
        ("STFT", [np.zeros((1, 4, 1), np.float32), np.array(0)], {}, "frame_step"),
        ("RoiAlign", [np.zeros((1, 1, 2, 2), np.float32), np.zeros((1, 4), np.float32), np.array([7])], {}, "range"),
        ("MaxUnpool", [np.zeros((1, 1, 2), np.float32), np.array([[[0, 9]]])], {"kernel_shape": [1]}, "index 9"),
        ("NegativeLogLikelihoodLoss", [np.zeros((1, 2), np.float32), np.array([5])], {}, "target 5"),
        ("HannWindow", [np.array(-1)], {}, "size is -1"),
    ],
)
def test_bad_inputs_are_named(op, inputs, attributes, message):
    model, feeds = single(op, inputs, **attributes)
    with pytest.raises(slipway.errors.Error, match=message):
        slipway.InferenceSession(model.SerializeToString()).run(None, feeds)


def long_rows(dtype):
    """Rows longer than the blocks that some loops skip, with ties and, of floats, NaN and infinities."""
    rng = np.random.default_rng(3)
    x = rng.integers(-50, 50, (5, 300)).astype(dtype)
    if np.issubdtype(dtype, np.floating):
        x[1, 200:] = np.nan
        x[2, [0, 299]] = np.inf, -np.inf
    return x


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16, np.int64, np.int8, np.uint8])
@pytest.mark.parametrize("largest", [0, 1])
def test_top_k_of_long_rows(dtype, largest):
    x, k = long_rows(dtype), 7
    model, feeds = single("TopK", [x, np.array([k])], 2, axis=-1, largest=largest)
    values, indices = slipway.InferenceSession(model.SerializeToString()).run(None, feeds)
    # NaN stands above all numbers; equal ones in the order of their places.
    key = np.where(np.isnan(x), np.inf, x.astype(np.float64)) if x.dtype.kind == "f" else x.astype(np.float64)
    nan = np.isnan(x) if x.dtype.kind == "f" else np.zeros(x.shape, bool)
    sign = -1 if largest else 1
    order = np.lexsort((np.broadcast_to(np.arange(x.shape[1]), x.shape), sign * key, sign * nan), axis=-1)
    np.testing.assert_array_equal(indices, order[:, :k])
    np.testing.assert_array_equal(values, np.take_along_axis(x, order[:, :k], -1))


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16, np.int64, np.int8, np.uint8])
@pytest.mark.parametrize("last", [0, 1])
@pytest.mark.parametrize("axis", [0, 1])
def test_arg_max_of_long_rows(dtype, last, axis):
    x = long_rows(dtype)
    for op, sign in ("ArgMax", 1), ("ArgMin", -1):
        model, feeds = single(op, [x], axis=axis, select_last_index=last, keepdims=0)
        got = slipway.InferenceSession(model.SerializeToString()).run(None, feeds)[0]
        key = sign * x.astype(np.float64)
        if x.dtype.kind == "f":
            key = np.where(np.isnan(x), np.inf, np.where(np.isposinf(key), 1e9, key))
        want = key.shape[axis] - 1 - np.flip(key, axis).argmax(axis) if last else key.argmax(axis)
        np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("source", [np.float32, np.float64])
@pytest.mark.parametrize("target", [np.int64, np.int32, np.uint8, np.uint64, np.int8])
def test_cast_of_long_rows(source, target):
    x = np.linspace(-300.7, 300.7, 1000).astype(source)
    x[100], x[500:503] = np.nan, [np.inf, -np.inf, 1e30]
    model, feeds = single("Cast", [x], to=helper.np_dtype_to_tensor_dtype(np.dtype(target)))
    got = slipway.InferenceSession(model.SerializeToString()).run(None, feeds)[0]
    ends = np.iinfo(target)
    want = [0 if v != v else int(min(max(v, ends.min), ends.max)) for v in x.astype(object)]
    np.testing.assert_array_equal(got, np.array(want, target))


@pytest.mark.parametrize("shape", [(40, 70), (3, 1, 130), (200,), (0, 4), (5, 0), (700, 3), (1500, 1, 2)])
@pytest.mark.parametrize("dtype", [np.float32, np.int64, bool, np.uint8])
def test_non_zero_of_rows(shape, dtype):
    x = np.random.default_rng(1).integers(0, 3, shape).astype(dtype)
    compare("NonZero", [x])


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_gather_elements_of_rows(axis):
    rng = np.random.default_rng(2)
    x, indices = floats(rng, 50, 90), rng.integers(-50, 50, (50, 90))
    model, feeds = single("GatherElements", [x, indices], axis=axis)
    got = slipway.InferenceSession(model.SerializeToString()).run(None, feeds)[0]
    np.testing.assert_array_equal(got, np.take_along_axis(x, indices, axis))
    model, feeds = single("GatherElements", [floats(rng, 4, 90), np.full((4, 90), 90)], axis=1)
    with pytest.raises(Exception, match="index 90 is out of range"):
        slipway.InferenceSession(model.SerializeToString()).run(None, feeds)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint8])
@pytest.mark.parametrize("shapes", [[(70, 90)] * 3, [(70, 1), (70, 90), ()], [(90,), (1, 1), (70, 90)]])
def test_where_of_rows(dtype, shapes):
    rng = np.random.default_rng(4)
    condition, x, y = (rng.integers(0, 2, s) for s in shapes)
    compare("Where", [condition.astype(bool), (x * 9).astype(dtype), (y * 7 + 1).astype(dtype)])


@pytest.mark.parametrize("kernel", [(2, 2), (3, 3), (4, 4), (1, 5)])
@pytest.mark.parametrize("pads", [[0, 0, 0, 0], [1, 0, 0, 1], [0, 1, 1, 0]])
def test_conv_transpose_at_stride_two(kernel, pads):
    rng = np.random.default_rng(5)
    if kernel[0] == 1 and (pads[0] or pads[2]):
        pads = [0, pads[1], 0, pads[3]]
    x, w = floats(rng, 2, 3, 5, 6), floats(rng, 3, 4, *kernel)
    compare("ConvTranspose", [x, w], strides=[2, 2], pads=pads)


@pytest.mark.parametrize("trans", [(0, 0), (1, 0), (0, 1), (1, 1)])
def test_double_products(trans):
    rng = np.random.default_rng(6)
    a, b = floats(rng, 33, 70, dtype=np.float64), floats(rng, 70, 41, dtype=np.float64)
    inputs = [a.T.copy() if trans[0] else a, b.T.copy() if trans[1] else b]
    compare("Gemm", inputs, transA=trans[0], transB=trans[1], rtol=1e-12)


@pytest.mark.parametrize(
    "shapes", [((3, 1, 9, 20), (4, 20, 8)), ((5,), (2, 5, 3)), ((2, 7, 5), (5,)), ((0, 4), (4, 3))]
)
def test_double_products_broadcast(shapes):
    rng = np.random.default_rng(7)
    compare("MatMul", [floats(rng, *s, dtype=np.float64) for s in shapes], rtol=1e-12)


@pytest.mark.parametrize("op, gates", [("LSTM", 4), ("GRU", 3), ("RNN", 1)])
@pytest.mark.parametrize("hidden", [5, 64, 256])
@pytest.mark.parametrize("layout", [0, 1])
@pytest.mark.parametrize("threads", [1, 2])
def test_recurrent_batches(op, gates, hidden, layout, threads):
    """Items of a batch, which threads may share out, are what each is by itself; lengths that differ, too."""
    rng = np.random.default_rng(8)
    steps, batch, size = 6, 5, 3
    x = floats(rng, steps, batch, size)
    w, r = floats(rng, 2, gates * hidden, size), floats(rng, 2, gates * hidden, hidden) / hidden**0.5
    b, lengths = floats(rng, 2, 2 * gates * hidden), np.array([6, 2, 0, 6, 5], np.int32)
    options = slipway.SessionOptions()
    options.intra_op_num_threads = threads

    def run(x, lengths, outputs=2):
        feed = x.swapaxes(0, 1).copy() if layout else x
        model, feeds = single(
            op, [feed, w, r, b, lengths], outputs, hidden_size=hidden, direction="bidirectional", layout=layout
        )
        got = slipway.InferenceSession(model.SerializeToString(), options).run(None, feeds)
        # [steps, directions, batch, hidden] and [directions, batch, hidden]
        return [got[0].transpose(1, 2, 0, 3), got[1].swapaxes(0, 1)] if layout else got

    for given in None, lengths:
        y, last = run(x, given)
        for i in range(batch):
            n = steps if given is None else int(given[i])
            assert not y[n:, :, i].any()
            if n == 0:
                continue
            alone, alone_last = run(x[:n, i : i + 1].copy(), None)
            np.testing.assert_allclose(y[:n, :, i], alone[:, :, 0], rtol=1e-4, atol=2e-5)
            np.testing.assert_allclose(last[:, i], alone_last[:, 0], rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize("opset", [11, 12])
@pytest.mark.parametrize("scale", [2, 0.6, 1.7])
def test_resize_by_the_mode_that_two_opsets_had(opset, scale):
    x = np.arange(20, dtype=np.float32).reshape(1, 1, 4, 5)
    inputs = [x, np.array([], np.float32), np.array([1, 1, scale, scale], np.float32)]
    options = {"coordinate_transformation_mode": "tf_half_pixel_for_nn", "nearest_mode": "floor"}
    model, feeds = single("Resize", inputs, opset=opset, **options)
    (y,) = slipway.InferenceSession(model.SerializeToString()).run(None, feeds)
    rows, columns = ([min(int((i + 0.5) / scale), n - 1) for i in range(int(n * scale))] for n in (4, 5))
    np.testing.assert_array_equal(y, x[:, :, rows][..., columns])


@pytest.mark.parametrize("dtype", [np.complex64, np.complex128])
@pytest.mark.parametrize("mode", ["linear", "cubic"])
def test_resize_of_complex_numbers(dtype, mode):
    rng = np.random.default_rng(0)
    x = (rng.random((1, 2, 4, 5)) + 1j * rng.random((1, 2, 4, 5))).astype(dtype)
    scales = np.array([1, 1, 2, 1.5], np.float32)

    def resized(x):
        model, feeds = single("Resize", [x, None, scales], mode=mode)
        return slipway.InferenceSession(model.SerializeToString()).run(None, feeds)[0]

    np.testing.assert_allclose(resized(x), resized(x.real.copy()) + 1j * resized(x.imag.copy()), rtol=1e-5)


def test_resize_of_large_integers():
    x = np.array([[[[(1 << 30) + 1, (1 << 30) + 3]]]], np.int32)
    model, feeds = single("Resize", [x, None, np.array([1, 1, 1, 2], np.float32)], mode="linear")
    (y,) = slipway.InferenceSession(model.SerializeToString()).run(None, feeds)
    assert (y - (1 << 30)).ravel().tolist() == [1, 2, 2, 3]


@pytest.mark.parametrize("axis", [None, 0])
def test_unique_of_complex_numbers(axis):
    x = np.array([[1 + 2j, 1 + 1j], [0, 1 + 2j], [1 + 2j, 1 + 1j]], np.complex64)
    model, feeds = single("Unique", [x], 4, **({} if axis is None else {"axis": axis}))
    got = slipway.InferenceSession(model.SerializeToString()).run(None, feeds)
    wanted = np.unique(x, True, True, True, axis=axis)
    for g, w in zip(got, wanted, strict=True):
        np.testing.assert_array_equal(g, np.ravel(w) if w.ndim > g.ndim else w)


def test_a_window_of_integers_has_its_peak():
    model, feeds = single("BlackmanWindow", [np.array(8)], output_datatype=6)
    (y,) = slipway.InferenceSession(model.SerializeToString()).run(None, feeds)
    assert y.tolist() == [0, 0, 0, 0, 1, 0, 0, 0]
