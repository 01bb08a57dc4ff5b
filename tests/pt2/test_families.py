"""Indexing, sorting, pooling, padding, resampling and recurrent operators, each at two sizes."""

import pytest
import torch
import torch.nn.functional as F
from programs import check, compare, convert, export
from torch import nn


class Call(nn.Module):
    """A function of one to four tensors, which export wants to see apart."""

    def __init__(self, f):
        super().__init__()
        self.f = f

    def forward(self, a, b=None, c=None, d=None):
        y = self.f(*[t for t in (a, b, c, d) if t is not None])
        return tuple(y) if isinstance(y, tuple) else y


def x(*shape):
    return torch.randn(*shape)


def i(high, *shape):
    return torch.randint(0, high, shape)


def distinct(*shape):
    """No two alike, so that places are told."""
    n = int(torch.tensor(shape).prod())
    return (torch.randperm(n).reshape(shape).float() - n / 2) / 7


INDEXING = {
    "gather": (lambda a, b: a.gather(1, b), [(x(3, 5), i(5, 3, 2)), (x(4, 5), i(5, 4, 2))]),
    "index_select": (lambda a, b: a.index_select(1, b), [(x(2, 5), i(5, 4)), (x(3, 5), i(5, 2))]),
    "take": (lambda a, b: a.take(b), [(x(2, 5), i(10, 4, 2)), (x(3, 5), i(10, 2, 2))]),
    "take_along": (lambda a, b: torch.take_along_dim(a, b, 1), [(x(2, 5, 3), i(5, 1, 4, 1)), (x(3, 5, 3), i(5, 1, 4, 1))]),
    "take_along_flat": (lambda a, b: torch.take_along_dim(a, b), [(x(2, 5), i(10, 4)), (x(3, 5), i(10, 3))]),
    "one_index": (lambda a, b: a[b], [(x(5, 3), i(5, 2, 2)), (x(5, 4), i(5, 3, 2))]),
    "index_behind": (lambda a, b: a[:, b], [(x(2, 5, 3), i(5, 4)), (x(3, 5, 3), i(5, 2))]),
    "negative_index": (lambda a, b: a[b - 3], [(x(5, 3), i(3, 4)), (x(5, 3), i(3, 2))]),
    "two_indices": (lambda a, b, c: a[b, c], [(x(5, 4, 3), i(5, 2), i(4, 2)), (x(5, 4, 2), i(5, 3), i(4, 3))]),
    "broadcast_indices": (lambda a, b, c: a[b[:, None], c], [(x(5, 4), i(5, 2), i(4, 3)), (x(5, 4), i(5, 3), i(4, 2))]),
    "indices_together": (lambda a, b, c: a[:, b, c], [(x(2, 5, 4), i(5, 3), i(4, 3)), (x(3, 5, 4), i(5, 2), i(4, 2))]),
    "indices_apart": (lambda a, b, c: a[b, :, c], [(x(5, 2, 4), i(5, 3), i(4, 3)), (x(5, 3, 4), i(5, 2), i(4, 2))]),
    "put": (lambda a, b, v: a.index_put((b,), v), [(x(5, 3), torch.tensor([1, 3]), x(2, 3)), (x(6, 3), torch.tensor([0, 2]), x(2, 3))]),
    "put_adds": (lambda a, b, v: a.index_put((b,), v, accumulate=True), [(x(5, 3), torch.tensor([1, 1]), x(2, 3)), (x(6, 3), torch.tensor([2, 2]), x(2, 3))]),
    "put_two": (lambda a, b, c, v: a.index_put((b, c), v), [(x(5, 4), torch.tensor([1, 3]), torch.tensor([0, 2]), x(2)), (x(6, 4), torch.tensor([1, 4]), torch.tensor([0, 3]), x(2))]),
    "put_mask": (lambda a, m: a.index_put((m > 0,), torch.tensor(2.0)), [(x(5, 3), x(5, 3)), (x(4, 3), x(4, 3))]),
    "put_rows": (lambda a, m: a.index_put((m > 0,), torch.tensor(2.0)), [(x(5, 3), x(5)), (x(4, 3), x(4))]),
    "put_behind": (lambda a, b, v: torch.ops.aten.index_put(a, [None, b], v), [(x(2, 5, 3), torch.tensor([1, 3]), x(2, 2, 3)), (x(3, 5, 3), torch.tensor([4, 0]), x(3, 2, 3))]),
    "set_item": (lambda a, b: _set(a, b), [(x(5, 3), i(5, 1)), (x(6, 3), i(5, 1))]),
    "scatter": (lambda a, b, s: a.scatter(1, b, s), [(x(3, 5), torch.tensor([[0, 2], [1, 3], [4, 0]]), x(3, 4)), (x(3, 6), torch.tensor([[0, 2], [1, 3], [4, 0]]), x(3, 4))]),
    "scatter_value": (lambda a, b: a.scatter(1, b, 2.5), [(x(3, 5), i(5, 3, 2)), (x(4, 5), i(5, 4, 2))]),
    "scatter_add": (lambda a, b, s: a.scatter_add(0, b, s), [(x(3, 5), i(3, 4, 5), x(4, 5)), (x(3, 5), i(3, 6, 5), x(6, 5))]),
    "scatter_multiply": (lambda a, b, s: a.scatter(0, b, s, reduce="multiply"), [(x(3, 5), i(3, 4, 5), x(4, 5)), (x(3, 5), i(3, 6, 5), x(6, 5))]),
    "index_add": (lambda a, b, s: a.index_add(0, b, s, alpha=2), [(x(3, 5), i(3, 4), x(4, 5)), (x(3, 5), i(3, 6), x(6, 5))]),
    "index_copy": (lambda a, b, s: a.index_copy(1, b, s), [(x(3, 5), torch.tensor([4, 1]), x(3, 2)), (x(4, 5), torch.tensor([0, 1]), x(4, 2))]),
    "index_fill": (lambda a, b: a.index_fill(1, b, -1.0), [(x(3, 5), i(5, 2)), (x(4, 5), i(5, 2))]),
    "masked_scatter": (lambda a, m, s: a.masked_scatter(m > 0, s), [(x(3, 5), x(3, 5), x(15)), (x(4, 5), x(4, 5), x(20))]),
    "masked_fill": (lambda a, m: a.masked_fill(m > 0, -2.0), [(x(3, 5), x(3, 1)), (x(4, 5), x(4, 1))]),
    "repeat_interleave": (lambda a: a.repeat_interleave(3, dim=1), [(x(2, 4),), (x(3, 4),)]),
    "repeat_interleave_flat": (lambda a: a.repeat_interleave(2), [(x(2, 4),), (x(3, 4),)]),
}
for how in ("sum", "prod", "mean", "amax", "amin"):
    for own in (True, False):
        INDEXING[f"scatter_reduce_{how}_{own}"] = (
            lambda a, b, s, how=how, own=own: a.scatter_reduce(0, b, s, how, include_self=own),
            [(x(4, 5), i(3, 4, 5), x(4, 5)), (x(4, 5), i(4, 6, 5), x(6, 5))],
        )


