"""custom_translation_table in torch's form: operators of PyTorch to Python functions over onnxscript's operators."""

from __future__ import annotations

import difflib
import inspect
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from ..errors import ExportError
from .record import Recorder, Value, onnx_type


class Translations:
    """Functions by the operator that they stand for; those registered with torch.onnx come after."""

    def __init__(self, table: Mapping[Any, Any] | None, opset: int) -> None:
        self._by_operator: dict[Any, list[Callable]] = {}
        self._opset = opset
        if table is not None and not isinstance(table, Mapping):
            raise ExportError(
                "custom_translation_table must be a dict from operators to functions, such as "
                f"{{torch.ops.mylib.op.default: translation}}, not a {type(table).__name__}."
            )
        for key, value in (table or {}).items():
            functions = list(value) if isinstance(value, (list, tuple)) else [value]
            if not functions or not all(callable(f) for f in functions):
                raise ExportError(
                    f"custom_translation_table: the translation of {key} must be a function, not {value!r}."
                )
            for overload in _overloads(key):
                self._by_operator[overload] = functions

    def find(self, target: Any) -> list[Callable]:
        found = self._by_operator.get(target)
        return found if found is not None else self._registered(target)

    def _registered(self, target: Any) -> list[Callable]:
        """A symbolic function that the user registered with torch.onnx.register_custom_op_symbolic."""
        if not isinstance(target, torch._ops.OpOverload) or target.namespace in ("aten", "prims", "prim"):
            return []
        try:
            from torch.onnx._internal.torchscript_exporter.registration import registry
        except ImportError:
            return []
        group = registry.get_function_group(f"{target.namespace}::{target._schema.name.rpartition('::')[2]}")
        function = group.get(self._opset) if group is not None else None
        return [] if function is None else [_Symbolic(function)]


class _Symbolic:
    """A symbolic function of torch.onnx's older exporter: called with g first."""

    def __init__(self, function: Callable) -> None:
        self.function = function
        self.__name__ = getattr(function, "__name__", "symbolic")


def _overloads(key: Any) -> list[Any]:
    """The operator overloads that a key stands for."""
    if isinstance(key, torch._ops.OpOverload):
        return [key]
    if isinstance(key, torch._ops.OpOverloadPacket):
        return [getattr(key, name) for name in key.overloads()]
    if isinstance(getattr(key, "_opoverload", None), torch._ops.OpOverload):
        return [key._opoverload]
    if isinstance(key, str):
        namespace, _, rest = key.replace("::", ".").removeprefix("torch.ops.").partition(".")
        name, _, overload = rest.partition(".")
        packet = getattr(getattr(torch.ops, namespace), name, None)
        if packet is None:
            known = [n for n in dir(getattr(torch.ops, namespace)) if not n.startswith("_")]
            close = difflib.get_close_matches(name, known, n=1)
            hint = f" Did you mean '{namespace}::{close[0]}'?" if close else ""
            raise ExportError(f"custom_translation_table names '{key}', which is no operator of PyTorch.{hint}")
        return [getattr(packet, overload)] if overload else [getattr(packet, n) for n in packet.overloads()]
    if callable(key) and (getattr(key, "__module__", "") in ("_operator", "math", "torch") or key is operator.getitem):
        return [key]
    raise ExportError(f"custom_translation_table: {key!r} is no operator; torch.ops.mylib.op.default is meant.")


def _plain(value: Any) -> Any:
    if isinstance(value, torch.dtype):
        return onnx_type(value)
    if isinstance(value, (torch.SymInt, torch.SymFloat, torch.SymBool)):
        raise ExportError("an argument is a size that is not known; such are not given to translations yet")
    return value


def _fit(function: Callable, args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[list, dict]:
    """The call without what the function has no parameter for and the operator's default says nothing with."""
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):
        return list(args), dict(kwargs)
    if not any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        kwargs = {k: v for k, v in kwargs.items() if k in parameters or v is not None}
    return list(args), dict(kwargs)


def evaluate_with(recorder: Recorder, function: Callable, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """Calls a function over onnxscript's operators, or a symbolic one, with the recorder in their place."""
    args = [_plain(a) for a in args]
    kwargs = {k: _plain(v) for k, v in kwargs.items()}
    if isinstance(function, _Symbolic):
        return function.function(recorder, *args, **kwargs)
    body = _body(function)
    args, kwargs = _fit(body, args, kwargs)
    try:
        from onnxscript import evaluator
    except ImportError:
        return body(*args, **kwargs)
    with evaluator.default_as(_Evaluator(recorder)):
        return body(*args, **kwargs)


def _body(function: Callable) -> Callable:
    """The Python function inside one that onnxscript has compiled or traced."""
    for name in ("function", "func"):
        inner = getattr(function, name, None)
        if inspect.isfunction(inner):
            return inner
    return function


class _Evaluator:
    """onnxscript calls this for each operator that a function uses."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    def eval_op(self, op: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        schema = op.op_schema
        domain, name, version = op.opset.domain, op.name, op.opset.version
        self._recorder.use_opset(domain, version)
        if schema is None:
            return self._recorder.node(domain, name, args, kwargs)
        return self._node(domain, name, schema, args, kwargs)

    def eval(self, schema: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """The same, as onnxscript before 0.6 calls it."""
        self._recorder.use_opset(schema.domain, schema.since_version)
        return self._node(schema.domain, schema.name, schema, args, kwargs)

    def _node(self, domain: str, name: str, schema: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        inputs = list(args)
        attributes = {}
        places = {i.name: n for n, i in enumerate(schema.inputs)}
        for key, value in kwargs.items():
            if key in places and key not in schema.attributes:
                inputs += [None] * (places[key] + 1 - len(inputs))
                inputs[places[key]] = value
            else:
                attributes[key] = value
        counts = attributes.pop("_outputs", None)
        count = int(counts) if counts is not None else self._outputs(schema, inputs, attributes)
        kinds = [
            schema.inputs[min(i, len(schema.inputs) - 1)].type_str if schema.inputs else "" for i in range(len(inputs))
        ]
        like = {k: v for k, v in zip(kinds, inputs, strict=True) if isinstance(v, Value)}
        values = [
            v if v is None or k not in like else self._recorder.like(v, like[k])
            for k, v in zip(kinds, inputs, strict=True)
        ]
        attributes = {k: v for k, v in attributes.items() if v is not None}
        for key, value in attributes.items():
            declared = schema.attributes.get(key)
            if declared is not None and str(declared.type).endswith("FLOAT") and isinstance(value, int):
                attributes[key] = float(value)
            elif declared is not None and str(declared.type).endswith("FLOATS"):
                attributes[key] = [float(v) for v in value]
        return self._recorder.node(domain, name, values, attributes, count)

    @staticmethod
    def _outputs(schema: Any, inputs: Sequence[Any], attributes: Mapping[str, Any]) -> int:
        if schema.name == "Split" and "num_outputs" in attributes and attributes["num_outputs"]:
            return int(attributes["num_outputs"])
        if schema.name == "Split" and len(inputs) > 1 and isinstance(inputs[1], (list, tuple)):
            return len(inputs[1])
        if schema.name in ("BatchNormalization", "Dropout", "MaxPool", "LayerNormalization"):
            return 1
        if not schema.outputs or (str(schema.outputs[-1].option).endswith("Variadic") and len(schema.outputs) == 1):
            return 1
        return len(schema.outputs)

    def eval_function(self, function: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        body = _body(function)
        if body is function:
            raise ExportError(f"the onnxscript function {function} has no Python body that could be recorded")
        return body(*args, **kwargs)
