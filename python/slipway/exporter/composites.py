"""Functions that PyTorch takes apart in a way that fixes dynamic sizes, taken apart here so that they stay dynamic."""

from __future__ import annotations

import builtins
import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as pytree

from . import shapes


def _take_along_dim(input: torch.Tensor, indices: torch.Tensor, dim: int | None = None) -> torch.Tensor:
    if dim is None:
        return input.flatten().gather(0, indices.flatten())
    dim %= input.dim()

    def along(tensor: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        """Repeated along axes of size 1, but for `dim`."""
        sizes = [
            b if axis != dim and isinstance(a, int) and a == 1 else a
            for axis, (a, b) in enumerate(zip(tensor.shape, other.shape, strict=True))
        ]
        return tensor.expand(sizes)

    return along(input, indices).gather(dim, along(indices, input))


def _linspace(start: Any, end: Any, steps: Any, **options: Any) -> torch.Tensor:
    if not isinstance(steps, torch.SymInt) or options.get("out") is not None:
        return torch.linspace(start, end, steps, **options)
    index = torch.arange(steps, dtype=options.pop("dtype", None) or torch.get_default_dtype(), **options)
    last = index.amax()
    step = (end - start) / last.clamp(min=1)
    # From both ends, as PyTorch does, so that the last number is `end`.
    return torch.where(2 * index < last + 1, start + index * step, end - (last - index) * step)


def _fill_diagonal(self: torch.Tensor, fill_value: float, wrap: bool = False) -> torch.Tensor:
    first, *places = (torch.arange(size, device=self.device) for size in self.shape)
    if wrap and self.dim() == 2:
        first = first % (self.shape[1] + 1)
    on = torch.ones((), dtype=torch.bool, device=self.device)
    for axis, place in enumerate(places):
        on = on & (first.view(-1, *[1] * len(places)) == place.view(-1, *[1] * (len(places) - axis - 1)))
    return self.masked_fill_(on, fill_value)


_LARGEST_INVERSE = 16  # rows: each is a step of the graph


def _inverse(a: torch.Tensor, **options: Any) -> torch.Tensor:
    """By Gauss and Jordan, with the largest of each column as the pivot."""
    n = a.shape[-1]
    if options or a.dim() < 2 or not isinstance(n, int) or n > _LARGEST_INVERSE or a.is_complex():
        return torch.linalg.inv(a, **options)
    both = torch.cat([a, torch.eye(n, dtype=a.dtype, device=a.device).expand(a.shape)], -1)
    for k in range(n):
        at = (both[..., k:, k].abs().argmax(-1, keepdim=True) + k).unsqueeze(-1)
        at = at.expand(*both.shape[:-2], 1, 2 * n)
        pivot = both.gather(-2, at)
        pivot = pivot / pivot[..., k : k + 1]
        both = both.scatter(-2, at, both[..., k : k + 1, :])
        both = both - both[..., k : k + 1] * pivot
        both = torch.cat([both[..., :k, :], pivot, both[..., k + 1 :, :]], -2)
    return both[..., n:]


def _solve(a: torch.Tensor, b: torch.Tensor, **options: Any) -> torch.Tensor:
    n = a.shape[-1]
    if options or not isinstance(n, int) or n > _LARGEST_INVERSE or a.is_complex():
        return torch.linalg.solve(a, b, **options)
    vectors = b.dim() == 1 or (b.dim() == a.dim() - 1 and b.shape == a.shape[:-1])
    return (_inverse(a) @ b.unsqueeze(-1)).squeeze(-1) if vectors else _inverse(a) @ b


_FORMS: dict[Callable, Callable] = {
    torch.inverse: _inverse,
    torch.linalg.inv: _inverse,
    torch.linalg.solve: _solve,
    torch.linspace: _linspace,
    torch.Tensor.inverse: _inverse,
    torch.Tensor.fill_diagonal_: _fill_diagonal,
    torch.take_along_dim: _take_along_dim,
    torch.Tensor.take_along_dim: _take_along_dim,
}


_OF_ONE = {torch.Tensor.item, torch.Tensor.__int__, torch.Tensor.__index__}
_TAKE_SIZES = {
    torch.Tensor.view, torch.Tensor.reshape, torch.reshape, torch.Tensor.expand, torch.Tensor.new_zeros,
    torch.Tensor.new_ones, torch.Tensor.new_empty, torch.Tensor.repeat, torch.Tensor.unflatten, torch.Tensor.narrow,
}  # fmt: skip


class KeepSizes(TorchFunctionMode):
    """While it is active these functions are made of others whose sizes stay dynamic."""

    def __init__(self) -> None:
        super().__init__()
        self._packed: dict[int, tuple[torch.Tensor, Any]] = {}  # batch_sizes, and their first number
        self._numbers: dict[int, tuple[torch.Tensor, torch.SymInt]] = {}  # tensors that were made of sizes alone
        self._forms = {
            **_FORMS,
            torch.div: self._div,
            torch._VF._pack_padded_sequence: self._pack,
            torch._VF._pad_packed_sequence: self._pad,
            torch.Tensor.__getitem__: self._item,
        }

    def __torch_function__(self, func: Callable, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        if self._numbers:
            if func in _OF_ONE and id(args[0]) in self._numbers:
                return self._numbers[id(args[0])][1]
            if func in _TAKE_SIZES:
                args = (args[0], *pytree.tree_map(lambda v: self._numbers.get(id(v), (v, v))[1], args[1:]))
        return self._forms.get(func, func)(*args, **(kwargs or {}))

    def _div(self, a: Any, b: Any, *, rounding_mode: str | None = None, **options: Any) -> torch.Tensor:
        """Of sizes: a tensor, as PyTorch makes it, which may be used as a size again."""
        result = torch.div(a, b, rounding_mode=rounding_mode, **options)
        sizes = all(isinstance(v, (int, torch.SymInt)) for v in (a, b)) and not isinstance(a, int)
        if sizes and rounding_mode is not None:  # not negative: both modes round to the same
            self._numbers[id(result)] = result, a // b
        return result

    def _pack(self, input: torch.Tensor, lengths: torch.Tensor, batch_first: bool) -> tuple[torch.Tensor, ...]:
        batch, length = input.shape[:2] if batch_first else (input.shape[1], input.shape[0])
        rows, steps = lengths.sum().item(), lengths.max().item()
        torch._check(steps >= 1)
        torch._check(rows >= 1)
        torch._check(steps <= length)
        with shapes.packed(rows, steps, batch):
            data, sizes = torch._VF._pack_padded_sequence(input, lengths, batch_first)
        self._packed[id(sizes)] = sizes, batch
        return data, sizes

    def _pad(
        self, data: torch.Tensor, sizes: torch.Tensor, batch_first: bool, value: float, length: Any
    ) -> tuple[torch.Tensor, ...]:
        if id(sizes) not in self._packed:
            return torch._VF._pad_packed_sequence(data, sizes, batch_first, value, length)
        steps = sizes.shape[0]
        with shapes.packed(data.shape[0], steps, self._packed[id(sizes)][1]):
            padded, lengths = torch._VF._pad_packed_sequence(data, sizes, batch_first, value, -1)
        if length is not steps and str(length) != str(steps):
            behind = [0, 0] * (padded.dim() - 2 + (not batch_first))
            padded = torch.nn.functional.pad(padded, [*behind, 0, length - steps], value=value)
        return padded, lengths

    def _item(self, tensor: torch.Tensor, index: Any) -> Any:
        known = self._packed.get(id(tensor)) if self._packed else None
        return known[1] if known and type(index) is int and index == 0 else tensor[index]


@contextlib.contextmanager
def length_as_size() -> Iterator[None]:
    """While it is active len(tensor) is its first size, dynamic where that is; Python's own gives a number."""
    plain = builtins.len

    def length(value: Any) -> Any:
        return value.shape[0] if isinstance(value, torch.Tensor) and value.dim() else plain(value)

    builtins.len = length  # type: ignore[assignment]
    try:
        yield
    finally:
        builtins.len = plain


def _check_forward_args(check: Callable) -> Callable:
    """The check of a recurrent layer's arguments takes a packed batch's size for a number, which fixes it."""

    def checked(self: torch.nn.Module, input: Any, hidden: Any, batch_sizes: Any, *rest: Any) -> None:
        if batch_sizes is None:
            check(self, input, hidden, batch_sizes, *rest)

    return checked


@contextlib.contextmanager
def unchecked_packing() -> Iterator[None]:
    """While it is active recurrent layers take packed sequences as they are: the example has shown that they fit."""
    classes = (torch.nn.RNNBase, torch.nn.LSTM)
    checks = [c.__dict__["check_forward_args"] for c in classes]
    for c, check in zip(classes, checks, strict=True):
        c.check_forward_args = _check_forward_args(check)  # type: ignore[method-assign]
    try:
        yield
    finally:
        for c, check in zip(classes, checks, strict=True):
            c.check_forward_args = check  # type: ignore[method-assign]
