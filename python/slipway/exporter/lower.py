"""Operators that the converter does not know, taken apart by PyTorch's own decompositions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch.export import ExportedProgram

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


def lower(program: ExportedProgram, translated: Callable[[Any], Any]) -> ExportedProgram:
    """The program with operators taken apart that have no conversion, where PyTorch knows how.

    translated: whether the user gives a translation of an operator.
    """
    known = None
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
