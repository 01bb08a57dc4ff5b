"""Functions that PyTorch takes apart in a way that fixes dynamic sizes, taken apart here so that they stay dynamic."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.overrides import TorchFunctionMode


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


_FORMS: dict[Callable, Callable] = {
    torch.linspace: _linspace,
    torch.take_along_dim: _take_along_dim,
    torch.Tensor.take_along_dim: _take_along_dim,
}


class KeepSizes(TorchFunctionMode):
    """While it is active these functions are made of others whose sizes stay dynamic."""

    def __torch_function__(self, func: Callable, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        return _FORMS.get(func, func)(*args, **(kwargs or {}))
