"""Attention of com.microsoft, its caches and turns: against onnxruntime, or against NumPy where it has none."""

import numpy as np
import pytest
from microsoft import (
    RNG,
    attend,
    caches,
    check,
    feeds,
    group_query,
    ints,
    merge,
    model,
    only_slipway,
    rand,
    run_slipway,
    split,
)

# Attention.

MASKS = {
    "none": None,
    "lengths": ints(3, 5),
    "ranges": ints(5, 4, 1, 0),
    "raw": ints(1, 1, 1, 0, 0, 1, 1, 1, 1, 1).reshape(2, 5),
    "left": ints(0, 0, 1, 1, 1, 1, 1, 1, 1, 1).reshape(2, 5),
    "3d": np.maximum(RNG.integers(0, 2, (2, 5, 5)), np.eye(5)).astype(np.int32),
}


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("causal", [0, 1])
@pytest.mark.parametrize("bias", [None, (2, 2, 5, 5), (1, 2, 5, 5), (1, 1, 5, 5), (2, 1, 5, 5)])
def test_attention_masks(mask, causal, bias):
    inputs = [rand(2, 5, 8), rand(8, 24), rand(24), MASKS[mask], None, None if bias is None else rand(*bias)]
    # A query that sees only padding has scores about -10000, of which float keeps three decimals.
    tolerance = 5e-3 if causal and mask in ("left", "ranges") else 2e-5
    check("Attention", inputs, tolerance=tolerance, constants=(1, 2), num_heads=2, unidirectional=causal)


def test_attention_weights_that_are_fed():
    check("Attention", [rand(2, 5, 8), rand(8, 24), rand(24)], num_heads=4)
    # onnxruntime crashes where there is no bias.
    x, w = rand(2, 5, 8), rand(8, 24)
    q, k, v = (split(t, 4) for t in np.split(x @ w, 3, -1))
    only_slipway("Attention", [x, w], (1,), [merge(attend(q, k, v, scale=0.3))], num_heads=4, scale=0.3)


def test_attention_with_wider_values():
    check("Attention", [rand(2, 5, 8), rand(8, 28), rand(28)], num_heads=2, qkv_hidden_sizes=[8, 8, 12])


@pytest.mark.parametrize("mask", [None, (2, 8)])
@pytest.mark.parametrize("causal", [0, 1])
@pytest.mark.parametrize("new", [1, 5])
def test_attention_cache(mask, causal, new):
    past = rand(2, 2, 2, 3, 4)
    raw = None if mask is None else RNG.integers(0, 2, (2, 3 + new)).astype(np.int32)
    inputs = [rand(2, new, 8), rand(8, 24), rand(24), raw, past]
    check("Attention", inputs, (1, 1), num_heads=2, unidirectional=causal)


def test_attention_present_without_past():
    check("Attention", [rand(2, 5, 8), rand(8, 24), rand(24)], (1, 1), num_heads=2, unidirectional=1)


def test_attention_by_a_mask_of_four_axes():
    x, w, b = rand(2, 3, 8), rand(8, 24), rand(24)
    past = rand(2, 2, 2, 2, 4)
    mask = np.tril(np.ones((2, 1, 7, 7), np.int32))
    q, k, v = (split(t, 2) for t in np.split(x @ w + b, 3, -1))
    k, v = np.concatenate([past[0], k], 2), np.concatenate([past[1], v], 2)
    added = np.where(mask[:, :, 2:5, :5] > 0, 0, -10000.0)
    only_slipway(
        "Attention", [x, w, b, mask, past], (1, 1), [merge(attend(q, k, v, added)), np.stack([k, v])], num_heads=2
    )


def rotate(x, positions, size=None):
    size = size or x.shape[-1]
    half = size // 2
    angle = positions[:, None] * 10000.0 ** (-2.0 * np.arange(half) / size)
    cos, sin = np.cos(angle), np.sin(angle)
    a, b = x[..., :half], x[..., half:size]
    return np.concatenate([a * cos - b * sin, b * cos + a * sin, x[..., size:]], -1)


def quantized_attention(columns, signed, past):
    """Inputs of a QAttention of 2 x 3 rows, 8 wide, 2 heads."""
    zero = np.int8(-3) if signed else np.uint8(130)
    kind = np.int8 if signed else np.uint8
    x = RNG.integers(0, 256, (2, 3, 8)).astype(np.uint8)
    w = RNG.integers(-100, 100, (8, 24)).astype(np.int8).view(kind)
    scale = (np.abs(rand(24)) / 99).astype(np.float32) if columns else np.array(0.01, np.float32)
    zeros = np.full(24, zero, kind) if columns else np.array(zero, kind)
    cache = rand(2, 2, 2, 4, 4) if past else None
    return [x, w, rand(24), np.array(0.02, np.float32), scale, None, np.array(120, np.uint8), zeros, cache]


