"""The example's arguments as a flat list of tensors, each with a name, and back."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch.utils import _pytree as pytree

from ..errors import ExportError


@dataclasses.dataclass
class Arguments:
    """A call's arguments: its tensors, and what they are to be put back into."""

    leaves: list[Any]
    spec: pytree.TreeSpec
    places: list[int]  # of leaves, those that are tensors
    names: list[str]  # of the tensors
    default_names: list[str]  # by the parameters of forward
    paths: list[tuple[Any, ...]]  # of the tensors: parameter's name, then keys and indices
    parameters: list[str]  # that the call gives, tensors or not

    @property
    def tensors(self) -> list[torch.Tensor]:
        return [self.leaves[i] for i in self.places]

    def call_with(self, tensors: Sequence[torch.Tensor]) -> tuple[tuple, dict]:
        """args and kwargs with other tensors in the example's places."""
        leaves = list(self.leaves)
        for place, tensor in zip(self.places, tensors, strict=True):
            leaves[place] = tensor
        return pytree.tree_unflatten(leaves, self.spec)


def _key(entry: Any) -> Any:
    for field in ("idx", "key", "name"):
        if hasattr(entry, field):
            return getattr(entry, field)
    return str(entry)


def _plain(value: Any) -> Any:
    """Mappings that are no dict (tokenizers give such) as dicts; arrays as tensors."""
    if isinstance(value, np.ndarray):
        return torch.from_numpy(value)
    if isinstance(value, Mapping) and type(value) not in pytree.SUPPORTED_NODES:
        return {k: _plain(v) for k, v in value.items()}
    if type(value) in (tuple, list):
        return type(value)(_plain(v) for v in value)
    if type(value) is dict:
        return {k: _plain(v) for k, v in value.items()}
    return value


def _register_caches() -> None:
    """Lets the key and value caches of transformers, where it is loaded, be taken apart into their tensors."""
    import sys

    module = sys.modules.get("transformers.cache_utils")
    cache = getattr(module, "DynamicCache", None)
    if cache is None or cache in pytree.SUPPORTED_NODES:
        return

    def flatten(value: Any) -> tuple[list, Any]:
        return [(layer.keys, layer.values) for layer in value.layers], None

    def flatten_with_keys(value: Any) -> tuple[list, Any]:
        pairs, context = flatten(value)
        return [(pytree.SequenceKey(i), pair) for i, pair in enumerate(pairs)], context

    def unflatten(pairs: Any, context: Any) -> Any:
        value = cache()
        for i, (keys, values) in enumerate(pairs):
            if keys is not None:
                value.update(keys, values, i)
        return value

    pytree.register_pytree_node(cache, flatten, unflatten, flatten_with_keys_fn=flatten_with_keys)


def split_call(args: Any, kwargs: Mapping[str, Any] | None, signature: inspect.Signature | None) -> tuple[tuple, dict]:
    """args and kwargs as a tuple and a dict. A dict of keyword arguments may stand last in args, or alone."""
    if isinstance(args, Mapping):
        args = (args,)
    args = tuple(args) if isinstance(args, (tuple, list)) else (args,)
    if not kwargs and args and isinstance(args[-1], Mapping) and signature is not None:
        taken = list(signature.parameters)[: len(args) - 1]
        free = [n for n in signature.parameters if n not in taken]
        if args[-1] and all(k in free for k in args[-1]):
            args, kwargs = args[:-1], args[-1]
        elif not args[-1] and len(args) > len(signature.parameters):
            args = args[:-1]
    return tuple(_plain(a) for a in args), {k: _plain(v) for k, v in (kwargs or {}).items()}


def _bind(signature: inspect.Signature | None, args: tuple, kwargs: dict, what: str) -> list[str]:
    """The parameter that each positional argument goes to; a call that does not fit is an error."""
    if signature is None:
        return [f"input_{i}" for i in range(len(args))]
    try:
        signature.bind(*args, **kwargs)
    except TypeError as error:
        raise ExportError(
            f"{what} cannot be called with this example: {error}.\n"
            f"Its parameters are {signature}; the example has {len(args)} positional argument(s)"
            + (f" and the keywords {', '.join(kwargs)}." if kwargs else ".")
        ) from None
    names = []
    for parameter in signature.parameters.values():
        if parameter.kind is parameter.VAR_POSITIONAL:
            names += [f"{parameter.name}_{i}" for i in range(len(args) - len(names))]
        elif parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD):
            names.append(parameter.name)
    return names[: len(args)]


def signature_of(function: Callable) -> inspect.Signature | None:
    try:
        return inspect.signature(function)
    except (TypeError, ValueError):
        return None


def join(path: Sequence[Any]) -> str:
    return "_".join(str(p) for p in path)


