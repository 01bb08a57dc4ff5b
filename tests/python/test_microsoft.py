"""Operators of com.microsoft: against onnxruntime where its CPU has them, else against what they say, in NumPy."""

import math
import os

import numpy as np
import pytest
import slipway
from microsoft import (
    RNG,
    attend,
    caches,
    check,
    close,
    feeds,
    group_query,
    ints,
    merge,
    model,
    only_slipway,
    rand,
    run_onnxruntime,
    run_slipway,
    softmax,
    split,
)

# What is taken apart on reading.

SMALL = [
    ("BiasGelu", [rand(2, 3, 8), rand(8)], {}),
    ("Gelu", [rand(2, 3, 8)], {}),
    ("FastGelu", [rand(2, 3, 8)], {}),
    ("FastGelu", [rand(2, 3, 8), rand(8)], {}),
    ("QuickGelu", [rand(2, 9)], {}),
    ("QuickGelu", [rand(2, 9)], {"alpha": 1.0}),
    ("FusedMatMul", [rand(2, 3, 4), rand(4, 5)], {}),
    ("FusedMatMul", [rand(2, 3, 4), rand(2, 4, 5)], {"alpha": 0.5}),
    ("FusedMatMul", [rand(2, 4, 3), rand(2, 5, 4)], {"transA": 1, "transB": 1, "alpha": -2.0}),
    ("FusedMatMul", [rand(4, 3), rand(4, 5)], {"transA": 1}),
    ("FusedMatMul", [rand(3, 2, 4), rand(2, 4, 5)], {"transBatchA": 1}),
    ("FusedMatMul", [rand(3, 2, 6, 4), rand(4, 2, 6, 5)], {"transBatchA": 1, "transBatchB": 1, "alpha": 3.0}),
    (
        "FusedMatMul",
        [rand(4, 2, 6, 3), rand(5, 2, 6, 4)],
        {"transBatchA": 1, "transBatchB": 1, "transA": 1, "transB": 1},
    ),
    ("FusedMatMul", [rand(2, 4, 3).astype(np.float64), rand(2, 4, 5).astype(np.float64)], {"transA": 1, "alpha": 0.3}),
    ("TransposeMatMul", [rand(2, 4, 3), rand(2, 4, 5)], {"transA": 1, "alpha": 0.3}),
    ("FusedGemm", [rand(3, 4), rand(4, 5), rand(5)], {"activation": "Relu"}),
    ("FusedGemm", [rand(4, 3), rand(5, 4), rand(3, 1)], {"activation": "Tanh", "transA": 1, "transB": 1, "beta": 0.5}),
    ("FusedGemm", [rand(3, 4), rand(4, 5)], {"activation": "LeakyRelu", "activation_alpha": 0.2, "alpha": 2.0}),
    ("FusedGemm", [rand(3, 4), rand(4, 5), rand(5)], {"activation": "Sigmoid"}),
    (
        "FusedGemm",
        [rand(3, 4), rand(4, 5), rand(5)],
        {"activation": "HardSigmoid", "activation_alpha": 0.3, "activation_beta": 0.4},
    ),
    ("FusedConv", [rand(1, 3, 8, 8), rand(4, 3, 3, 3), rand(4)], {"activation": "Relu", "pads": [1, 1, 1, 1]}),
    ("FusedConv", [rand(1, 3, 8, 8), rand(4, 3, 3, 3), rand(4), rand(1, 4, 6, 6)], {"activation": "Relu"}),
    ("FusedConv", [rand(1, 3, 8, 8), rand(4, 3, 3, 3), None, rand(1, 4, 6, 6)], {}),
    (
        "FusedConv",
        [rand(1, 4, 8, 8), rand(4, 1, 3, 3)],
        {"activation": "LeakyRelu", "activation_params": [0.3], "group": 4},
    ),
    ("FusedConv", [rand(1, 3, 8, 8), rand(4, 3, 3, 3)], {"activation": "Clip", "activation_params": [-0.5, 0.5]}),
    (
        "FusedConv",
        [rand(1, 3, 8, 8), rand(4, 3, 3, 3)],
        {"activation": "HardSigmoid", "activation_params": [0.1, 0.6], "strides": [2, 2]},
    ),
    ("Inverse", [rand(3, 4, 4) + 4 * np.eye(4, dtype=np.float32)], {}),
    ("Inverse", [np.array([[0, 1], [1, 0]], np.float64)], {}),
    ("Trilu", [rand(2, 4, 5), np.array(-1, np.int64)], {"upper": 0}),
    ("Trilu", [rand(4, 5)], {}),
    ("GatherND", [rand(2, 3, 4), np.array([[0, 1], [1, 2]], np.int64)], {}),
    ("GatherND", [rand(2, 3, 4), np.array([[[0]], [[1]]], np.int32)], {}),
    ("Pad", [rand(2, 3), np.array([0, 1, 2, 0], np.int64)], {}),
    ("Pad", [rand(2, 3), np.array([[0, 1, 2, 0]], np.int64), np.array([5], np.float32)], {}),
    ("Pad", [rand(4, 3), np.array([1, 1, 1, 1], np.int64)], {"mode": "reflect"}),
    ("Range", [np.array([1], np.int32), np.array([9], np.int32)], {}),
    ("Range", [np.array(1, np.float32), np.array(9, np.float32), np.array(2.5, np.float32)], {}),
    ("ExpandDims", [rand(2, 3), np.array(-1, np.int32)], {}),
    ("ExpandDims", [rand(2, 3), np.array([1], np.int32)], {}),
    ("CDist", [rand(4, 9), rand(3, 9)], {"metric": "euclidean"}),
    ("CDist", [rand(4, 3).astype(np.float64), rand(3, 3).astype(np.float64)], {"metric": "sqeuclidean"}),
    ("UnfoldTensor", [rand(2, 9, 3)], {"dim": 1, "size": 3, "step": 2}),
    ("UnfoldTensor", [np.arange(7)], {"size": 3}),
    ("MurmurHash3", [np.array([3, -4], np.int32)], {"positive": 0}),
    ("MurmurHash3", [np.array([3, 4], np.int64)], {"seed": 42}),
    ("MurmurHash3", [np.array(["a", "bc", "some words", "", "abcdefg"], object)], {}),
    ("MurmurHash3", [np.array([1.5, -2], np.float64)], {}),
    ("DynamicTimeWarping", [rand(6, 9)], {}),
    ("DynamicTimeWarping", [rand(1, 9, 4)], {}),
    ("DynamicTimeWarping", [np.ones((3, 3), np.float32)], {}),
    ("NGramRepeatBlock", [np.array([[1, 2, 3, 1, 2], [4, 4, 4, 4, 4]], np.int64), rand(2, 6)], {"ngram_size": 3}),
    ("NGramRepeatBlock", [np.array([[1, 2]], np.int64), rand(1, 6)], {"ngram_size": 3}),
    ("NGramRepeatBlock", [np.array([[1, 2]], np.int64), rand(1, 6)], {"ngram_size": 1}),
    (
        "CropAndResize",
        [rand(2, 3, 8, 9), np.array([[0.1, 0.2, 0.8, 0.7], [0, 0, 1, 1]], np.float32), ints(1, 0), ints(4, 5)],
        {},
    ),
    (
        "CropAndResize",
        [rand(2, 3, 8, 9), np.array([[-0.1, 0.2, 1.2, 0.7], [0.3, 0, 0.3, 1]], np.float32), ints(1, 0), ints(4, 1)],
        {"mode": "nearest", "extrapolation_value": 7.0},
    ),
    ("ConvTransposeWithDynamicPads", [rand(1, 3, 5, 5), rand(3, 2, 3, 3), np.array([0, 1, 1, 0], np.int64)], {}),
    (
        "ConvTransposeWithDynamicPads",
        [rand(1, 3, 5, 5), rand(3, 2, 3, 3), np.array([1, 1, 1, 1], np.int64), rand(2)],
        {"strides": [2, 2], "output_padding": [1, 1]},
    ),
]


