"""Which axes are dynamic, under which names, and with which sizes the model is looked at."""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch

from ..errors import ExportError
from .arguments import Arguments

AxisNames = dict[int, str]
Sizes = dict[str, int]

_PRIMES = (5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97)


def _check_axis(axis: Any, rank: int | None, tensor: str) -> int:
    if isinstance(axis, bool) or not isinstance(axis, int):
        raise ExportError(f"dynamic_axes: the axes of '{tensor}' must be integers, but one is {axis!r}.")
    if rank is None:
        return axis
    if not -rank <= axis < rank:
        raise ExportError(f"dynamic_axes: '{tensor}' has {rank} axes, so it has no axis {axis}.")
    return axis % rank


def _axes_of(value: Any, rank: int | None, tensor: str) -> AxisNames:
    """One tensor's entry in dynamic_axes: {axis: name}, or a list of axes, which are then named after the tensor."""
    if isinstance(value, Mapping):
        named = {_check_axis(a, rank, tensor): name for a, name in value.items()}
        bad = [n for n in named.values() if not (n is None or isinstance(n, str)) or n == ""]
        if bad:
            raise ExportError(
                f"dynamic_axes: the names of the axes of '{tensor}' must be strings, but one is {bad[0]!r}."
            )
        return {a: name or f"{tensor}_dynamic_axes_{i + 1}" for i, (a, name) in enumerate(named.items())}
    if isinstance(value, (list, tuple, set, range)):
        return {_check_axis(a, rank, tensor): f"{tensor}_dynamic_axes_{i + 1}" for i, a in enumerate(value)}
    raise ExportError(f"dynamic_axes: '{tensor}' must have a dict {{axis: name}} or a list of axes, not {value!r}.")


def _unknown(key: str, inputs: Sequence[str], outputs: Sequence[str]) -> ExportError:
    close = difflib.get_close_matches(str(key), [*inputs, *outputs], n=1, cutoff=0.4)
    meant = f" Did you mean '{close[0]}'?" if close else ""
    return ExportError(
        f"dynamic_axes names '{key}', which is neither an input nor an output.{meant}\n"
        f"Inputs: {', '.join(inputs) or 'none'}. Outputs: {', '.join(outputs) or 'none'}."
    )


