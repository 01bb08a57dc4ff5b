"""Custom operators: autograd Functions with a `symbolic` method, and translations of torch.library operators."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch.export import ExportedProgram
from torch.utils import _pytree as pytree

from .. import errors
from ..errors import ExportError
from . import source
from .handover import Program
from .record import Recorder, Value, as_outputs
from .translate import Translations, evaluate_with

_NAMESPACE = "slipway_export"


@dataclasses.dataclass
class Call:
    """One use of an autograd Function in the model."""

    function: type[torch.autograd.Function]
    args: tuple
    line: str | None
    single: bool = True

    def run(self, tensors: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """Its forward on tensors in place of the original ones."""
        leaves, spec = pytree.tree_flatten(self.args)
        given = iter(tensors)
        args = pytree.tree_unflatten([next(given) if isinstance(v, torch.Tensor) else v for v in leaves], spec)
        result = _apply(self.function, *args)
        self.single = isinstance(result, torch.Tensor)
        outputs = [result] if self.single else list(result)
        if not all(isinstance(o, torch.Tensor) for o in outputs):
            raise ExportError(f"{self.function.__name__}.forward gives something else than tensors\n  at {self.line}")
        return [torch.empty_like(o) if any(o is t for t in tensors) else o for o in outputs]


class _State(threading.local):
    calls: list[Call] | None = None
    inside = False


_state = _State()
_apply: Callable = torch.autograd.Function.apply.__func__  # type: ignore[attr-defined]


def _run(call: int, inputs: list[torch.Tensor]) -> list[torch.Tensor]:
    assert _state.calls is not None
    _state.inside = True
    try:
        return _state.calls[call].run(inputs)
    finally:
        _state.inside = False


@functools.cache
def _library() -> torch.library.Library:
    """The operator that stands for a Function in a graph; made with the first, as this takes a while."""
    library = torch.library.Library(_NAMESPACE, "DEF")
    library.define("function(int call, Tensor[] inputs) -> Tensor[]")
    library.impl("function", _run, "CompositeExplicitAutograd")
    torch.library.register_fake(f"{_NAMESPACE}::function", _run, lib=library)
    return library


def _recording_apply(cls: type, *args: Any) -> Any:
    import sys

    if _state.calls is None or _state.inside or not hasattr(cls, "symbolic"):
        return _apply(cls, *args)
    tensors = [v for v in pytree.tree_leaves(args) if isinstance(v, torch.Tensor)]
    call = Call(cls, args, source.of_frame(sys._getframe(1)))
    _state.calls.append(call)
    _library()
    outputs = torch.ops.slipway_export.function(len(_state.calls) - 1, tensors)
    return outputs[0] if call.single else tuple(outputs)


@contextlib.contextmanager
def keep_functions() -> Iterator[list[Call]]:
    """While a model is captured, autograd Functions with a symbolic method stay whole; gives the list of their uses."""
    calls: list[Call] = []
    own = torch.autograd.Function.__dict__.get("apply")
    _state.calls = calls
    torch.autograd.Function.apply = classmethod(_recording_apply)  # type: ignore[assignment]
    try:
        yield calls
    finally:
        _state.calls = None
        if own is None:
            del torch.autograd.Function.apply
        else:
            torch.autograd.Function.apply = own  # type: ignore[assignment]


def _symbolic(call: Call, values: list[torch.Tensor], opset: int, domains: Mapping[str, int]) -> bytes:
    """The nodes that a Function's symbolic method builds."""
    name = call.function.__name__
    recorder = Recorder(opset, domains)
    inputs = [recorder.input(v) for v in values]
    leaves, spec = pytree.tree_flatten(call.args)
    given = iter(inputs)
    args = pytree.tree_unflatten([next(given) if isinstance(v, torch.Tensor) else v for v in leaves], spec)
    where = f"\n  used at {call.line}" if call.line else ""
    try:
        with _export_opset(opset):
            result = call.function.symbolic(recorder, *args)
        outputs = as_outputs(recorder, result, f"{name}.symbolic")
    except errors.Error as error:
        raise ExportError(f"{name}.symbolic: {error}{where}") from error
    except Exception as error:
        line = source.of_error(error, __file__)
        raise ExportError(
            f"{name}.symbolic fails: {type(error).__name__}: {error}\n  at {line}{where}\n"
            f"It is called as symbolic(g, *args) with the arguments that {name}.apply got."
        ) from error
    return recorder.model(name, outputs)


@contextlib.contextmanager
def _export_opset(opset: int) -> Iterator[None]:
    """Tells torch.onnx's helpers, which symbolic methods call, the opset."""
    try:
        from torch.onnx._globals import GLOBALS
    except ImportError:
        yield
        return
    before = GLOBALS._export_onnx_opset_version
    GLOBALS._export_onnx_opset_version = opset
    try:
        yield
    finally:
        GLOBALS._export_onnx_opset_version = before


