"""slipway.export operator by operator: a row is a function or module and its inputs, run in Slipway and onnxruntime.

The example is the first of SIZES, where torch.export would fix each axis of 1; files run at all of them, and opsets
take turns.
"""

import math
import warnings

import numpy as np
import onnxruntime
import pytest
import slipway
import torch
import torch.ao.quantization.fx._decomposed  # registers torch.ops.quantized_decomposed
import torch.nn.functional as F
from slipway.errors import ExportWarning
from torch import nn
from torch.nn.utils import parametrizations, rnn

onnxruntime.set_default_logger_severity(4)

SIZES = ({"b": 1, "t": 5, "h": 8, "w": 9}, {"b": 2, "t": 7, "h": 11, "w": 6}, {"b": 3, "t": 4, "h": 10, "w": 13})
OPSETS = (17, 20, 23)
ROWS = {}


def f(*shape, dtype=torch.float32):
    return shape, lambda s: torch.randn(s).to(dtype)


def p(*shape):
    return shape, lambda s: torch.rand(s) + 0.1


def i(*shape, low=0, high=5, dtype=torch.int64):
    return shape, lambda s: torch.randint(low, high, s, dtype=dtype)


def b(*shape):
    return shape, lambda s: (torch.rand(s) > 0.4).index_fill(-1, torch.tensor(0), True)


def row(name, function, *inputs, opsets=OPSETS, sizes=SIZES, tolerance=1e-5):
    assert name not in ROWS
    ROWS[name] = function, inputs, opsets[len(ROWS) % len(opsets)], sizes, tolerance


class Function(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, *inputs):
        return self.function(*inputs)


# fmt: off
# ---- Reductions ------------------------------------------------------------------------------------------------------

row("sum forms", lambda x, y: (x.sum(-2, keepdim=True), x.sum(1, dtype=torch.float64), x.sum((0, -1)), y.sum(-1)),
    f("b", 3, "t"), b("b", 4))
row("mean and prod", lambda x, y: (x.mean(), y.mean(1, dtype=torch.float32), x.prod(1, keepdim=True), y.prod(-1)),
    f("b", 4), i("b", 4, low=1))
row("extremes", lambda x: (x.amax((1, 2)), x.aminmax(dim=1), x.max(-1), x.min(1, keepdim=True), x.argmax(),
    x.argmin(1)), f("b", 3, "t"))
row("any and all", lambda x: (x.any(), x.all(-1), x.any(1, keepdim=True)), b("b", 3))
row("variance", lambda x: (x.std(1), x.var((1, 2), unbiased=False), x.var(-1, correction=2, keepdim=True),
    torch.var_mean(x, (1,), correction=0)), f("b", 4, 5))
row("norms of vectors", lambda x: (x.norm(1, dim=-1), x.norm(math.inf, dim=1), x.norm(p=3, dim=(1, 2)),
    torch.linalg.vector_norm(x, ord=-math.inf, dim=1)), f("b", 3, "t"))
row("running", lambda x, y: (x.cumsum(-1), x.cumprod(1), x.cummax(-1), x.cummin(1), torch.logcumsumexp(x, -1),
    y.cumsum(1)), f("b", 3, "t"), b("b", 4))
row("quantiles", lambda x: (x.median(-1), x.quantile(torch.tensor([0.1, 0.5]), dim=-1)), f("b", 5))
row("distances", lambda x, y: (torch.cdist(x, y), torch.cdist(x, y, p=1.0)), f("b", 3, 4), f("b", "t", 4))

# ---- Elementwise -----------------------------------------------------------------------------------------------------

