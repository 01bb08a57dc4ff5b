"""Operators whose results' shapes are said here while a model is captured.

PyTorch finds those of LSTM, GRU and RNN by unrolling them, which fixes the sequence's length; those of the others by
taking the operator apart, which costs a third of the time that the capture of a model takes.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch._C import DispatchKey

_aten = torch.ops.aten


def _hidden(params: list[torch.Tensor], has_biases: bool, bidirectional: bool, projected: bool) -> Any:
    """Features of the output: of one direction the second weight's columns, times the directions."""
    per_direction = (4 if has_biases else 2) + (1 if projected else 0)
    size = params[per_direction - 1].shape[0] if projected else params[1].shape[1]
    return size * (2 if bidirectional else 1)


def _lstm_input(
    x: torch.Tensor, hx: list[torch.Tensor], params: list[torch.Tensor], has_biases: bool, num_layers: int,
    dropout: float, train: bool, bidirectional: bool, batch_first: bool,
) -> tuple[torch.Tensor, ...]:  # fmt: skip
    projected = hx[0].shape[2] != hx[1].shape[2]
    y = x.new_empty((*x.shape[:-1], _hidden(params, has_biases, bidirectional, projected)))
    return y, hx[0].new_empty(hx[0].shape), hx[1].new_empty(hx[1].shape)


def _lstm_data(
    x: torch.Tensor, sizes: torch.Tensor, hx: list[torch.Tensor], params: list[torch.Tensor], has_biases: bool,
    num_layers: int, dropout: float, train: bool, bidirectional: bool,
) -> tuple[torch.Tensor, ...]:  # fmt: skip
    return _lstm_input(x, hx, params, has_biases, num_layers, dropout, train, bidirectional, False)


def _input(
    x: torch.Tensor, hx: torch.Tensor, params: list[torch.Tensor], has_biases: bool, num_layers: int,
    dropout: float, train: bool, bidirectional: bool, batch_first: bool,
) -> tuple[torch.Tensor, ...]:  # fmt: skip
    y = x.new_empty((*x.shape[:-1], _hidden(params, has_biases, bidirectional, False)))
    return y, hx.new_empty(hx.shape)


def _data(
    x: torch.Tensor, sizes: torch.Tensor, hx: torch.Tensor, params: list[torch.Tensor], has_biases: bool,
    num_layers: int, dropout: float, train: bool, bidirectional: bool,
) -> tuple[torch.Tensor, ...]:  # fmt: skip
    return _input(x, hx, params, has_biases, num_layers, dropout, train, bidirectional, False)


_sizes: list[tuple[Any, Any, Any]] = []  # of the packed sequences at work: rows, steps, batch


@contextlib.contextmanager
def packed(rows: Any, steps: Any, batch: Any) -> Iterator[None]:
    """Says the sizes of packed sequences, which depend on values."""
    _sizes.append((rows, steps, batch))
    try:
        yield
    finally:
        _sizes.pop()


def _pack(x: torch.Tensor, lengths: torch.Tensor, batch_first: bool) -> tuple[torch.Tensor, ...]:
    rows, steps, _ = _sizes[-1]
    return x.new_empty((rows, *x.shape[2:])), lengths.new_empty((steps,))


def _pad(
    data: torch.Tensor, sizes: torch.Tensor, batch_first: bool, value: float, length: int
) -> tuple[torch.Tensor, ...]:
    _, steps, batch = _sizes[-1]
    both = (batch, steps) if batch_first else (steps, batch)
    return data.new_empty((*both, *data.shape[1:])), sizes.new_empty((batch,))


def _same(a: Any, b: Any, what: str) -> None:
    if a != b:  # of symbols: fixes the one, or takes both for one
        raise RuntimeError(f"{what}: {a} and {b}")