def unique(names: Sequence[str]) -> list[str]:
    """The names, a number behind those that came before."""
    seen: set[str] = set()
    result = []
    for name in names:
        candidate, count = name, 1
        while candidate in seen:
            candidate, count = f"{name}_{count}", count + 1
        seen.add(candidate)
        result.append(candidate)
    return result


def name_all(asked: Sequence[str] | None, defaults: Sequence[str], what: str) -> list[str]:
    """The names asked for, then the defaults for the rest."""
    asked = list(asked or ())
    if not all(isinstance(n, str) and n for n in asked):
        raise ExportError(f"{what}_names must be strings that are not empty, but are {asked!r}.")
    repeated = sorted({n for n in asked if asked.count(n) > 1})
    if repeated:
        raise ExportError(f"{what}_names has {', '.join(map(repr, repeated))} twice; names must differ.")
    if len(asked) > len(defaults):
        raise ExportError(
            f"{what}_names has {len(asked)} names ({', '.join(asked)}), but there are {len(defaults)} {what} tensors: "
            f"{', '.join(defaults)}.\nNested containers count by their tensors; None and numbers get no name."
        )
    taken = set(asked)
    rest = []
    for name in unique(defaults)[len(asked) :]:
        candidate, count = name, 1
        while candidate in taken:
            candidate, count = f"{name}_{count}", count + 1
        taken.add(candidate)
        rest.append(candidate)
    return asked + rest


def flatten(
    function: Callable, args: Any, kwargs: Mapping[str, Any] | None, input_names: Sequence[str] | None, what: str
) -> Arguments:
    """Takes the arguments of a call of `function` apart and names the tensors in them."""
    _register_caches()
    signature = signature_of(function)
    args, kwargs = split_call(args, kwargs, signature)
    positional = _bind(signature, args, kwargs, what)
    keyed, spec = pytree.tree_flatten_with_path((args, kwargs))
    leaves, places, paths = [], [], []
    for keys, leaf in keyed:
        path = [_key(k) for k in keys]
        path = [positional[path[1]] if path[0] == 0 else path[1], *path[2:]]
        if isinstance(leaf, torch.Tensor):
            places.append(len(leaves))
            paths.append(tuple(path))
        elif isinstance(leaf, np.generic):
            leaf = leaf.item()
        leaves.append(leaf)
    defaults = unique([join(p) for p in paths])
    return Arguments(
        leaves, spec, places, name_all(input_names, defaults, "input"), defaults, paths, [*positional, *kwargs]
    )


@dataclasses.dataclass
class Outputs:
    """What a call gave: its tensors in pytree order, and where each was found."""

    tensors: list[torch.Tensor]
    paths: list[tuple[Any, ...]]
    dropped: list[str]  # neither tensors nor None

    def default_names(self) -> list[str]:
        if len(self.paths) == 1 and not any(isinstance(k, str) for k in self.paths[0]):
            return ["output"]
        return unique([join(p if isinstance(p[0], str) else ("output", *p)) if p else "output" for p in self.paths])


def _leaves_of(value: Any, path: tuple, found: list) -> None:
    """(path, leaf) of everything in a result: pytrees, and dataclasses that PyTorch knows no way into."""
    if isinstance(value, torch.Tensor) or value is None:
        found.append((path, value))
        return
    if dataclasses.is_dataclass(value) and not isinstance(value, type) and type(value) not in pytree.SUPPORTED_NODES:
        for field in dataclasses.fields(value):
            _leaves_of(getattr(value, field.name), (*path, field.name), found)
        return
    keyed, _ = pytree.tree_flatten_with_path(value)
    for keys, leaf in keyed:
        inner = (*path, *(_key(k) for k in keys))
        if keys and not isinstance(leaf, torch.Tensor) and dataclasses.is_dataclass(leaf):
            _leaves_of(leaf, inner, found)
        else:
            found.append((inner, leaf))


def flatten_outputs(value: Any, numbers: Collection[tuple] = ()) -> Outputs:
    """Takes a result apart. Symbolic integers and floats become scalar tensors; other values are dropped.

    numbers: the places of integers and floats that are to become tensors too, as they did when they were symbolic.
    """
    _register_caches()
    found: list[tuple[tuple, Any]] = []
    _leaves_of(value, (), found)
    outputs = Outputs([], [], [])
    for path, leaf in found:
        if path in numbers and type(leaf) in (int, float):
            leaf = torch.tensor(leaf, dtype=torch.int64 if type(leaf) is int else torch.float64)
        elif isinstance(leaf, torch.SymInt):
            leaf = torch.scalar_tensor(leaf, dtype=torch.int64)
        elif isinstance(leaf, torch.SymFloat):
            leaf = torch.scalar_tensor(leaf, dtype=torch.float64)
        if isinstance(leaf, torch.Tensor):
            outputs.tensors.append(leaf)
            outputs.paths.append(path)
        elif leaf is not None:
            outputs.dropped.append(f"{join(path) or 'output'} ({type(leaf).__name__})")
    return outputs
