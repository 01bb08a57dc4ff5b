"""Operators beside ONNX's reference evaluator, on shapes, attributes and types drawn at random from a fixed seed."""

import struct
import zlib

import ml_dtypes
import numpy as np
import pytest
import slipway
from onnx.reference import ReferenceEvaluator

import onnx
from onnx import helper

TRAINING = "ai.onnx.preview.training"
PREVIEW = "ai.onnx.preview"


def single(op, inputs, outputs=1, opset=None, domain="", **attributes):
    """A model of one node; an input of None is left out."""
    names = ["" if v is None else f"x{i}" for i, v in enumerate(inputs)]
    results = [f"y{i}" for i in range(outputs)]
    node = helper.make_node(op, names, results, domain=domain, **attributes)
    infos = [
        helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(v.dtype), [None] * v.ndim)
        for n, v in zip(names, inputs, strict=True)
        if n
    ]
    graph = helper.make_graph([node], "one", infos, [onnx.ValueInfoProto(name=n) for n in results])
    opsets = [helper.make_opsetid("", opset or 28)]
    if domain:
        opsets.append(helper.make_opsetid(domain, 1))
    return helper.make_model(graph, opset_imports=opsets, ir_version=10), {
        n: v for n, v in zip(names, inputs, strict=True) if n
    }


def compare(op, inputs, outputs=1, rtol=1e-4, atol=1e-5, **options):
    model, feeds = single(op, inputs, outputs, **options)
    want = ReferenceEvaluator(model).run(None, feeds)
    got = slipway.InferenceSession(model.SerializeToString()).run(None, feeds)
    for g, w in zip(got, want, strict=True):
        # The reference computes optimizers in the type of Python's numbers.
        w = np.asarray(w, g.dtype if options.get("domain") == TRAINING else None)
        assert g.shape == w.shape and g.dtype == w.dtype
        np.testing.assert_allclose(g.astype(np.float64), w.astype(np.float64), rtol=rtol, atol=atol)


@pytest.fixture(params=range(6))
def rng(request):
    return np.random.default_rng(request.param)


def floats(rng, *shape, dtype=np.float32):
    return rng.standard_normal(shape).astype(dtype)


def pick(rng, *choices):
    return choices[rng.integers(len(choices))]


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


def test_linear_attention(rng):
    heads, share, size, value_size, tokens = 2, pick(rng, 1, 2), 3, 4, 5
    rule = pick(rng, "linear", "gated", "delta", "gated_delta")
    decay = -rng.random((2, tokens, pick(rng, heads, heads * size))).astype(np.float32)
    beta = rng.random((2, tokens, pick(rng, heads, 1))).astype(np.float32)
    compare(
        "LinearAttention",
        [
            floats(rng, 2, tokens, heads * share * size),
            floats(rng, 2, tokens, heads * size),
            floats(rng, 2, tokens, heads * value_size),
            pick(rng, None, floats(rng, 2, heads, size, value_size)),
            decay if rule.startswith("gated") else None,
            beta if rule.endswith("delta") else None,
        ],
        2,
        q_num_heads=heads * share,
        kv_num_heads=heads,
        update_rule=rule,
        rtol=1e-3,
        atol=1e-4,
    )


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