@pytest.mark.parametrize(("op", "inputs", "attributes"), SMALL, ids=[f"{s[0]}-{i}" for i, s in enumerate(SMALL)])
def test_small(op, inputs, attributes):
    check(op, inputs, **attributes)


@pytest.mark.parametrize("mode", ["bilinear", "nearest", "bicubic"])
@pytest.mark.parametrize("padding_mode", ["zeros", "border", "reflection"])
def test_grid_sample(mode, padding_mode):
    if not any("GridSample" in line for line in operators()):
        pytest.skip("there is no GridSample yet")
    check("GridSample", [rand(1, 2, 5, 6), rand(1, 4, 3, 2)], tolerance=1e-4, mode=mode, padding_mode=padding_mode)


def operators():
    here = os.path.join(os.path.dirname(__file__), "..", "..", "src", "ops", "ops.inc")
    with open(here) as f:
        return f.read().splitlines()


def test_unique():
    check("Unique", [np.array([2, 1, 1, 3, 4, 3], np.float32)], (1, 1, 1))


EXTRA = [
    ("Affine", [rand(2, 3)], {"alpha": 2.0, "beta": 0.5}, 1),
    ("ParametricSoftplus", [rand(2, 3)], {"alpha": 2.0, "beta": 0.5}, 1),
    ("ScaledTanh", [rand(2, 3)], {"alpha": 2.0, "beta": 0.5}, 1),
    ("Scale", [rand(2, 3)], {"scale": 3.0}, 1),
    ("ImageScaler", [rand(1, 3, 4, 4)], {"scale": 0.5, "bias": [1.0, 2.0, 3.0]}, 1),
    ("Crop", [rand(1, 2, 6, 7)], {"border": [1, 2, 1, 0]}, 1),
    ("Crop", [rand(1, 2, 6, 7)], {"border": [1, 2, 1, 0], "scale": [2, 3]}, 1),
    ("ThresholdedRelu", [rand(2, 3)], {"alpha": 0.5}, 9),
    ("LayerNormalization", [rand(2, 3, 8), rand(8), rand(8)], {"epsilon": 1e-3}, 12),
    ("SimplifiedLayerNormalization", [rand(2, 3, 8), rand(8)], {"epsilon": 1e-3, "axis": -1, "stash_type": 1}, 14),
]