@pytest.mark.parametrize("mask", [None, ints(2, 3), ints([1, 1, 0], [1, 1, 1])])
@pytest.mark.parametrize("columns", [False, True])
@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("causal", [0, 1])
def test_quantized_attention(mask, columns, signed, causal):
    inputs = quantized_attention(columns, signed, False)
    inputs[5] = mask
    for constants in (), (1, 4, 6, 7):
        check("QAttention", inputs, constants=constants, num_heads=2, unidirectional=causal, tolerance=1e-4)


@pytest.mark.parametrize("causal", [0, 1])
def test_quantized_attention_cache(causal):
    inputs = quantized_attention(False, True, True)
    check("QAttention", inputs, (1, 1), num_heads=2, unidirectional=causal, tolerance=1e-4)


@pytest.mark.parametrize(
    "at, value, words",
    [
        (3, np.ones(2, np.float32), "must be one number"),
        (4, np.ones(5, np.float32), "must be one number, or one for each column"),
        (7, np.array(1, np.uint8), "must be of one type"),
        (2, np.ones(7, np.float32), "but there are 24 columns"),
    ],
)
def test_bad_quantized_attention(at, value, words):
    inputs = quantized_attention(False, True, False)
    inputs[at] = value
    with pytest.raises(Exception, match=words):
        run_slipway(model("QAttention", inputs, (1,), {"num_heads": 2}, dynamic=False), feeds(inputs))


@pytest.mark.parametrize("dim", [0, 2])
def test_attention_that_turns(dim):
    x, w, b, past = rand(2, 3, 8), rand(8, 24), rand(24), rand(2, 2, 2, 2, 4)
    q, k, v = (split(t, 2) for t in np.split(x @ w + b, 3, -1))
    q, k = rotate(q, np.arange(2, 5), dim), rotate(k, np.arange(2, 5), dim)
    k, v = np.concatenate([past[0], k], 2), np.concatenate([past[1], v], 2)
    extra = {"rotary_embedding_dim": dim} if dim else {}
    wanted = [merge(attend(q, k, v)), np.stack([k, v])]
    only_slipway("Attention", [x, w, b, None, past], (1, 1), wanted, num_heads=2, do_rotary=1, **extra)


def test_decoder_masked_self_attention():
    x, w, b, past = rand(2, 1, 8), rand(8, 24), rand(24), rand(2, 2, 2, 6, 4)
    q, k, v = (split(t, 2) for t in np.split(x @ w + b, 3, -1))
    present = past.copy()
    present[0, :, :, 3:4], present[1, :, :, 3:4] = k, v
    wanted = [merge(attend(q, present[0, :, :, :4], present[1, :, :, :4])), present]
    inputs = [x, w, b, None, past, None, ints(3)]
    only_slipway("DecoderMaskedSelfAttention", inputs, (1, 1), wanted, num_heads=2, past_present_share_buffer=1)


MHA = {
    "none": None,
    "lengths": ints(4, 6),
    "raw": ints(1, 1, 1, 1, 0, 0, 1, 1, 1, 1, 1, 1).reshape(2, 6),
    "3d": np.maximum(RNG.integers(0, 2, (2, 5, 6)), np.eye(5, 6)).astype(np.int32),
}


@pytest.mark.parametrize("mask", MHA)
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("added", [None, (2, 2, 5, 6), (1, 2, 5, 6), (1, 1, 5, 6)])
def test_multi_head_attention(mask, bias, added):
    inputs = [rand(2, 5, 8), rand(2, 6, 8), rand(2, 6, 12), rand(28) if bias else None, MHA[mask]]
    inputs += [None if added is None else rand(*added)]
    check("MultiHeadAttention", inputs, num_heads=2)


@pytest.mark.parametrize("causal", [0, 1])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("mask", [None, (2, 8)])
def test_multi_head_attention_cache(causal, bias, mask):
    inputs = [rand(2, 5, 8), rand(2, 5, 8), rand(2, 5, 8), rand(24) if bias else None]
    inputs += [None if mask is None else RNG.integers(0, 2, mask).astype(np.int32), None]
    inputs += [rand(2, 2, 3, 4), rand(2, 2, 3, 4)]
    check("MultiHeadAttention", inputs, (1, 1, 1), num_heads=2, unidirectional=causal)


def test_multi_head_attention_present_without_past():
    check("MultiHeadAttention", [rand(2, 5, 8), rand(2, 5, 8), rand(2, 5, 8)], (1, 1, 1), num_heads=2)


@pytest.mark.parametrize("mask", [None, (2, 6)])
def test_cross_attention(mask):
    raw = None if mask is None else RNG.integers(0, 2, mask).astype(np.int32)
    check("MultiHeadAttention", [rand(2, 5, 8), rand(2, 2, 6, 4), rand(2, 2, 6, 4), None, raw], num_heads=2)


