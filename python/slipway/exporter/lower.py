"""Operators that the converter does not know, taken apart by PyTorch's own decompositions."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind, InputSpec, TensorArgument

from .. import _slipway

_ROUNDS = 4  # a decomposition may give operators that are to be taken apart in turn


def _is_complex(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.is_complex()


def _lacking(program: ExportedProgram, translated: Callable[[Any], Any]) -> Iterator[torch._ops.OpOverload]:
    for module in program.graph_module.modules():
        for node in module.graph.nodes if isinstance(module, torch.fx.GraphModule) else ():
            if node.op != "call_function" or not isinstance(node.target, torch._ops.OpOverload):
                continue
            name = str(node.target)
            if node.target.namespace == "slipway_export":
                continue
            values = torch.utils._pytree.tree_leaves([n.meta.get("val") for n in (node, *node.all_input_nodes)])
            if not any(isinstance(v, torch.Tensor) for v in values) or translated(node.target):
                continue
            full = f"complex.{name}" if any(map(_is_complex, values)) else name
            base, _, overload = full.rpartition(".")
            pure = f"{base.removesuffix('_')}.{overload}"
            if not _slipway.converts(full) and not _slipway.converts(pure):
                yield node.target


def _of_weights(program: ExportedProgram) -> dict[torch.fx.Node, Any]:
    """Nodes that follow from weights alone, once, with what they are made of."""
    signature = program.graph_signature
    values: dict[torch.fx.Node, Any] = {}
    tensors = {**program.constants, **dict(program.named_buffers()), **program.state_dict}
    targets = {s.arg.name: s.target for s in signature.input_specs if s.target is not None and hasattr(s.arg, "name")}
    for node in program.graph.nodes:
        if node.op == "placeholder" and isinstance(tensors.get(targets.get(node.name)), torch.Tensor):
            values[node] = tensors[targets[node.name]]
        elif node.op == "call_function" and all(n in values for n in node.all_input_nodes):
            pure = isinstance(node.target, torch._ops.OpOverload) and not node.target._schema.is_mutable
            drawn = torch.Tag.nondeterministic_seeded in getattr(node.target, "tags", ())
            if (pure and not drawn and node.all_input_nodes) or node.target is operator.getitem:
                values[node] = None
    return values


def _fold_weights(program: ExportedProgram, translated: Callable[[Any], Any]) -> ExportedProgram:
    """The program with what operators without a conversion make of weights alone as a constant."""
    lacking = set(_lacking(program, translated))
    values = _of_weights(program) if lacking else {}

    def value_of(node: torch.fx.Node) -> Any:
        if values[node] is None:
            args, kwargs = torch.fx.node.map_arg((node.args, node.kwargs), value_of)
            values[node] = node.target(*args, **kwargs)
        return values[node]

    graph, count = program.graph, 0
    first = next(iter(graph.nodes))
    for node in list(graph.nodes):
        if node not in values or node.target not in lacking:
            continue
        users = list(node.users) if isinstance(node.meta.get("val"), (tuple, list)) else [node]
        for user in users:  # of several results those that are taken out
            value = value_of(user)
            if not isinstance(value, torch.Tensor):
                continue
            name = f"_folded_{count}"
            count += 1
            with graph.inserting_before(first):
                constant = graph.placeholder(name)
            constant.meta["val"] = user.meta["val"]
            user.replace_all_uses_with(constant)
            values[constant] = value
            program.constants[name] = value.detach()
            spec = InputSpec(InputKind.CONSTANT_TENSOR, TensorArgument(constant.name), name)
            program.graph_signature.input_specs.insert(count - 1, spec)
    if count:
        graph.eliminate_dead_code()
    return program


def lower(program: ExportedProgram, translated: Callable[[Any], Any]) -> ExportedProgram:
    """The program with operators taken apart that have no conversion, where PyTorch knows how.

    translated: whether the user gives a translation of an operator.
    """
    known = None
    with torch.no_grad():
        program = _fold_weights(program, translated)
    for _ in range(_ROUNDS):
        lacking = set(_lacking(program, translated))
        if not lacking:
            break
        known = known or torch.export.default_decompositions()
        table = {op: known[op] for op in lacking if op in known}
        table |= torch._decomp.get_decompositions([op for op in lacking if op not in table])
        if not table:
            break
        try:
            program = program.run_decompositions(table)
        except Exception:
            break  # the converter names the operator and its line
    return program