@pytest.mark.parametrize(
    ("op", "inputs", "attributes", "opset"), EXTRA, ids=[f"{s[0]}-{i}" for i, s in enumerate(EXTRA)]
)
def test_in_the_standard_domain(op, inputs, attributes, opset):
    check(op, inputs, domain="", opset=opset, **attributes)


def test_inverse_deviation_of_simplified_normalization():
    check(
        "SimplifiedLayerNormalization", [rand(2, 3, 8), rand(8)], (1, 1), domain="", epsilon=1e-3, axis=-1, stash_type=1
    )


# Normalizations and embeddings.


@pytest.mark.parametrize("simplified", [False, True])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
@pytest.mark.parametrize("skip", [(2, 3, 8), (1, 3, 8), (3, 8)])
def test_skip_normalization(simplified, bias, dtype, skip):
    op = "SkipSimplifiedLayerNormalization" if simplified else "SkipLayerNormalization"
    inputs = [rand(2, 3, 8), rand(*skip), rand(8)] + ([] if simplified else [rand(8)]) + ([rand(8)] if bias else [])
    inputs = [x.astype(dtype) for x in inputs]
    if dtype != np.float64:
        return check(op, inputs, (1, 0, 0, 1), 1e-5 if dtype == np.float32 else 1e-2, epsilon=1e-3)
    # onnxruntime has kernels for double, but its checker does not let it through.
    total = inputs[0] + inputs[1] + (inputs[-1] if bias else 0)
    mean = 0 if simplified else total.mean(-1, keepdims=True)
    y = (total - mean) / np.sqrt(((total - mean) ** 2).mean(-1, keepdims=True) + 1e-3) * inputs[2]
    only_slipway(op, inputs, (1, 0, 0, 1), [y + (0 if simplified else inputs[3]), total], 1e-6, epsilon=1e-3)