@pytest.mark.parametrize("bias", [False, True])
def test_packed_queries_keys_and_values(bias):
    q, b = rand(2, 5, 2, 3, 4), rand(24) if bias else None
    parts = [q[:, :, :, i].transpose(0, 2, 1, 3) for i in range(3)]
    if bias:
        parts = [p + b.reshape(3, 1, 2, 1, 4)[i] for i, p in enumerate(parts)]
    only_slipway("MultiHeadAttention", [q, None, None, b], (1,), [merge(attend(*parts))], num_heads=2)


@pytest.mark.parametrize("bias", [False, True])
def test_packed_keys_and_values(bias):
    q, kv, b = rand(2, 5, 8), rand(2, 6, 2, 2, 4), rand(24) if bias else None
    parts = [split(q, 2), kv[:, :, :, 0].transpose(0, 2, 1, 3), kv[:, :, :, 1].transpose(0, 2, 1, 3)]
    if bias:
        parts = [p + b.reshape(3, 1, 2, 1, 4)[i] for i, p in enumerate(parts)]
    only_slipway("MultiHeadAttention", [q, kv, None, b], (1,), [merge(attend(*parts))], num_heads=2)


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("masked", [False, True])
def test_decoder_masked_multi_head_attention(bias, masked):
    inputs = [rand(2, 1, 8), rand(2, 1, 8), rand(2, 1, 8), None, None, rand(2, 2, 6, 4), rand(2, 2, 6, 4), ints(3)]
    if masked:
        inputs[3] = ints(1, 0, 1, 1, 0, 1, 1, 1).reshape(2, 4)
    if bias:
        inputs += [None, None, rand(24)]
    attributes = {"num_heads": 2, "past_present_share_buffer": 1}
    q, k, v = (x + (inputs[10][8 * i : 8 * i + 8] if bias else 0) for i, x in enumerate(inputs[:3]))
    keys, values = inputs[5].copy(), inputs[6].copy()
    keys[:, :, 3:4], values[:, :, 3:4] = split(k, 2), split(v, 2)
    added = np.where(inputs[3] > 0, 0, -10000.0)[:, None, None] if masked else 0.0
    wanted = [merge(attend(split(q, 2), keys[:, :, :4], values[:, :, :4], added)), keys, values]
    only_slipway("DecoderMaskedMultiHeadAttention", inputs, (1, 1, 1), wanted, **attributes)


def test_decoder_with_packed_row():
    x = rand(2, 1, 24)
    q, k, v = (split(t, 2) for t in np.split(x, 3, -1))
    past = rand(2, 2, 6, 4), rand(2, 2, 6, 4)
    keys, values = past[0].copy(), past[1].copy()
    keys[:, :, 2:3], values[:, :, 2:3] = k, v
    wanted = [merge(attend(q, keys[:, :, :3], values[:, :, :3])), keys, values]
    inputs = [x, None, None, None, None, *past, ints(2)]
    only_slipway("DecoderMaskedMultiHeadAttention", inputs, (1, 1, 1), wanted, num_heads=2, past_present_share_buffer=1)


def test_decoder_over_beams():
    inputs = [
        rand(4, 1, 8),
        rand(4, 1, 8),
        rand(4, 1, 8),
        None,
        None,
        rand(4, 2, 6, 4),
        rand(4, 2, 6, 4),
        ints(3),
        ints(2),
    ]
    beams = RNG.integers(0, 2, (2, 2, 6)).astype(np.int32)
    keys, values = inputs[5].copy(), inputs[6].copy()
    keys[:, :, 3:4], values[:, :, 3:4] = split(inputs[1], 2), split(inputs[2], 2)
    picked = [t.copy() for t in (keys, values)]
    for item in range(2):
        for beam in range(2):
            for j in range(3):
                for t, source in zip(picked, (keys, values), strict=True):
                    t[item * 2 + beam, :, j] = source[item * 2 + beams[item, beam, j], :, j]
    wanted = [merge(attend(split(inputs[0], 2), picked[0][:, :, :4], picked[1][:, :, :4])), keys, values]
    only_slipway(
        "DecoderMaskedMultiHeadAttention",
        [*inputs, beams],
        (1, 1, 1),
        wanted,
        num_heads=2,
        past_present_share_buffer=1,
    )


# GroupQueryAttention.


