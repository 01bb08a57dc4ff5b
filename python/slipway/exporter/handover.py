"""An ExportedProgram in the form that the C++ converter reads, without a file in between."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch._export.serde import schema, serialize
from torch.export import ExportedProgram

from ..errors import ExportError
from . import lean

_BY_BITS = {1: torch.uint8, 2: torch.int16}


@dataclasses.dataclass
class Program:
    """What src/pt2 takes: the graph as torch.export.save writes it, and tensors by their names in the signature."""

    graph: dict[str, Any]
    tensors: dict[str, np.ndarray]

    def json(self, same_symbols: Mapping[str, str]) -> bytes:
        """The graph's text, with the first symbols named in same_symbols as the second."""
        text = json.dumps(self.graph, cls=serialize.EnumEncoder, allow_nan=False)
        for symbol, other in same_symbols.items():
            text = text.replace(f"Symbol('{symbol}'", f"Symbol('{other}'")
        return text.encode()


def as_array(tensor: torch.Tensor, name: str = "a tensor") -> np.ndarray:
    """The tensor's memory as an array; copied only where it lies elsewhere or is not contiguous."""
    if tensor.layout is not torch.strided or tensor.is_quantized or type(tensor).__module__.startswith("torchao"):
        kind = "quantized" if tensor.is_quantized else str(tensor.layout).removeprefix("torch.")
        raise ExportError(f"'{name}' is a {kind} tensor, which ONNX has no form for. Make it dense before the export.")
    tensor = tensor.detach().resolve_conj().resolve_neg().cpu().contiguous()
    try:
        return tensor.numpy()
    except TypeError:
        import ml_dtypes

        kind = getattr(ml_dtypes, str(tensor.dtype).removeprefix("torch."), None)
        if kind is None or tensor.element_size() not in _BY_BITS:
            raise ExportError(f"'{name}' has the type {tensor.dtype}, which ONNX does not have.") from None
        return tensor.view(_BY_BITS[tensor.element_size()]).numpy().view(kind)


class _Arrays:
    """Arrays of tensors; the same memory gives the same array, so that tied weights are one."""

    def __init__(self) -> None:
        self._made: dict[tuple, np.ndarray] = {}

    def __call__(self, tensor: torch.Tensor, name: str) -> np.ndarray:
        if tensor.layout is not torch.strided or not tensor.numel():
            return as_array(tensor, name)
        key = (tensor.data_ptr(), tensor.dtype, tensor.shape, tensor.stride(), tensor.device)
        if key not in self._made:
            self._made[key] = as_array(tensor, name)
        return self._made[key]


def _tensors(program: ExportedProgram) -> dict[str, np.ndarray]:
    arrays = _Arrays()
    found: dict[str, np.ndarray] = {}
    for spec in program.graph_signature.input_specs:
        name = spec.target
        if name is None or name in found:
            continue
        value = program.state_dict.get(name, program.constants.get(name))
        if isinstance(value, torch.Tensor):
            found[name] = arrays(value, name)
    return found


_fields: dict[type, tuple[str, ...]] = {}


def _plain(value: Any) -> Any:
    """A schema's object as dicts and lists, as torch.export.save writes it."""
    kind = type(value)
    if kind in (str, int, bool, type(None)):
        return value
    if kind is list:
        return [_plain(v) for v in value]
    if kind is dict:
        return {k: _plain(v) for k, v in value.items()}
    if kind is float:
        return value if math.isfinite(value) else "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"
    names = _fields.get(kind)
    if names is None:
        plain = dataclasses.is_dataclass(kind) and not hasattr(kind, "create")  # of the others one field is set
        names = _fields[kind] = tuple(f.name for f in dataclasses.fields(kind)) if plain else ()
    if names:
        return {name: _plain(getattr(value, name)) for name in names}
    if isinstance(value, serialize._Union):
        tag = str(value.type)
        return {tag: _plain(getattr(value, tag))}
    return serialize._dataclass_to_dict(value)


def pack(program: ExportedProgram) -> Program:
    """Reads the program out of PyTorch."""
    writer = serialize.GraphModuleSerializer(program.graph_signature, program.module_call_graph)
    with lean.serialization():
        graph_module = writer.serialize(program.graph_module)
    written = schema.ExportedProgram(
        graph_module=graph_module,
        opset_version={"aten": torch._C._get_max_operator_version()},
        range_constraints=serialize.serialize_range_constraints(program.range_constraints),
        schema_version=schema.SchemaVersion(*schema.SCHEMA_VERSION),
        verifiers=[v.dialect for v in program.verifiers],
        torch_version=torch.__version__,
        guards_code=list(getattr(program, "_guards_code", None) or []),
    )
    return Program(_plain(written), _tensors(program))


def nodes_of(graph: Mapping[str, Any]) -> int:
    """Nodes of the graph and of the graphs in it."""
    total = 0
    for node in graph["nodes"]:
        total += 1
        for argument in node["inputs"]:
            inner = argument["arg"].get("as_graph")
            if inner:
                total += nodes_of(inner["graph"])
    return total
