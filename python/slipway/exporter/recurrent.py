"""LSTM, GRU and RNN seen whole: PyTorch finds their shapes by unrolling them, which fixes the sequence's length."""

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


_SHAPES: list[tuple[Any, Callable]] = [
    (_aten.lstm.input, _lstm_input), (_aten.lstm.data, _lstm_data),
    (_aten.gru.input, _input), (_aten.gru.data, _data),
    (_aten.rnn_tanh.input, _input), (_aten.rnn_tanh.data, _data),
    (_aten.rnn_relu.input, _input), (_aten.rnn_relu.data, _data),
]  # fmt: skip
_KEYS = (DispatchKey.Autograd, DispatchKey.CompositeImplicitAutograd, DispatchKey.Meta)


@contextlib.contextmanager
def keep_whole() -> Iterator[None]:
    """While a model is captured, recurrent operators say their shapes without unrolling."""
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