class DynamicAxes:
    """The axes asked for: of each input tensor, and of outputs by name (known fully once the model has run)."""

    def __init__(self, arguments: Arguments) -> None:
        self.names = arguments.names
        self.inputs: list[AxisNames] = [{} for _ in arguments.names]
        self.pending: dict[str, Any] = {}

    def read_dynamic_axes(self, spec: Any, arguments: Arguments, output_names: Sequence[str]) -> None:
        if not isinstance(spec, Mapping):
            raise ExportError(f"dynamic_axes must be a dict from tensor names to axes, not a {type(spec).__name__}.")
        tensors = arguments.tensors
        for key, value in spec.items():
            if key in arguments.names:
                place = arguments.names.index(key)
            elif key in arguments.default_names and key not in output_names:
                place = arguments.default_names.index(key)
            else:
                self.pending[key] = value
                continue
            self.inputs[place] = _axes_of(value, tensors[place].dim(), arguments.names[place])

    def read_dynamic_shapes(self, spec: Any, arguments: Arguments) -> None:
        """torch.export's form: a structure like the arguments', with {axis: Dim or name} or a list at each tensor."""
        roots = {name: i for i, name in enumerate(arguments.parameters)}
        for place, (path, tensor) in enumerate(zip(arguments.paths, arguments.tensors, strict=True)):
            node = spec
            if isinstance(spec, Mapping):
                unknown = [k for k in spec if k not in roots and spec[k] and _has_axes(spec[k]) and k not in self.names]
                if unknown and len(roots) and not any(_is_starred(k, roots) for k in unknown):
                    raise ExportError(
                        f"dynamic_shapes names '{unknown[0]}', but the example's inputs are {', '.join(roots)}."
                    )
                node = spec.get(path[0], spec.get(self.names[place], _starred(spec, path[0])))
            elif isinstance(spec, (tuple, list)):
                node = _positional(spec, roots[path[0]], path[0], roots)
            elif spec is not None:
                raise ExportError(f"dynamic_shapes must be a dict, tuple or list, not a {type(spec).__name__}.")
            for key in path[1:]:
                if isinstance(node, Mapping):
                    node = node.get(key)
                elif isinstance(node, (tuple, list)) and isinstance(key, int) and key < len(node):
                    node = node[key]
                elif node is not None:
                    raise ExportError(f"dynamic_shapes does not have the structure of the input '{path[0]}'.")
            self.inputs[place] = self._axes_of_shape(node, tensor, self.names[place])

    def _axes_of_shape(self, node: Any, tensor: torch.Tensor, name: str) -> AxisNames:
        if node is None:
            return {}
        if isinstance(node, (tuple, list)):
            if len(node) != tensor.dim():
                raise ExportError(f"dynamic_shapes has {len(node)} sizes for '{name}', which has {tensor.dim()} axes.")
            node = dict(enumerate(node))
        if not isinstance(node, Mapping):
            raise ExportError(f"dynamic_shapes must have a dict or a list for '{name}', not {node!r}.")
        axes = {}
        for axis, dim in node.items():
            axis = _check_axis(axis, tensor.dim(), name)
            hint = type(dim).__name__ == "_DimHint"
            if dim is None or isinstance(dim, int) or (hint and "STATIC" in str(dim)):
                continue
            if isinstance(dim, str):
                axes[axis] = dim
            elif hint:
                axes[axis] = f"{name}_dim_{axis}"
            elif getattr(dim, "__name__", None):
                axes[axis] = dim.__name__
            else:
                raise ExportError(
                    f"dynamic_shapes: axis {axis} of '{name}' is {dim!r}; a Dim, a name or None is meant."
                )
        return axes

    def name_outputs(self, names: Sequence[str], ranks: Sequence[int]) -> list[AxisNames]:
        """The axes asked for of each output; a key that names nothing is an error."""
        for key in self.pending:
            if key not in names:
                raise _unknown(key, self.names, names)
        return [
            _axes_of(self.pending[n], rank, n) if n in self.pending else {}
            for n, rank in zip(names, ranks, strict=True)
        ]

    def check_keys(self, output_names: Sequence[str]) -> None:
        """The same check before anything has run, where every output's name is known or may still come."""
        if not output_names:
            return
        for key in self.pending:
            if key not in output_names:
                raise _unknown(key, self.names, output_names)

    def split_unequal(self, tensors: Sequence[torch.Tensor]) -> list[str]:
        """Axes of one name but of different sizes get names of their own; says which."""
        warnings, first = [], {}
        for place, (axes, tensor) in enumerate(zip(self.inputs, tensors, strict=True)):
            for axis, name in list(axes.items()):
                size, where = first.setdefault(name, (tensor.shape[axis], f"axis {axis} of '{self.names[place]}'"))
                if size != tensor.shape[axis]:
                    axes[axis] = f"{self.names[place]}_{name}"
                    warnings.append(
                        f"dynamic_axes calls axis {axis} of '{self.names[place]}' '{name}' (size {tensor.shape[axis]} "
                        f"in the example), as it does {where} (size {size}). It is written as '{axes[axis]}'."
                    )
        return warnings

    def sizes(self, tensors: Sequence[torch.Tensor]) -> Sizes:
        """The size in the example of each name."""
        return {n: t.shape[a] for axes, t in zip(self.inputs, tensors, strict=True) for a, n in axes.items()}

    def shapes(self, tensors: Sequence[torch.Tensor], sizes: Mapping[str, int]) -> list[tuple[int, ...]]:
        """The inputs' shapes with other sizes along the dynamic axes."""
        return [
            tuple(sizes[axes[a]] if a in axes else n for a, n in enumerate(t.shape))
            for axes, t in zip(self.inputs, tensors, strict=True)
        ]


def _has_axes(node: Any) -> bool:
    return node is not None and node != {} and node != () and node != []


def _is_starred(key: str, roots: Mapping[str, int]) -> bool:
    return any(r.startswith(f"{key}_") and r[len(key) + 1 :].isdigit() for r in roots)


def _starred(spec: Mapping, root: str) -> Any:
    """What dynamic_shapes says under the name of *args for one of them."""
    stem, _, number = root.rpartition("_")
    if number.isdigit() and isinstance(spec.get(stem), (tuple, list)) and int(number) < len(spec[stem]):
        return spec[stem][int(number)]
    return None