row("integer division", lambda x, y: (x // y, x / y, x % y, torch.fmod(x, y), torch.div(x, y, rounding_mode="trunc")),
    i("b", 4, low=-9, high=9), i("b", 4, low=1))
row("numbers and tensors", lambda x: (1 - x, 1 / x, torch.rsub(x, 2, alpha=3), torch.add(x, x, alpha=2), 2 ** x),
    p("b", 4))
row("logic as numbers", lambda x, y: (x & y, x ^ y, ~x, x + 1, x * 2.5, x + y, x.int() - y.int()), b("b", 4), b("b",
    4))
row("bits", lambda x, y: (x & y, x ^ y, ~x, x << 2, x >> 1, x << y), i("b", 4, high=16), i("b", 4, high=4))
row("promotion", lambda x, y: (x + y, x * 2.5, x.to(torch.int32) + x, torch.where(y > 0, x, y), y.double() + x),
    i("b", 4), f("b", 4))
row("clamps", lambda x, y: (x.clamp(max=y), x.clamp(y, y + 1), x.clamp_min(0.3), y.long().clamp(min=0.5)), f("b", 4),
    f("b", 4))
row("rounding", lambda x: (x.round(decimals=2), x.trunc(), x.frac(), torch.nan_to_num(x / 0, posinf=5.0)), f("b", 4))
row("activations", lambda x: (F.elu(x, 0.5), F.celu(x, 2.0), F.gelu(x, approximate="tanh"), F.mish(x), F.softplus(x,
    2), F.hardshrink(x, 0.3), F.hardswish(x), F.threshold(x, 0.1, 20.0), F.glu(x, 1)), f("b", 4))
row("in place", lambda x: x.clone().add_(1).mul_(2).relu_().sub_(0.5).clamp_(0, 2).exp_(), f("b", 4))
row("small integers", lambda x, y: (x.float() / 255, x >> 1, x.sum(-1), 255 - x, y * 2, -y, y.abs()), i("b", 3,
    high=255, dtype=torch.uint8), i("b", 4, low=-9, high=9, dtype=torch.int16))
row("one hot and bins", lambda x, y: (F.one_hot(x, 6), torch.bucketize(y, torch.tensor([-1.0, 0.0, 1.0]),
    right=True)), i("b", 4), f("b", 4))

# ---- Layout and views ------------------------------------------------------------------------------------------------

row("reshapes", lambda x: (x.reshape(-1, 2), x.flatten(-2), x.unflatten(1, (2, 2)), x.view(x.size(0), 2, -1)), f("b",
    4, "t"))
row("permutations", lambda x: (x.permute(2, 0, -2), x.mT, x.movedim(0, -1), x.flip(0, -1), x.rot90(1, (1, 2)),
    x.roll((1, -2), (0, 2))), f("b", 3, "t"))
row("repeats", lambda x: (x.expand(2, -1, 4, -1), x.repeat(2, 1, 3), x.repeat_interleave(2, 1)), f("b", 1, "t"))
row("joins", lambda x, y: (torch.cat([x, y.long(), x.double()], -1), torch.stack([x, y], -1), torch.dstack([x, y])),
    f("b", 4), f("b", 4))
row("pieces", lambda x: (x.split([1, 2, 1], -2), x.chunk(3, 1), x.tensor_split((1, 3), 1), x.unbind(1)), f("b", 4, 6))
row("slices", lambda x: (x[:, 1:], x[:, ::2], x[..., -2:], x[:, 1:100], x[None, ..., None], x[-1:], x[..., None, 1],
    x[:, x.shape[1] // 2:], x.narrow(1, x.shape[1] - 2, 2)), f("b", "t", 4))
row("triangles", lambda x: (x.tril(-1), x.triu(1), torch.diagonal(x, 1, 1, 2), torch.diag_embed(x, offset=1)), f("b",
    "t", "t"))


def writes_through_slices(x):
    y = torch.zeros(x.shape[0], x.shape[1] + 2)
    y[:, 1:-1] = x
    y[y > 1] = 0
    y[:, ::2].mul_(3)
    a, rest = y.split([1, y.shape[1] - 1], 1)
    a.add_(10)
    flat = y.view(-1)
    flat[0] = 7.0
    return y, rest, flat


row("writes through slices", writes_through_slices, f("b", "t"))


def writes_to_diagonals(x):
    y, z = x.clone(), x.clone()
    torch.diagonal(y, 0, -2, -1).add_(1.0)
    z.diagonal(1, 1, 2).zero_()
    return y, z, torch.diagonal_scatter(x, torch.ones(x.shape[0], x.shape[1] - 1), -1, 1, 2)


row("writes to diagonals", writes_to_diagonals, f("b", "t", "t"))
row("fill_diagonal", lambda x, y: (x.clone().fill_diagonal_(5.0), y.clone().fill_diagonal_(2.0, wrap=True)), f("b",
    "t"), f(7, 3))

# ---- Indexing --------------------------------------------------------------------------------------------------------

row("indices", lambda x, a: (x[a], x[:, a], x[a[:, None], a[None]], x[..., a], x[a, 1:], x[:, None, a]), f(6, 5, 4),
    i("b", high=4))
row("masks", lambda x, m: (x[m], x[m[:, 0]], torch.masked_select(x, m), x.masked_scatter(m, x * 2), m.nonzero()),
    f("b", 4), b("b", 4))
row("index_put", lambda x, a, v: (x.index_put((a,), v, accumulate=True), x.index_add(0, a, v, alpha=2),
    x.index_fill(1, torch.tensor([0, -1]), 3.0)), f(6, 4), i("b", high=6), f("b", 4))
row("scatters", lambda x, a, v: (x.gather(1, a), x.scatter(1, a, 2.5), x.scatter_reduce(1, a, v, "amax"),
    x.scatter_reduce(1, a, v, "mean", include_self=False)), f("b", 5), i("b", 3), f("b", 3))
row("orders", lambda x: (x.sort(1, descending=True), x.argsort(-1), x.topk(3, largest=False, dim=1), x.kthvalue(2)),
    f("b", 5))
row("unique", lambda x: (torch.unique(x), torch.unique(x, return_counts=True), torch.unique(x, return_inverse=True),
    torch.unique_consecutive(x)), i("b", 5))
row("last token", lambda x, n: x[torch.arange(x.shape[0]), n], f("b", "t", 4), i("b", high=4))

# ---- Matrices --------------------------------------------------------------------------------------------------------

row("einsum", lambda x, y: (torch.einsum("bij,bjk->bki", x, y), torch.einsum("bij->ji", x), torch.einsum("bij,bij->b",
    x, x)), f("b", 3, "t"), f("b", "t", 4))
row("products", lambda x, y, v: (x @ v, v @ y, torch.baddbmm(torch.ones(1, 1, 1), x, y, alpha=0.3), torch.outer(v, v),
    torch.tensordot(x, y, dims=([2], [1])), F.linear(x, torch.ones(5))), f("b", 3, 5), f("b", 5, 4), f(5))
row("inverses", lambda x, y: (torch.linalg.inv(x + 2 * torch.eye(3)), torch.linalg.solve(x + 2 * torch.eye(3), y),
    torch.linalg.det(x)), f("b", 3, 3), f("b", 3), tolerance=1e-3)

# ---- Images and signals ----------------------------------------------------------------------------------------------

row("conv1d", nn.Sequential(nn.Conv1d(4, 6, 3, stride=2, padding=1, dilation=2, groups=2), nn.ConvTranspose1d(6, 4, 3,
    stride=2, padding=1, output_padding=1, groups=2), nn.Conv1d(4, 4, 3, padding=2, padding_mode="circular")), f("b",
    4, "h"))
row("conv2d", nn.Sequential(nn.Conv2d(3, 4, 3, padding=1, padding_mode="reflect"), nn.ConvTranspose2d(4, 6, 3,
    stride=(2, 1), output_padding=(1, 0), groups=2), nn.Conv2d(6, 2, (1, 4), padding="same")), f("b", 3, "h", "w"))
row("pools", lambda x: (F.max_pool2d(x, 3, 2, 1, ceil_mode=True), F.max_pool2d(x, 2, stride=1, dilation=2),
    F.avg_pool2d(x, 3, 2, 1, ceil_mode=True, count_include_pad=False), F.adaptive_avg_pool2d(x, (1, None)),
    F.adaptive_max_pool2d(x, 1)), f("b", 3, "h", "w"))
row("resizing", lambda x: (F.interpolate(x, scale_factor=2), F.interpolate(x, size=(x.shape[2] * 2, 7),
    mode="bilinear"), F.interpolate(x, scale_factor=2, mode="bicubic", align_corners=True)), f("b", 3, "h", "w"),
    tolerance=0.0001)
row("paddings", lambda x: (F.pad(x, (-1, 2)), F.pad(x, (1, 2), mode="reflect"), F.pad(x, (2, 1), mode="circular"),
    F.pad(x, (0, -x.shape[2] % 4))), f("b", 3, "t"))
row("norm layers", nn.Sequential(nn.BatchNorm2d(4, affine=False), nn.InstanceNorm2d(4, affine=True), nn.GroupNorm(2,
    4), nn.LocalResponseNorm(3), nn.LayerNorm(6, bias=False)), f("b", 4, "h", 6), tolerance=0.0001)
row("unfold and fold", lambda x: (F.unfold(x, (3, 2), padding=1, stride=2), x.unfold(-1, 3, 2)), f("b", 3, "h", "w"))
row("spectra", lambda x: (torch.fft.rfft(x).abs(), torch.fft.irfft(torch.fft.rfft(x), n=8), torch.fft.fft2(x).imag),
    f("b", 4, 8), tolerance=0.0001)

# ---- Recurrent layers ------------------------------------------------------------------------------------------------


def packed(layer, batch_first, **padding):
    def forward(x, lengths):
        whole = rnn.pack_padded_sequence(x, lengths + 1, batch_first, enforce_sorted=False)
        y, state = layer(whole)
        return rnn.pad_packed_sequence(y, batch_first, **padding), state

    module = Function(forward)
    module.layer = layer
    return module


row("LSTM both ways", nn.LSTM(5, 6, 2, bidirectional=True, batch_first=True), f("b", "t", 5))
row("GRU with a state", nn.GRU(5, 6, batch_first=True), f("b", "t", 5), f(1, "b", 6))
row("LSTM projected", nn.LSTM(5, 6, proj_size=3), f("t", "b", 5))
row("LSTM packed", packed(nn.LSTM(5, 6, bidirectional=True), False, padding_value=-1.0), f("t", "b", 5), i("b",
    high=4))
row("GRU packed", packed(nn.GRU(5, 6, 2, batch_first=True), True), f("b", "t", 5), i("b", high=4))


def packed_to_length(layer):
    def forward(x, lengths):
        y, _ = layer(rnn.pack_padded_sequence(x, lengths + 1, True, enforce_sorted=False))
        return rnn.pad_packed_sequence(y, True, total_length=x.size(1))[0]

    module = Function(forward)
    module.layer = layer
    return module


row("LSTM packed to a length", packed_to_length(nn.LSTM(5, 6, batch_first=True)), f("b", "t", 5), i("b", high=4))

# ---- Attention -------------------------------------------------------------------------------------------------------

row("attention", lambda q, k: (F.scaled_dot_product_attention(q, k, k, scale=0.3), F.scaled_dot_product_attention(q,
    k, k, is_causal=True)), f("b", 2, "t", 4), f("b", 2, "h", 4))
row("attention of groups", lambda q, k: F.scaled_dot_product_attention(q, k, k, is_causal=True, enable_gqa=True),
    f("b", 4, "t", 8), f("b", 2, "t", 8))
row("attention with masks", lambda q, m, bias: (F.scaled_dot_product_attention(q, q, q, attn_mask=m[:, None]),
    F.scaled_dot_product_attention(q, q, q, attn_mask=bias)), f("b", 2, "t", 4), b("b", "t", "t"), f("b", 1, "t",
    "t"))
row("transformer layer", nn.TransformerDecoderLayer(8, 2, 16, norm_first=True), f("t", "b", 8), f("h", "b", 8))

# ---- Control flow and sizes ------------------------------------------------------------------------------------------

row("cond in cond", lambda x: torch.cond(x.mean() > 0, lambda a: torch.cond(a.max() > 1, lambda q: q * 2,
    lambda q: q + 1, (a,)), lambda a: a - 1, (x,)), f("b", 4))
row("while", lambda x: torch._higher_order_ops.while_loop(lambda n, y: (y.sum() < 50) & (n < 20), lambda n, y: (n + 1,
    y + y.abs() + 1), (torch.tensor(0), x)), f("b", 4))
row("scan", lambda x: torch._higher_order_ops.scan(lambda c, y: (c + y, c * y), x[0] * 0, x), f("t", 4))
row("vmap", lambda x, w: torch.vmap(lambda a: (a @ w).relu())(x), f("b", 3, 4), f(4, 2))
row("sizes as results", lambda x: (x.shape[0], torch.tensor(x.shape[1]) * 1, x.numel(), torch.tensor(x.shape)), f("b",
    "t"))
row("len of a tensor", lambda x: x.reshape(len(x), -1) / len(x), f("b", 3, "t"))
row("quotient of sizes", lambda x: x[:, :x.shape[1] // 2 * 2].view(x.shape[0], torch.div(x.shape[1], 2,
    rounding_mode="trunc"), 2), f("b", "t"))

# ---- Modules ---------------------------------------------------------------------------------------------------------

row("parametrized", nn.Sequential(parametrizations.weight_norm(nn.Linear(4, 4)),
    parametrizations.spectral_norm(nn.Linear(4, 4)), parametrizations.orthogonal(nn.Linear(4, 4))), f("b", 4))
row("half", nn.Sequential(nn.Linear(4, 8), nn.GELU(), nn.Linear(8, 2)).half(), f("b", 4, dtype=torch.float16),
    tolerance=0.01)
row("bags", nn.EmbeddingBag(9, 4, mode="mean", padding_idx=1), i("b", "t", high=9))

# ---- Quantization ----------------------------------------------------------------------------------------------------

Q = torch.ops.quantized_decomposed
BYTE = (-128, 127, torch.int8)
CHANNELS = (torch.tensor([0.1, 0.2, 0.3, 0.4]), torch.tensor([0, 1, 2, 3]), 1, 0, 255, torch.uint8)
row("per tensor", lambda x: (Q.dequantize_per_tensor(Q.quantize_per_tensor(x, 0.05, 3, *BYTE), 0.05, 3, *BYTE),
    Q.quantize_per_tensor(x, 0.05, 0, -127, 127, torch.int8), Q.quantize_per_tensor(x, 0.05, 9, -999, 999,
    torch.int32)), f("b", 4))
row("per channel", lambda x: Q.dequantize_per_channel(Q.quantize_per_channel(x, *CHANNELS), *CHANNELS), f("b", 4))
row("chosen", lambda x: Q.choose_qparams(x, -128, 127, 1e-05, torch.int8), f("b", 4))
row("fake", lambda x: (torch.fake_quantize_per_tensor_affine(x, 0.1, 0, -128, 127),
    torch.fake_quantize_per_channel_affine(x, CHANNELS[0], torch.zeros(4, dtype=torch.int32), 1, 0, 15)), f("b", 4))

# fmt: on


@pytest.mark.parametrize("name", ROWS)
def test_row(name):
    function, inputs, opset, sizes, tolerance = ROWS[name]
    torch.manual_seed(sum(map(ord, name)))
    model = (function if isinstance(function, nn.Module) else Function(function)).eval()
    sets = [[make([at.get(n, n) for n in shape]) for shape, make in inputs] for at in sizes]
    names = [f"x{k}" for k in range(len(inputs))]
    axes = {n: {k: a for k, a in enumerate(s) if isinstance(a, str)} for n, (s, _) in zip(names, inputs, strict=True)}
    with warnings.catch_warnings():
        warnings.simplefilter("error", ExportWarning)
        warnings.filterwarnings("ignore", "Python code in the model branches", ExportWarning)
        report = slipway.export(
            model, tuple(sets[0]), input_names=names, dynamic_axes=axes, opset_version=opset, progress=False,
        )  # fmt: skip
    for runtime in (slipway, onnxruntime):
        session = runtime.InferenceSession(report.model)
        taken = {x.name for x in session.get_inputs()}
        for tensors in sets:
            with torch.no_grad():
                want = torch.utils._pytree.tree_leaves(model(*[t.clone() for t in tensors]))
            got = session.run(None, {n: t.numpy() for n, t in zip(names, tensors, strict=True) if n in taken})
            for a, w in zip(got, want, strict=True):
                w = np.asarray(w)
                assert (np.asarray(a).dtype, np.shape(a)) == (w.dtype, w.shape)
                np.testing.assert_allclose(a, w, rtol=100 * tolerance, atol=tolerance)