@pytest.mark.parametrize("segments", [False, True])
@pytest.mark.parametrize("mask", [False, True])
@pytest.mark.parametrize("positions", [None, 1, 2])
def test_embed_layer_normalization(segments, mask, positions):
    ids = RNG.integers(0, 10, (2, 5)).astype(np.int32)
    inputs = [ids, RNG.integers(0, 2, (2, 5)).astype(np.int32) if segments else None, rand(10, 8), rand(6, 8)]
    inputs += [rand(2, 8) if segments else None, rand(8), rand(8)]
    inputs += [np.array([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]], np.int32) if mask else None]
    inputs += [RNG.integers(0, 6, (positions, 5)).astype(np.int32) if positions else None]
    while inputs[-1] is None:
        inputs.pop()
    check("EmbedLayerNormalization", inputs, (1, 1, 1), epsilon=1e-6)


@pytest.mark.parametrize("segments", [False, True])
@pytest.mark.parametrize("mask", [False, True])
def test_quantized_embed_layer_normalization(segments, mask):
    rng = np.random.default_rng(3)

    def table(*shape):
        return rng.integers(0, 256, shape).astype(np.uint8)

    def each(values, dtype):
        return [np.array(v, dtype) if i != 2 or segments else None for i, v in enumerate(values)]

    inputs = [rng.integers(0, 20, (2, 5)).astype(np.int32)]
    inputs += [rng.integers(0, 3, (2, 5)).astype(np.int32) if segments else None]
    inputs += [table(20, 8), table(9, 8), table(3, 8) if segments else None, table(8), table(8)]
    inputs += [rng.integers(0, 2, (2, 5)).astype(np.int32) if mask else None]
    inputs += each([0.01, 0.02, 0.03, 0.005, 0.006], np.float32) + each([100, 120, 128, 3, 130], np.uint8)
    constants = [i for i in range(2, 18) if i != 7 and inputs[i] is not None]
    check("QEmbedLayerNormalization", inputs, (1, 1), constants=constants, epsilon=1e-12)