def _graphs(graph: Mapping[str, Any], module: torch.fx.GraphModule) -> Iterator[tuple[dict, torch.fx.Node]]:
    """Pairs of a node as it is serialized and as PyTorch has it, in graphs inside others as well."""
    by_name = {}
    for node in module.graph.nodes:
        by_name[node.name] = node
    for node in graph["nodes"]:
        original = by_name.get(node.get("name") or "")
        if original is not None:
            yield node, original
        for argument in node["inputs"]:
            inner = argument["arg"].get("as_graph")
            if inner and isinstance(getattr(module, inner["name"], None), torch.fx.GraphModule):
                yield from _graphs(inner["graph"], getattr(module, inner["name"]))


def _flat_inputs(node: Mapping[str, Any]) -> list[dict]:
    """The tensors, and symbolic numbers, among a serialized node's arguments."""
    found = []
    for argument in node["inputs"]:
        ((kind, value),) = argument["arg"].items()
        if kind == "as_tensors":
            found += [{"name": "", "arg": {"as_tensor": v}, "kind": 1} for v in value]
        elif kind == "as_optional_tensors":
            found += [{"name": "", "arg": v, "kind": 1} for v in value if "as_tensor" in v]
        elif kind == "as_tensor" or (kind in ("as_sym_int", "as_sym_float", "as_sym_bool") and "as_name" in value):
            found.append({"name": "", "arg": argument["arg"], "kind": 1})
        elif kind == "as_sym_ints":
            found += [{"name": "", "arg": {"as_sym_int": v}, "kind": 1} for v in value if "as_name" in v]
        elif kind == "as_optional_tensor" and "as_tensor" in value:
            found.append({"name": "", "arg": value, "kind": 1})
    return found


def _flat_outputs(node: Mapping[str, Any]) -> list[dict]:
    found = []
    for output in node["outputs"]:
        ((kind, value),) = output.items()
        found += [{"as_tensor": v} for v in value] if kind == "as_tensors" else [output]
    return found


def _unwrap(value: Any) -> Any:
    return value.meta.get("val") if isinstance(value, torch.fx.Node) else value


def replace(
    program: ExportedProgram,
    packed: Program,
    calls: Sequence[Call],
    translations: Translations,
    opset: int,
    domains: Mapping[str, int],
) -> dict[str, bytes]:
    """Gives each use of a custom operator a target of its own in the packed graph; returns its graph by target."""
    found: dict[str, bytes] = {}
    for node, original in _graphs(packed.graph["graph_module"]["graph"], program.graph_module):
        if original.op != "call_function":
            continue
        if getattr(original.target, "namespace", "") == _NAMESPACE:
            call = calls[original.args[0]]
            values = [_unwrap(v) for v in original.args[1]]
            proto = _symbolic(call, values, opset, domains)
            name = call.function.__name__
        else:
            functions = translations.find(original.target)
            if not functions:
                continue
            proto = _translate(functions, original, opset, domains)
            name = str(original.target)
        target = f"slipway_export.{name}.{len(found)}"
        node["target"] = f"torch.ops.{target}"
        node["inputs"] = _flat_inputs(node)
        node["outputs"] = _flat_outputs(node)
        found[target] = proto
    return found


def _translate(functions: Sequence[Callable], node: torch.fx.Node, opset: int, domains: Mapping[str, int]) -> bytes:
    """The nodes that the first of these functions that takes the call builds for it."""
    failure: ExportError | None = None
    for function in functions:
        recorder = Recorder(opset, domains)

        def value_of(v: Any, recorder: Recorder = recorder) -> Any:
            if isinstance(v, torch.fx.Node):
                found = v.meta.get("val")
                if isinstance(found, (tuple, list)):
                    return [recorder.input(t) for t in found]
                return recorder.input(found if isinstance(found, torch.Tensor) else None)
            return v

        args = pytree.tree_map(value_of, list(node.args), is_leaf=lambda v: isinstance(v, torch.fx.Node))
        kwargs = pytree.tree_map(value_of, dict(node.kwargs), is_leaf=lambda v: isinstance(v, torch.fx.Node))
        name = getattr(function, "__name__", type(function).__name__)
        what = f"the translation '{name}' of {node.target}"
        try:
            with _export_opset(opset):
                result = evaluate_with(recorder, function, args, kwargs)
            return recorder.model(name, as_outputs(recorder, result, what))
        except errors.Error as error:
            failure = ExportError(f"{what}: {error}")
        except Exception as error:
            line = source.of_error(error, __file__)
            failure = ExportError(f"{what} fails: {type(error).__name__}: {error}" + (f"\n  at {line}" if line else ""))
    assert failure is not None
    raise failure


__all__ = ["Call", "Value", "keep_functions", "replace"]