def _set(a, b):
    a = a.clone()
    a[b] = 3.0
    a[:, 1] = a[:, 0]
    return a


SORTING = {
    "sort": (lambda a: torch.sort(a), [(distinct(3, 5),), (distinct(4, 7),)]),
    "sort_down": (lambda a: torch.sort(a, 0, True), [(distinct(3, 5),), (distinct(4, 7),)]),
    "sort_stable": (lambda a: torch.sort(a, stable=True), [(i(3, 3, 8),), (i(3, 4, 9),)]),
    "argsort": (lambda a: torch.argsort(a, 1), [(distinct(3, 5),), (distinct(4, 7),)]),
    "msort": (lambda a: torch.msort(a), [(distinct(3, 5),), (distinct(4, 7),)]),
    "topk": (lambda a: torch.topk(a, 2, largest=False), [(distinct(3, 5),), (distinct(4, 7),)]),
    "topk_of_size": (lambda a: torch.topk(a, a.shape[1] // 2), [(distinct(3, 6),), (distinct(3, 8),)]),
    "kthvalue": (lambda a: torch.kthvalue(a, 2, 1, True), [(distinct(3, 5),), (distinct(4, 7),)]),
    "median": (lambda a: torch.median(a, 1), [(distinct(3, 5),), (distinct(4, 6),)]),
    "median_of_all": (lambda a: torch.median(a), [(distinct(3, 5),), (distinct(4, 6),)]),
    "cumsum": (lambda a: a.cumsum(1), [(x(3, 5),), (x(4, 7),)]),
    "cumsum_ints": (lambda a: a.cumsum(0), [(i(9, 3, 5).int(),), (i(9, 4, 5).int(),)]),
    "cumprod": (lambda a: a.cumprod(-1), [(x(3, 5),), (x(4, 7),)]),
    "cummax": (lambda a: torch.cummax(a, 1), [(x(3, 5),), (x(4, 7),)]),
    "cummin": (lambda a: torch.cummin(a, 0), [(i(3, 6, 5),), (i(3, 7, 5),)]),
    "logcumsumexp": (lambda a: torch.logcumsumexp(a, 1), [(x(3, 5) * 9,), (x(4, 7) * 9,)]),
    "searchsorted": (lambda s, v: torch.searchsorted(s.sort()[0], v), [(x(6), x(2, 3)), (x(7), x(4, 3))]),
    "searchsorted_rows": (lambda s, v: torch.searchsorted(s.sort()[0], v, right=True, out_int32=True), [(i(5, 2, 6), i(5, 2, 3)), (i(5, 2, 7), i(5, 2, 4))]),
    "bucketize": (lambda v: torch.bucketize(v, torch.tensor([-1.0, 0.0, 1.0]), right=True), [(x(2, 3),), (x(4, 3),)]),
}

POOLING = {
    "max1d": (lambda a: F.max_pool1d(a, 3, 2, 1), [(x(2, 3, 9),), (x(1, 3, 12),)]),
    "max2d": (lambda a: F.max_pool2d(a, 3, 2, 1), [(x(2, 3, 9, 9),), (x(1, 3, 12, 9),)]),
    "max2d_ceil": (lambda a: F.max_pool2d(a, 3, 2, 1, ceil_mode=True), [(x(2, 3, 10, 9),)]),
    "max2d_dilated": (lambda a: F.max_pool2d(a, 2, 1, 0, 2), [(x(2, 3, 9, 9),), (x(1, 3, 12, 9),)]),
    "max2d_places": (lambda a: F.max_pool2d(a, 2, return_indices=True), [(distinct(2, 3, 8, 6),), (distinct(1, 3, 12, 6),)]),
    "max2d_one_image": (lambda a: F.max_pool2d(a, 2), [(x(3, 8, 8),), (x(3, 10, 8),)]),
    "max3d": (lambda a: F.max_pool3d(a, 2, 2), [(x(1, 2, 4, 6, 8),), (x(1, 2, 4, 6, 10),)]),
    "average1d": (lambda a: F.avg_pool1d(a, 3, 2, 1), [(x(2, 3, 9),), (x(1, 3, 12),)]),
    "average2d": (lambda a: F.avg_pool2d(a, 3, 2, 1), [(x(2, 3, 9, 9),), (x(1, 3, 12, 9),)]),
    "average2d_inside": (lambda a: F.avg_pool2d(a, 3, 2, 1, count_include_pad=False), [(x(2, 3, 9, 9),), (x(1, 3, 12, 9),)]),
    "average2d_ceil": (lambda a: F.avg_pool2d(a, 3, 2, 1, ceil_mode=True), [(x(2, 3, 10, 9),)]),
    "average2d_divisor": (lambda a: F.avg_pool2d(a, 3, 2, 1, divisor_override=5), [(x(2, 3, 9, 9),), (x(1, 3, 12, 9),)]),
    "average3d": (lambda a: F.avg_pool3d(a, 2), [(x(1, 2, 4, 6, 8),), (x(1, 2, 4, 6, 10),)]),
    "lp2d": (lambda a: F.lp_pool2d(a, 2, 3, 2), [(x(2, 3, 9, 9),), (x(1, 3, 12, 9),)]),
    "adaptive_one": (lambda a: F.adaptive_avg_pool2d(a, 1), [(x(2, 3, 9, 9),), (x(1, 3, 12, 9),)]),
    "adaptive_even": (lambda a: F.adaptive_avg_pool2d(a, (2, 3)), [(x(2, 3, 8, 9),), (x(1, 3, 8, 9),)]),
    "adaptive_uneven": (lambda a: F.adaptive_avg_pool2d(a, (4, None)), [(x(2, 3, 9, 9),), (x(1, 3, 13, 9),)]),
    "adaptive_larger": (lambda a: F.adaptive_avg_pool2d(a, 7), [(x(2, 3, 5, 5),)]),
    "adaptive_1d": (lambda a: F.adaptive_avg_pool1d(a, 4), [(x(2, 3, 9),), (x(2, 3, 11),)]),
    "adaptive_max_one": (lambda a: F.adaptive_max_pool2d(a, 1, return_indices=True), [(distinct(2, 3, 9, 9),), (distinct(1, 3, 12, 9),)]),
    "adaptive_max_even": (lambda a: F.adaptive_max_pool2d(a, 3, return_indices=True), [(distinct(2, 3, 9, 6),), (distinct(1, 3, 9, 6),)]),
    "adaptive_max_uneven": (lambda a: F.adaptive_max_pool2d(a, 4), [(x(2, 3, 9, 10),), (x(1, 3, 13, 10),)]),
    "unpool": (lambda a: F.max_unpool2d(*F.max_pool2d(a, 2, return_indices=True), 2), [(distinct(2, 3, 8, 6),), (distinct(1, 3, 12, 6),)]),
    "unfold": (lambda a: F.unfold(a, (2, 3), 2, 1, 2), [(x(2, 3, 9, 9),), (x(1, 3, 12, 9),)]),
    "fold": (lambda a: F.fold(a, (6, 7), (2, 3), 2, 1, 2), [(x(2, 12, 9),), (x(3, 12, 9),)]),
    "fold_overlapping": (lambda a: F.fold(a, (6, 7), 3), [(x(2, 18, 20),), (x(3, 18, 20),)]),
}

PADDING = {
    "constant": (lambda a: F.pad(a, (1, 2, 0, 3), value=1.5), [(x(2, 3, 4),), (x(3, 3, 5),)]),
    "cropping": (lambda a: F.pad(a, (-1, 2, 1, -1)), [(x(2, 3, 4),), (x(3, 3, 5),)]),
    "reflect": (lambda a: F.pad(a, (1, 2, 2, 1), mode="reflect"), [(x(1, 2, 4, 5),), (x(2, 2, 4, 6),)]),
    "replicate": (lambda a: F.pad(a, (1, 2), mode="replicate"), [(x(1, 2, 4),), (x(2, 2, 6),)]),
    "circular": (lambda a: F.pad(a, (1, 2, 0, 1), mode="circular"), [(x(1, 2, 4, 5),), (x(2, 2, 4, 6),)]),
    "of_size": (lambda a: F.pad(a, (0, 8 - a.shape[1])), [(x(2, 4),), (x(2, 5),)]),
    "bools": (lambda a: F.pad(a > 0, (1, 1), value=True), [(x(2, 4),), (x(2, 5),)]),
    "diff": (lambda a: torch.diff(a, 2, 0), [(x(4, 4),), (x(6, 4),)]),
    "diff_prepend": (lambda a, b: torch.diff(a, prepend=b), [(x(4, 4), x(4, 2)), (x(6, 4), x(6, 2))]),
    "cross": (lambda a, b: torch.cross(a, b, dim=1), [(x(4, 3), x(4, 3)), (x(5, 3), x(5, 3))]),
    "linalg_cross": (lambda a, b: torch.linalg.cross(a, b), [(x(4, 3), x(1, 3)), (x(5, 3), x(1, 3))]),
    "kron": (lambda a, b: torch.kron(a, b), [(x(2, 3), x(4)), (x(3, 3), x(5))]),
}

RESAMPLING = {
    "affine_grid": (lambda t: F.affine_grid(t, (2, 1, 3, 4), align_corners=False), [(x(2, 2, 3),)]),
    "affine_grid_corners": (lambda t: F.affine_grid(t, (2, 1, 3, 4, 5), align_corners=True), [(x(2, 3, 4),)]),
}
for mode in ("nearest", "nearest-exact", "bilinear", "bicubic"):
    for corners in (None, True) if mode[0] == "b" else (None,):
        name = f"{mode}{'_corners' if corners else ''}"
        RESAMPLING[f"{name}_size"] = (
            lambda a, m=mode, c=corners: F.interpolate(a, (7, 5), mode=m, align_corners=c),
            [(x(1, 2, 4, 6),), (x(2, 2, 4, 6),)],
        )
        RESAMPLING[f"{name}_scale"] = (
            lambda a, m=mode, c=corners: F.interpolate(a, scale_factor=2, mode=m, align_corners=c),
            [(x(1, 2, 4, 6),), (x(1, 2, 5, 6),)],
        )
        RESAMPLING[f"{name}_odd_scale"] = (
            lambda a, m=mode, c=corners: F.interpolate(a, scale_factor=1.7, mode=m, align_corners=c),
            [(x(1, 2, 4, 6),)],
        )
for mode in ("bilinear", "bicubic"):
    RESAMPLING[f"{mode}_smooth"] = (
        lambda a, m=mode: F.interpolate(a, (3, 4), mode=m, antialias=True),
        [(x(1, 2, 8, 9),), (x(2, 2, 8, 9),)],
    )
RESAMPLING["linear1d"] = (lambda a: F.interpolate(a, 7, mode="linear"), [(x(1, 2, 4),), (x(2, 2, 6),)])
RESAMPLING["trilinear"] = (lambda a: F.interpolate(a, scale_factor=2, mode="trilinear"), [(x(1, 2, 2, 3, 4),)])


class Recurrent(nn.Module):
    def __init__(self, kind, **options):
        super().__init__()
        self.net = kind(3, 4, **options)

    def forward(self, a):
        return self.net(a)


class Packed(nn.Module):
    def __init__(self, kind):
        super().__init__()
        self.net = kind(3, 4, batch_first=True, bidirectional=True)

    def forward(self, a, lengths):
        packed = nn.utils.rnn.pack_padded_sequence(a, lengths, batch_first=True)
        start = a.new_zeros(2, a.shape[0], 4)
        y, _ = self.net(packed, (start, start) if isinstance(self.net, nn.LSTM) else start)
        return nn.utils.rnn.pad_packed_sequence(y, batch_first=True)[0]


class Cells(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm, self.gru, self.rnn = nn.LSTMCell(3, 4), nn.GRUCell(3, 4), nn.RNNCell(3, 4, nonlinearity="relu")

    def forward(self, a):
        return *self.lstm(a), self.gru(a), self.rnn(a)


TABLE = {
    f"{family}-{name}": row
    for family, rows in (
        ("indexing", INDEXING),
        ("sorting", SORTING),
        ("pooling", POOLING),
        ("padding", PADDING),
        ("resampling", RESAMPLING),
    )
    for name, row in rows.items()
}


@pytest.mark.parametrize("name", TABLE)
def test_operator(name, tmp_path):
    torch.manual_seed(0)
    f, calls = TABLE[name]
    check(Call(f), calls, tmp_path)


@pytest.mark.parametrize("name", TABLE)
def test_operator_at_the_newest_opset(name, tmp_path):
    torch.manual_seed(0)
    f, calls = TABLE[name]
    model = Call(f)
    convert(export(model, calls[0]), tmp_path / "model.onnx", opset=28)
    compare(tmp_path / "model.onnx", model, calls[:1], engines=["slipway"])


@pytest.mark.parametrize("mode", ["bilinear", "nearest", "bicubic"])
@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
@pytest.mark.parametrize("corners", [True, False])
@pytest.mark.parametrize("opset", [15, 17])
def test_grid_sample(mode, padding, corners, opset, tmp_path):
    torch.manual_seed(0)
    model = Call(lambda a, g: F.grid_sample(a, g, mode, padding, corners))
    args = (x(2, 3, 5, 6), torch.rand(2, 4, 3, 2) * 3 - 1.5)
    convert(export(model, args), tmp_path / "model.onnx", opset=opset)
    compare(tmp_path / "model.onnx", model, [args], rtol=1e-3, atol=1e-4)


RECURRENT = {
    "lstm": (nn.LSTM, {}),
    "lstm_all": (nn.LSTM, dict(num_layers=2, bidirectional=True, batch_first=True)),
    "lstm_plain": (nn.LSTM, dict(bias=False)),
    "lstm_projected": (nn.LSTM, dict(proj_size=2)),
    "lstm_projected_all": (nn.LSTM, dict(proj_size=2, num_layers=2, bidirectional=True)),
    "gru": (nn.GRU, dict(num_layers=2, batch_first=True)),
    "gru_both_ways": (nn.GRU, dict(bidirectional=True)),
    "rnn": (nn.RNN, dict(num_layers=2)),
    "rnn_relu": (nn.RNN, dict(nonlinearity="relu", bidirectional=True)),
}


@pytest.mark.parametrize("name", RECURRENT)
def test_recurrent(name, tmp_path):
    torch.manual_seed(0)
    kind, options = RECURRENT[name]
    check(Recurrent(kind, **options), [(x(5, 2, 3),), (x(5, 4, 3),)], tmp_path)


def test_cells(tmp_path):
    check(Cells(), [(x(2, 3),), (x(5, 3),)], tmp_path)


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
def test_packed(kind, tmp_path):
    model = Packed(kind)
    check(model, [(x(3, 5, 3), torch.tensor([5, 4, 2]))], tmp_path)