@pytest.mark.parametrize(("n", "k", "block"), [(1, 16, 16), (100, 33, 16), (130, 48, 64)])
@pytest.mark.parametrize("code", [0, 1])
def test_four_bits_of_bitsandbytes(n, k, block, code):
    rng = np.random.default_rng(4)
    b = rng.integers(0, 256, (n * k + 1) // 2).astype(np.uint8)
    inputs = [rng.standard_normal((2, 3, k)).astype(np.float32), b, rng.random((n * k - 1) // block + 1, np.float32)]
    check("MatMulBnb4", inputs, constants=(1, 2), K=k, N=n, block_size=block, quant_type=code)


@pytest.mark.parametrize("axes", [1, 2])
def test_real_transforms(axes):
    x = np.random.default_rng(5).standard_normal((2, 6, 8)).astype(np.float32)
    attributes = {"signal_ndim": axes, "onesided": 1, "normalized": 0}
    (y,) = run_slipway(model("Rfft", [x], (1,), attributes), {"x0": x})
    wanted = np.fft.rfftn(x, axes=range(3 - axes, 3))
    np.testing.assert_allclose(y, np.stack([wanted.real, wanted.imag], -1), atol=1e-5)
    (back,) = run_slipway(model("Irfft", [y], (1,), attributes), {"x0": y})
    np.testing.assert_allclose(back, x, atol=1e-5)


def test_channels_last_convolution():
    rng = np.random.default_rng(6)
    x, w, b = (rng.standard_normal(s).astype(np.float32) for s in ((1, 5, 6, 2), (4, 3, 3, 2), (4,)))
    window = {"pads": [1, 1, 1, 1], "strides": [2, 1]}
    (y,) = run_slipway(model("NhwcConv", [x, w, b], (1,), window), feeds([x, w, b]))
    first = [np.ascontiguousarray(v.transpose(0, 3, 1, 2)) for v in (x, w)] + [b]
    (wanted,) = run_onnxruntime(model("Conv", first, (1,), window, domain=""), feeds(first))
    np.testing.assert_allclose(y, wanted.transpose(0, 2, 3, 1), atol=1e-5)


# What onnxruntime has for other devices only.


def test_padding_and_packed_attention():
    x, w, b, counts = rand(3, 4, 8), rand(8, 24), rand(24), ints(1, 2, 4)
    places = np.array([[0, 4, 5, 8], [9, 10, 11, 1], [2, 3, 6, 7]], np.int32)
    flat = x.reshape(12, 8)[places.reshape(-1)[:7]]
    starts = ints(0, 1, 3, 7)
    only_slipway("RemovePadding", [x, counts], (1, 1, 1, 1), [flat, places, starts, ints(4)])
    bias = rand(1, 2, 4, 4)
    q, k, v = (split(t, 2) for t in np.split(x @ w + b, 3, -1))
    wanted = []
    for i, n in enumerate(counts):
        part = [t[i : i + 1, :, :n] for t in (q, k, v)]
        wanted.append(merge(attend(*part, bias[:, :, :n, :n]))[0])
    wanted = np.concatenate(wanted)
    only_slipway("PackedAttention", [flat, w, b, places, starts, bias], (1,), [wanted], num_heads=2)
    rows = flat @ w
    parts = [np.ascontiguousarray(t) for t in np.split(rows, 3, -1)]
    only_slipway("PackedMultiHeadAttention", [*parts, b, places, starts, bias], (1,), [wanted], num_heads=2)
    packed = np.ascontiguousarray(rows.reshape(7, 3, 2, 4).transpose(0, 2, 1, 3))
    only_slipway("PackedMultiHeadAttention", [packed, None, None, b, places, starts, bias], (1,), [wanted], num_heads=2)
    restored = np.zeros_like(x).reshape(12, 8)
    restored[places.reshape(-1)[:7]] = flat
    only_slipway("RestorePadding", [flat, places], (1,), [restored.reshape(3, 4, 8)])


@pytest.mark.parametrize("both_ways", [0, 1])
def test_relative_position_bias(both_ways):
    torch = pytest.importorskip("torch")
    t5 = pytest.importorskip("transformers.models.t5.modeling_t5").T5Attention
    table = rand(8, 3)
    distance = torch.arange(12)[None] - torch.arange(12)[:, None]
    buckets = t5._relative_position_bucket(distance, bool(both_ways), 8, 9).numpy()
    wanted = table[buckets].transpose(2, 0, 1)[None]
    inputs = [np.ascontiguousarray(table.T).reshape(8, 3), np.array([12], np.int64), np.array([12], np.int64)]
    only_slipway("RelativePositionBias", inputs, (1,), [wanted], max_distance=9, is_bidirectional=both_ways)


def test_gated_relative_position_bias():
    q, b, pos, w, wb, a = rand(2, 5, 8), rand(8), rand(1, 2, 5, 5), rand(4, 6), rand(6), rand(1, 2, 1, 1)
    gates = 1 / (1 + np.exp(-(split(q + b, 2) @ w + wb).reshape(2, 2, 5, 2, 3).sum(-1)))
    u, r = gates[..., :1], gates[..., 1:]
    only_slipway("GatedRelativePositionBias", [q, b, pos, w, wb, a], (1,), [(u * (r * a - 1) + 2) * pos], num_heads=2)


def gelu(x):
    return np.array([v * (1 + math.erf(v / math.sqrt(2))) / 2 for v in x.reshape(-1).tolist()]).reshape(x.shape)


def test_fusions_of_diffusion_models():
    x, b = rand(2, 6, 8), rand(8)
    only_slipway("BiasSplitGelu", [x, b], (1,), [(x + b)[..., :4] * gelu((x + b)[..., 4:])])
    skip = rand(2, 6, 8)
    only_slipway("BiasAdd", [x, b, skip], (1,), [x + b + skip])
    a, c = rand(3, 4, 2), rand(4, 2)
    complex_a, complex_c = a[..., 0] + 1j * a[..., 1], c[..., 0] + 1j * c[..., 1]
    for op, product in (("ComplexMul", complex_a * complex_c), ("ComplexMulConj", complex_a * complex_c.conj())):
        only_slipway(op, [a, c], (1,), [np.stack([product.real, product.imag], -1)])


@pytest.mark.parametrize("last", [0, 1])
@pytest.mark.parametrize("activation", [0, 1])
@pytest.mark.parametrize("skip", [None, "flat", "deep", "bias"])
def test_group_norm(last, activation, skip):
    x, gamma, beta = rand(2, 3, 4, 6), rand(6), rand(6)
    x = x if last else np.ascontiguousarray(x.transpose(0, 3, 1, 2))
    at = (slice(None), None, None) if last else (slice(None), slice(None), None, None)
    channel = (None, None, None) if last else (None, slice(None), None, None)
    inputs, s = [x, gamma, beta], x
    if skip:
        other = rand(2, 6) if skip == "flat" else rand(*x.shape)
        inputs.append(other)
        s = x + (other[at] if skip == "flat" else other)
    if skip == "bias":
        inputs.append(rand(6))
        s = s + inputs[4][channel]
    groups = (s if last else s.transpose(0, 2, 3, 1)).reshape(2, 3, 4, 2, 3)
    mean, var = groups.mean((1, 2, 4), keepdims=True), groups.var((1, 2, 4), keepdims=True)
    y = ((groups - mean) / np.sqrt(var + 1e-5)).reshape(2, 3, 4, 6) * gamma + beta
    y = y / (1 + np.exp(-y)) if activation else y
    y = y if last else y.transpose(0, 3, 1, 2)
    attributes = {"groups": 2, "activation": activation, "channels_last": last}
    if not skip:
        return only_slipway("GroupNorm", inputs, (1,), [y], **attributes)
    # A static graph: a skip of two axes is told from one of four by its declared rank.
    for level in (0, 3):
        got = run_slipway(model("SkipGroupNorm", inputs, (1, 1), attributes), feeds(inputs), level)
        close(got, [y.astype(np.float32), s], 2e-5)


@pytest.mark.parametrize("activation", ["Relu", "Gelu", "Softmax"])
def test_matmul_activation(activation):
    a, b = rand(2, 4, 3), rand(2, 4, 5)
    y = 0.5 * a.swapaxes(1, 2) @ b
    wanted = {"Relu": np.maximum(y, 0), "Gelu": gelu(y), "Softmax": softmax(y)}[activation]
    only_slipway("FusedMatMulActivation", [a, b], (1,), [wanted], transA=1, alpha=0.5, activation=activation)


def test_dropouts_and_softmax_with_bias():
    x, b, r = rand(2, 3, 8), rand(8), rand(2, 3, 8)
    only_slipway("BiasDropout", [x, b, r], (1,), [x + b + r])
    only_slipway("BiasDropout", [x, b], (1, 1), [x + b, np.ones((2, 3, 8), bool)])
    only_slipway("BitmaskDropout", [x], (1,), [x])
    only_slipway(
        "BiasSoftmax", [x, b], (1,), [softmax((x + b).reshape(2, 24)).reshape(2, 3, 8)], axis=1, is_inner_broadcast=0
    )
    only_slipway("BiasSoftmax", [x, b], (1,), [softmax(x + b)], axis=2, is_inner_broadcast=0)
    table = rand(5, 3)
    only_slipway("TorchEmbedding", [table, np.array([[1, 4]], np.int64)], (1,), [table[[[1, 4]]]])


# Experts.


@pytest.mark.parametrize("activation", ["relu", "gelu", "silu", "identity", "swiglu"])
@pytest.mark.parametrize("normalize", [0, 1])
@pytest.mark.parametrize("bias", [False, True])
def test_experts(activation, normalize, bias):
    fused = 2 if activation == "swiglu" else 1
    inputs = [rand(2, 5, 8), rand(10, 4), rand(4, 12 * fused, 8), rand(4, 12 * fused) if bias else None, rand(4, 8, 12)]
    inputs += [rand(4, 8)] if bias else []
    extra = {"swiglu_fusion": 1, "swiglu_limit": 2.0, "activation_beta": 1.0} if fused == 2 else {}
    attributes = {"k": 2, "activation_type": activation, "normalize_routing_weights": normalize}
    check("MoE", inputs, tolerance=1e-4, **attributes, **extra)


BAD = [
    ("MultiHeadAttention", [rand(1, 2, 8), rand(1, 2, 8), rand(1, 2, 8)], {"num_heads": 3}, "3 heads do not divide"),
    ("MultiHeadAttention", [rand(1, 2, 8), rand(1, 3, 6), rand(1, 3, 8)], {"num_heads": 2}, "must be"),
    ("MultiHeadAttention", [rand(1, 2, 8)], {"num_heads": 2}, "key is missing"),
    (
        "MultiHeadAttention",
        [rand(1, 2, 8), rand(1, 2, 8), rand(1, 2, 8), None, ints(1, 2, 3)],
        {"num_heads": 2},
        "mask",
    ),
    ("Attention", [rand(1, 2, 8), rand(8, 24), rand(20)], {"num_heads": 2}, "columns"),
    ("Attention", [rand(1, 2, 8), rand(8, 24)], {"num_heads": 0}, "num_heads"),
    ("Attention", [rand(1, 2, 8), rand(8, 24)], {"num_heads": 2, "qkv_hidden_sizes": [8, 8, -4]}, "-4"),
    ("RotaryEmbedding", [rand(1, 2, 8), np.array([9], np.int64), *caches(4, 4)], {}, "position 9"),
    (
        "EmbedLayerNormalization",
        [ints(7).reshape(1, 1), None, rand(3, 4), rand(3, 4), None, rand(4), rand(4)],
        {},
        "id 7",
    ),
    (
        "EmbedLayerNormalization",
        [ints(1).reshape(1, 1), None, rand(3, 4), rand(3, 4), None, None, rand(4)],
        {},
        "input 5",
    ),
    ("SkipLayerNormalization", [rand(2, 4), rand(2, 4), None, rand(4)], {}, "input 2"),
    ("MoE", [rand(2, 8), rand(2, 4), None, None, rand(4, 8, 12)], {"k": 2}, "input 2"),
    ("Inverse", [np.zeros((2, 2), np.float32)], {}, "no inverse"),
    (
        "MatMulBnb4",
        [np.zeros((2, 4), np.float32), np.zeros(3, np.uint8), np.ones(1, np.float32)],
        {"K": 4, "N": 2, "block_size": 16, "quant_type": 1},
        "must hold 4 numbers",
    ),
    ("Rfft", [np.zeros((2, 4), np.float32)], {"signal_ndim": 1, "onesided": 0}, "onesided"),
    ("CropAndResize", [rand(1, 1, 3, 3), rand(1, 4), ints(5), ints(2, 2)], {}, "image 5"),
    ("CropAndResize", [rand(1, 1, 3, 3), rand(1, 4), ints(0), ints(2, -2)], {}, "must be 1 or more"),
    ("UnfoldTensor", [rand(3)], {"size": 4}, "no slice"),
    ("NGramRepeatBlock", [np.array([[9]], np.int64), rand(1, 3)], {"ngram_size": 1}, "token 9"),
    ("RemovePadding", [rand(1, 2, 3), ints(5)], {}, "5 words"),
    ("FusedConv", [rand(1, 1, 3, 3), rand(1, 1, 3, 3)], {"activation": "Nothing"}, "Nothing"),
    ("CDist", [rand(2, 3), rand(2, 3)], {"metric": "yule"}, "yule"),
    (
        "GroupQueryAttention",
        [*group_query(1, 1, 6, 5, (6,))[:5], ints(11), np.array(6, np.int32)],
        {"num_heads": 4, "kv_num_heads": 2},
        "seqlens_k",
    ),
    (
        "GroupQueryAttention",
        group_query(1, 6, 6, 0, (6,), rotary=True, half=16),
        {"num_heads": 4, "kv_num_heads": 2, "do_rotary": 1},
        "do not fit heads",
    ),
]


@pytest.mark.parametrize(("op", "inputs", "attributes", "words"), BAD, ids=[f"{s[0]}-{i}" for i, s in enumerate(BAD)])
def test_bad_calls_are_refused(op, inputs, attributes, words):
    for dynamic in (True, False):
        with pytest.raises(slipway.Error, match=words):
            run_slipway(model(op, inputs, (1,), attributes, dynamic=dynamic), feeds(inputs))
