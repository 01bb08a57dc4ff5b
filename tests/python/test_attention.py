"""Attention beside ONNX's reference evaluator and its definition in NumPy."""

import ml_dtypes
import numpy as np
import pytest
import slipway
from onnx.reference import ReferenceEvaluator
from reference import compare, floats, pick, single


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