@pytest.mark.parametrize("seed", range(24))
def test_attention_corners(seed):
    """Flat and not, shared heads, masks shorter than the keys, windows, caches inside and out, what lies between."""
    rng = np.random.default_rng(seed)
    batch, heads, shared, queries, keys = 2, pick(rng, 2, 4), 2, int(rng.integers(1, 5)), int(rng.integers(2, 7))
    q, k, v = (
        floats(rng, batch, heads, queries, 4),
        floats(rng, batch, shared, keys, 4),
        floats(rng, batch, shared, keys, 3),
    )
    past = [None, None]
    nonpad = None
    cache = pick(rng, "none", "past", "nonpad")
    if cache == "past":
        past = [floats(rng, batch, shared, 3, 4), floats(rng, batch, shared, 3, 3)]
    if cache == "nonpad":
        nonpad = rng.integers(1, keys + 1, batch)
    total = keys + (3 if cache == "past" else 0)
    # A mask whose last axis is 1 may be repeated or filled up: both are "broadcast", so that none is tried here.
    columns = total if cache == "nonpad" else int(rng.integers(2, total + 1))
    shape = pick(rng, (queries, columns), (1, heads, queries, columns), (batch, 1, queries, columns))
    mask = pick(rng, None, floats(rng, *shape), rng.random(shape) > 0.3)
    attributes = {"is_causal": int(rng.integers(2)), "softcap": float(pick(rng, 0.0, 2.0))}
    if rng.integers(2):
        attributes |= {"left_window_size": int(rng.integers(-1, 3)), "right_window_size": int(rng.integers(-1, 3))}
    if rng.integers(2):
        attributes["scale"] = 0.3
    outputs = 4 if rng.integers(2) else 1
    if outputs == 4:
        # With a soft cap the reference gives for mode 0 what mode 1 is: not the raw product.
        attributes["qk_matmul_output_mode"] = int(rng.integers(1 if attributes["softcap"] else 0, 4))
    if cache != "past" and rng.integers(2):
        q, k, v = (x.transpose(0, 2, 1, 3).reshape(batch, x.shape[2], -1) for x in (q, k, v))
        attributes |= {"q_num_heads": heads, "kv_num_heads": shared}
    if cache == "nonpad":
        outputs = 1
        attributes.pop("qk_matmul_output_mode", None)
    compare("Attention", [q, k, v, mask, *past, nonpad], outputs, rtol=1e-3, atol=1e-5, **attributes)


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


def decode(data, pixel_format="RGB"):
    model, feeds = single("ImageDecoder", [np.frombuffer(data, np.uint8)], pixel_format=pixel_format)
    return slipway.InferenceSession(model.SerializeToString()).run(None, feeds)[0]