def _positional(spec: Sequence, place: int, root: str, roots: Mapping[str, int]) -> Any:
    if len(spec) == 1 and len(roots) > 1 and isinstance(spec[0], (tuple, list)) and len(spec[0]) == len(roots):
        return spec[0][place]  # forward(*args)
    return spec[place] if place < len(spec) else None


def _step(size: int) -> int:
    """How far a size may move and still be divided by the powers of two that divided it."""
    return min(size & -size, 32) if size else 1


def _taken(module: torch.nn.Module, arguments: Arguments, axes: DynamicAxes) -> set[int]:
    """Sizes that mean something in the model; a dynamic axis that has one of them may be taken for it."""
    taken = {n for p in itertools.chain(module.parameters(), module.buffers()) for n in p.shape}
    for names, tensor in zip(axes.inputs, arguments.tensors, strict=True):
        taken.update(n for a, n in enumerate(tensor.shape) if a not in names)
    return taken


def _relations(sizes: Sizes) -> Iterator[tuple[str, Callable[[Sizes], int]]]:
    """Sums and multiples that hold among the example's sizes, such as total = past + new."""
    for name, size in sizes.items():
        others = [n for n in sizes if n != name]
        for a, b in itertools.combinations(others, 2):
            if size == sizes[a] + sizes[b]:
                yield name, lambda s, a=a, b=b: s[a] + s[b]
        for a in others:
            if sizes[a] > 1 and size != sizes[a] and size % sizes[a] == 0:
                yield name, lambda s, a=a, k=size // sizes[a]: s[a] * k
            if size == sizes[a] + 1:
                yield name, lambda s, a=a: s[a] + 1
            if size == sizes[a]:
                yield name, lambda s, a=a: s[a]


def candidates(example: Sizes, module: torch.nn.Module, arguments: Arguments, axes: DynamicAxes) -> Iterator[Sizes]:
    """Sizes to capture with, the most telling first: all at least 2, different for different names.

    torch.export fixes an axis of size 0 or 1, and takes axes of equal size for one where the code compares them.
    """
    taken = _taken(module, arguments, axes)
    used: set[int] = {n for n in example.values() if n > 1}
    fresh = [p for p in _PRIMES if p not in taken and p not in used]
    grown: Sizes = {}
    seen: set[int] = set()
    for name, size in example.items():
        if size < 2:
            size = next((p for p in fresh if p not in seen), 101 + len(seen))
        elif size in seen:
            step = _step(size)
            while size in seen or size in taken:
                size += step
        seen.add(size)
        grown[name] = size
    tried: list[Sizes] = []

    def fresh_one(sizes: Sizes) -> Iterator[Sizes]:
        if sizes not in tried:
            tried.append(dict(sizes))
            yield dict(sizes)

    yield from fresh_one(grown)
    related = list(_relations(example))
    for name, value in related:
        yield from fresh_one(grown | {name: value(grown)})
    for (one, first), (two, second) in itertools.combinations(related[:8], 2):
        if one != two:
            sizes = grown | {one: first(grown)}
            yield from fresh_one(sizes | {two: second(sizes)})
    small = {n: s if s > 1 else 2 for n, s in example.items()}
    yield from fresh_one(small)
    for name in [n for n, s in example.items() if grown[n] != s]:
        yield from fresh_one(grown | {name: example[name]})
    yield from fresh_one(example)


def others(
    sizes: Sizes, name: str, module: torch.nn.Module, arguments: Arguments, axes: DynamicAxes
) -> Iterator[Sizes]:
    """Sizes that differ in one name, to tell an axis that the model pins from one that only looked like another."""
    taken = _taken(module, arguments, axes) | set(sizes.values())
    step = _step(sizes[name]) if sizes[name] > 1 else 1
    size = sizes[name] + step
    while size in taken:
        size += step
    yield sizes | {name: size}


def grow(tensor: torch.Tensor, shape: Sequence[int]) -> torch.Tensor:
    """The tensor in another shape: repeated along axes that are to be longer, cut where shorter."""
    tensor = tensor.detach()
    for axis, size in enumerate(shape):
        have = tensor.shape[axis]
        if have == size:
            continue
        if have == 0:
            return torch.zeros(tuple(shape), dtype=tensor.dtype, device=tensor.device)
        index = torch.arange(size, device=tensor.device) % have
        tensor = tensor.index_select(axis, index)
    return tensor.clone() if tensor.numel() else tensor
