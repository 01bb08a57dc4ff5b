"""Buffers that forward changes: which, where, and how the model gets them back."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Collection, Iterator, Mapping

import torch
from torch.export import ExportedProgram

from . import source


def _writes(target: torch._ops.OpOverload) -> Iterator[int]:
    """The arguments that an operator writes to."""
    for place, argument in enumerate(target._schema.arguments):
        if argument.alias_info is not None and argument.alias_info.is_write:
            yield place


def _memory_of(node: torch.fx.Node) -> torch.fx.Node:
    """The node that made the memory which a node's result lies in: views and writes give their argument's."""
    while node.op == "call_function" and node.args and isinstance(node.args[0], torch.fx.Node):
        schema = getattr(node.target, "_schema", None)
        view = schema is not None and any(r.alias_info is not None for r in schema.returns)
        if not view and "getitem" not in getattr(node.target, "__name__", ""):
            break
        node = node.args[0]
    return node


def _line(node: torch.fx.Node) -> str | None:
    told = re.findall(r'File "([^"]+)", line (\d+)', node.meta.get("stack_trace") or "")
    return source.describe(told[-1][0], int(told[-1][1])) if told else None


def changed(program: ExportedProgram) -> dict[str, str | None]:
    """Buffers and parameters that the program writes to, by their names, with the line of the model's source."""
    signature = program.graph_signature
    names = {**signature.inputs_to_buffers, **signature.inputs_to_parameters}
    found: dict[str, str | None] = dict.fromkeys(signature.buffers_to_mutate.values())
    for node in program.graph.nodes:
        if node.op != "call_function" or not isinstance(node.target, torch._ops.OpOverload):
            continue
        for place in _writes(node.target):
            if place < len(node.args) and isinstance(node.args[place], torch.fx.Node):
                name = names.get(_memory_of(node.args[place]).name)
                if name is not None and found.get(name) is None:
                    found[name] = _line(node)
    return found


@contextlib.contextmanager
def attributes(module: torch.nn.Module) -> Iterator[dict[str, torch.Tensor]]:
    """Gives, after it, the tensors that were plain attributes and were set anew, and sets them back."""
    before = [
        (vars(m), key, value, f"{path}.{key}" if path else key)
        for path, m in module.named_modules()
        for key, value in vars(m).items()
        if isinstance(value, torch.Tensor)
    ]
    found: dict[str, torch.Tensor] = {}
    try:
        yield found
    finally:
        for holder, key, value, name in before:
            if holder.get(key) is not value:
                holder[key] = value
                found[name] = value


def carried(program: ExportedProgram, set_anew: Mapping[str, torch.Tensor]) -> dict[str, None]:
    """Of these attributes those that the program reads too; what is set before it is read carries nothing over."""
    read = [c for c in program.constants.values() if isinstance(c, torch.Tensor)]
    return {
        name: None
        for name, old in set_anew.items()
        if any(c.shape == old.shape and c.dtype == old.dtype and torch.equal(c, old) for c in read)
    }


@contextlib.contextmanager
def kept(module: torch.nn.Module, names: Collection[str]) -> Iterator[None]:
    """The module's tensors of these names have their values of before again after it."""
    saved = []
    for name in names:
        path, _, last = name.rpartition(".")
        with contextlib.suppress(AttributeError):
            owner = module.get_submodule(path)
            tensor = getattr(owner, last)
            holder = next(d for d in (owner._buffers, owner._parameters, vars(owner)) if last in d)
            saved.append((holder, last, tensor, tensor.clone()))
    try:
        yield
    finally:
        with torch.no_grad():
            for tensors, last, tensor, value in saved:
                tensor.copy_(value)
                tensors[last] = tensor