def _linear(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
    for other in (weight, bias):
        if other is not None and other.dtype != x.dtype:
            raise RuntimeError(f"mat1 and mat2 must have the same dtype, but got {x.dtype} and {other.dtype}")
    if not x.dim():
        raise RuntimeError("linear of a scalar")
    _same(x.shape[-1], weight.shape[-1], "mat1 and mat2 shapes cannot be multiplied")
    if bias is not None:
        _same(bias.shape[-1] if bias.dim() else 1, weight.shape[0] if weight.dim() > 1 else 1, "the bias of linear")
    return x.new_empty((*x.shape[:-1], *weight.shape[:-1]))


def _layer_norm(
    x: torch.Tensor, shape: list[int], weight: torch.Tensor | None = None, bias: torch.Tensor | None = None,
    eps: float = 1e-5, cudnn_enable: bool = True,
) -> torch.Tensor:  # fmt: skip
    if x.dim() < len(shape):
        raise RuntimeError(f"layer_norm over {list(shape)} of a tensor {list(x.shape)}")
    for size, wanted in zip(x.shape[x.dim() - len(shape) :], shape, strict=True):
        _same(size, wanted, "the sizes that layer_norm is over")
    return torch.empty_like(x, memory_format=torch.contiguous_format)


def _batch_norm(
    x: torch.Tensor, weight: torch.Tensor | None, bias: torch.Tensor | None, mean: torch.Tensor | None,
    var: torch.Tensor | None, training: bool, momentum: float, eps: float, cudnn_enabled: bool,
) -> torch.Tensor:  # fmt: skip
    for other in (weight, bias, mean, var):
        if other is not None:
            _same(x.shape[1], other.shape[0], "the channels of batch_norm")
    return torch.empty_like(x)


def _conv2d(
    x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None, stride: Any = (1, 1),
    padding: Any = (0, 0), dilation: Any = (1, 1), groups: int = 1,
) -> torch.Tensor:  # fmt: skip
    for other in (weight, bias):
        if other is not None and other.dtype != x.dtype:
            raise RuntimeError(f"Input type ({x.dtype}) and weight type ({other.dtype}) should be the same")
    if x.dim() not in (3, 4) or weight.dim() != 4:
        raise RuntimeError(f"conv2d of {list(x.shape)} with weights {list(weight.shape)}")
    _same(x.shape[-3], weight.shape[1] * groups, "the channels of conv2d")
    lists = [list(v) * 2 if len(v) == 1 else list(v) for v in (stride, padding, dilation)]
    image = [
        (size + 2 * p - d * (k - 1) - 1) // s + 1
        for size, k, s, p, d in zip(x.shape[-2:], weight.shape[2:], *lists, strict=True)
    ]
    return x.new_empty((*x.shape[:-3], weight.shape[0], *image))


def _adaptive(x: torch.Tensor, output_size: Any) -> torch.Tensor:
    if x.dim() < 3:
        raise RuntimeError(f"adaptive_avg_pool2d of {list(x.shape)}")
    return x.new_empty((*x.shape[:-2], *output_size))


def _elementwise(x: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
    return torch.empty_like(x)


_SHAPES: list[tuple[Any, Callable]] = [
    (_aten.linear.default, _linear), (_aten.layer_norm.default, _layer_norm), (_aten.batch_norm.default, _batch_norm),
    (_aten.conv2d.default, _conv2d), (_aten.adaptive_avg_pool2d.default, _adaptive), (_aten.silu.default, _elementwise),
    (_aten.dropout.default, _elementwise), (_aten.relu.default, _elementwise), (_aten.gelu.default, _elementwise),
    (_aten.fake_quantize_per_tensor_affine.default, _elementwise),
    (_aten.fake_quantize_per_tensor_affine.tensor_qparams, _elementwise),
    (_aten.fake_quantize_per_channel_affine.default, _elementwise),
    (_aten._pack_padded_sequence.default, _pack), (_aten._pad_packed_sequence.default, _pad),
    (_aten.lstm.input, _lstm_input), (_aten.lstm.data, _lstm_data),
    (_aten.gru.input, _input), (_aten.gru.data, _data),
    (_aten.rnn_tanh.input, _input), (_aten.rnn_tanh.data, _data),
    (_aten.rnn_relu.input, _input), (_aten.rnn_relu.data, _data),
]  # fmt: skip
_KEYS = (DispatchKey.Autograd, DispatchKey.CompositeImplicitAutograd, DispatchKey.Meta)


@contextlib.contextmanager
def said_at_once() -> Iterator[None]:
    """While it is active these operators say their shapes without being taken apart."""
    saved = [(op, dict(op.py_kernels)) for op, _ in _SHAPES]
    try:
        for op, shape in _SHAPES:
            for key in _KEYS:
                op.py_kernels[key] = shape
            op._dispatch_cache.clear()
        yield
    finally:
        for op, kernels in saved:
            op.py_kernels.clear()
            op.py_kernels.update(kernels)
            op._dispatch_cache.clear()