def png(rng, samples, depth, color, palette=None):
    """A PNG file of samples [height, width, channels] below 2 ** depth, each row with a filter drawn at random."""
    height, width, channels = samples.shape
    if depth == 16:
        rows = samples.astype(">u2").reshape(height, -1).view(np.uint8)
    else:
        bits = (samples.reshape(height, -1, 1) >> np.arange(depth)[::-1]) & 1
        rows = np.packbits(bits.reshape(height, -1).astype(np.uint8), axis=1)
    step = max(1, channels * depth // 8)
    above, out = np.zeros(rows.shape[1], np.int64), bytearray()
    for row in rows.astype(np.int64):
        kind = int(rng.integers(5))
        left = np.concatenate([np.zeros(step, np.int64), row])[: len(row)]
        corner = np.concatenate([np.zeros(step, np.int64), above])[: len(row)]
        estimate = left + above - corner
        a, b, c = abs(estimate - left), abs(estimate - above), abs(estimate - corner)
        paeth = np.where((a <= b) & (a <= c), left, np.where(b <= c, above, corner))
        guess = [0 * row, left, above, (left + above) // 2, paeth][kind]
        out += bytes([kind]) + ((row - guess) % 256).astype(np.uint8).tobytes()
        above = row

    def chunk(name, body):
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0)
    colors = chunk(b"PLTE", palette.tobytes()) if palette is not None else b""
    packed = zlib.compress(bytes(out), int(rng.integers(0, 10)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + colors + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("color", "depth"),
    [(0, d) for d in (1, 2, 4, 8, 16)] + [(3, d) for d in (1, 2, 4, 8)] + [(c, d) for c in (2, 4, 6) for d in (8, 16)],
)
def test_png(color, depth):
    rng = np.random.default_rng(color * 16 + depth)
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[color]
    samples = rng.integers(0, 2**depth, (13, 37, channels))
    palette = rng.integers(0, 256, (2**depth, 3), np.uint8) if color == 3 else None
    image = decode(png(rng, samples, depth, color, palette))
    if color == 3:
        want = palette[samples[..., 0]]
    else:
        want = samples >> 8 if depth == 16 else samples * 255 // (2**depth - 1)
        want = want[..., :3] if color in (2, 6) else np.repeat(want[..., :1], 3, -1)
    np.testing.assert_array_equal(image, want)


def test_bmp_and_pnm():
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (5, 7, 3), np.uint8)
    rows = b"".join(row.tobytes().ljust(24, b"\0") for row in image[::-1, :, ::-1])
    info = struct.pack("<IiiHHIIiiII", 40, 7, 5, 1, 24, 0, len(rows), 0, 0, 0, 0)
    bmp = b"BM" + struct.pack("<IHHI", 54 + len(rows), 0, 0, 54) + info + rows
    np.testing.assert_array_equal(decode(bmp), image)
    np.testing.assert_array_equal(decode(bmp, "BGR"), image[..., ::-1])
    np.testing.assert_array_equal(decode(b"P6 # a comment\n7 5\n255\n" + image.tobytes()), image)
    text = " ".join(map(str, image.ravel()))
    np.testing.assert_array_equal(decode(f"P3\n7 5\n255\n{text}\n".encode()), image)
    bits = rng.integers(0, 2, (5, 7), np.uint8)
    want = (1 - bits[..., None]) * np.uint8(255)
    np.testing.assert_array_equal(decode(b"P4 7 5\n" + np.packbits(bits, axis=1).tobytes(), "Grayscale"), want)


def test_broken_images_have_no_pixels():
    rng = np.random.default_rng(0)
    whole = png(rng, rng.integers(0, 256, (9, 9, 3)), 8, 2)
    for data in (b"", b"P6", b"BM", whole[:40], b"\xff\xd8\xff\xe0 no picture", b"nothing known", b"P5 9 9 255\n"):
        assert decode(data).shape == (0, 0, 3)
    for _ in range(200):
        broken = bytearray(whole)
        broken[int(rng.integers(8, len(whole)))] ^= 1 << int(rng.integers(8))
        assert decode(bytes(broken)).ndim == 3


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


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("queries, keys", [(1, 40), (5, 5), (70, 90)])
@pytest.mark.parametrize("mask", [None, "bool", "add"])
@pytest.mark.parametrize("options", [{}, {"is_causal": 1}, {"softcap": 2.0, "scale": 0.3}, {"softmax_precision": 1}])
def test_attention_in_halves_is_its_definition(dtype, queries, keys, mask, options):
    """Each step of the definition rounds. What NumPy sums in bfloat16 one by one is off by more for long rows."""
    dtype = np.dtype(getattr(ml_dtypes, dtype, dtype))
    rng = np.random.default_rng(queries)
    q, k, v = (floats(rng, 2, h, n, 16).astype(dtype) for h, n in ((4, queries), (2, keys), (2, keys)))
    masks = {
        None: None,
        "bool": rng.integers(0, 4, (queries, keys)) > 0,
        "add": floats(rng, 2, 1, queries, keys).astype(dtype),
    }
    tolerance = 4e-3 if dtype == np.float16 else 5e-2
    compare("Attention", [q, k, v, masks[mask]], opset=24, rtol=tolerance, atol=tolerance, **options)


@pytest.mark.parametrize("mode", range(4))
def test_attention_in_halves_tells_its_scores(mode):
    rng = np.random.default_rng(mode)
    q, k, v = (floats(rng, 1, 2, n, 8, dtype=np.float16) for n in (3, 6, 6))
    model, feeds = single(
        "Attention", [q, k, v], 4, opset=24, is_causal=1, softcap=3.0 * (mode > 0), qk_matmul_output_mode=mode
    )
    model.graph.node[0].output[1] = model.graph.node[0].output[2] = ""
    del model.graph.output[1:3]
    want = ReferenceEvaluator(model).run(None, feeds)
    got = slipway.InferenceSession(model.SerializeToString()).run(None, feeds)
    for g, w in zip(got, want, strict=True):
        np.testing.assert_allclose(g.astype(np.float64), w.astype(np.float64), rtol=2e-3, atol=2e-3)


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