FORMS = {
    "prompt": dict(batch=2, new=6, total=6, room=0, lengths=(6, 6)),
    "padded prompt": dict(batch=2, new=6, total=6, room=0, lengths=(3, 6)),
    "prompt into a buffer": dict(batch=2, new=6, total=6, room=9, lengths=(4, 6)),
    "token": dict(batch=2, new=1, total=6, room=5, lengths=(6, 6)),
    "token in a buffer": dict(batch=2, new=1, total=6, room=9, lengths=(4, 6)),
    "second prompt": dict(batch=1, new=3, total=8, room=5, lengths=(8,)),
    "second prompt in a buffer": dict(batch=1, new=3, total=8, room=12, lengths=(8,)),
}
OPTIONS = {
    "plain": {},
    "softcap": {"softcap": 1.5},
    "window": {"local_window_size": 3},
    "smooth": {"smooth_softmax": 1},
    "scale": {"scale": 0.7},
    "all": {"softcap": 2.0, "local_window_size": 2, "smooth_softmax": 1},
}


def valid_rows(lengths, new, total):
    """What is defined: rows of words, and the cache's rows in use."""

    def pick(ys):
        out = []
        for b, n in enumerate(lengths):
            words = n if new == total else new
            out.append(ys[0][b, :words])
            out += [y[b, :, :n] for y in ys[1:3]]
        return out

    return pick


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("rotary", [None, 0, 1])
@pytest.mark.parametrize("option", OPTIONS)
def test_group_query_attention(form, packed, rotary, option):
    f = FORMS[form]
    attributes = dict(num_heads=4, kv_num_heads=2, **OPTIONS[option])
    if rotary is not None:
        attributes |= {"do_rotary": 1, "rotary_interleaved": rotary}
    inputs = group_query(**f, packed=packed, rotary=rotary is not None)
    valid = valid_rows(f["lengths"], f["new"], f["total"])
    check("GroupQueryAttention", inputs, (1, 1, 1), valid=valid, **attributes)


@pytest.mark.parametrize("form", ["prompt", "token in a buffer", "second prompt"])
@pytest.mark.parametrize("shape", ["full", "shared"])
@pytest.mark.parametrize("softcap", [0.0, 1.5])
def test_group_query_attention_bias_and_sinks(form, shape, softcap):
    f = FORMS[form]
    b, n, s, t = f["batch"], 4, f["new"], f["total"]
    bias = rand(b, n, s, t) if shape == "full" else rand(1, 1, s, t)
    inputs = group_query(**f, extra=[None, bias, rand(4)])
    valid = valid_rows(f["lengths"], s, t)
    check("GroupQueryAttention", inputs, (1, 1, 1), valid=valid, num_heads=4, kv_num_heads=2, softcap=softcap)


@pytest.mark.parametrize("form", ["prompt", "token", "second prompt"])
def test_group_query_attention_positions(form):
    f = FORMS[form]
    ids = np.stack([np.arange(f["total"] - f["new"], f["total"]) + 3] * f["batch"]).astype(np.int64)
    inputs = group_query(**f, rotary=True, half=8, extra=[ids])
    valid = valid_rows(f["lengths"], f["new"], f["total"])
    check("GroupQueryAttention", inputs, (1, 1, 1), valid=valid, num_heads=4, kv_num_heads=2, do_rotary=1)


def test_group_query_attention_in_halves():
    f = FORMS["token in a buffer"]
    valid = valid_rows(f["lengths"], f["new"], f["total"])
    inputs = group_query(**f, rotary=True, dtype=np.float16)
    check("GroupQueryAttention", inputs, (1, 1, 1), 5e-3, valid=valid, num_heads=4, kv_num_heads=2, do_rotary=1)


def test_group_query_attention_both_ways():
    f = FORMS["prompt"]
    check("GroupQueryAttention", group_query(**f), (1, 1, 1), num_heads=4, kv_num_heads=2, causal=0)


@pytest.mark.parametrize("mode", [1, 2])
def test_group_query_attention_scores(mode):
    f = FORMS["prompt"]

    def seen(ys):
        return [ys[0], np.where(np.tril(np.ones((6, 6), bool)), ys[3], 0)]

    inputs = group_query(**f)
    check("GroupQueryAttention", inputs, (1, 1, 1, 1), valid=seen, num_heads=4, kv_num_heads=2, qk_output=mode)


# RotaryEmbedding.


@pytest.mark.parametrize("interleaved", [0, 1])
@pytest.mark.parametrize("deep", [False, True])
@pytest.mark.parametrize("ids", ["first", "all"])
@pytest.mark.parametrize("partial", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_rotary_embedding(interleaved, deep, ids, partial, dtype):
    cos, sin = (t.astype(dtype) for t in caches(12, 4 if partial else 8))
    x = (rand(2, 2, 5, 16) if deep else rand(2, 5, 32)).astype(dtype)
    positions = np.array([3], np.int64) if ids == "first" else RNG.integers(0, 12, (2, 5)).astype(np.int64)
    extra = {"rotary_embedding_dim": 8, "num_heads": 2} if partial else {}
    check(
        "RotaryEmbedding",
        [x, positions, cos, sin],
        tolerance=1e-5 if dtype == np.float32 else 5e-3,
        interleaved=interleaved,
        **extra,
    )
