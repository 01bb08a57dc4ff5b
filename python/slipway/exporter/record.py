"""Records ONNX nodes that Python functions ask for, as a model whose nodes the converter puts in their place."""

from __future__ import annotations

import numbers
import struct
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from ..errors import ExportError
from .handover import as_array

# TensorProto.DataType by the name of NumPy's or ml_dtypes' type
_TYPES = {
    "float32": 1, "uint8": 2, "int8": 3, "uint16": 4, "int16": 5, "int32": 6, "int64": 7, "bool": 9, "float16": 10,
    "float64": 11, "uint32": 12, "uint64": 13, "complex64": 14, "complex128": 15, "bfloat16": 16, "float8_e4m3fn": 17,
    "float8_e4m3fnuz": 18, "float8_e5m2": 19, "float8_e5m2fnuz": 20,
}  # fmt: skip


def onnx_type(dtype: torch.dtype) -> int:
    """ONNX's number of an element type."""
    return _TYPES[str(dtype).removeprefix("torch.")]


# ---- protobuf's wire format, as far as functions need it -----------------------------------------------


def _varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _int(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _bytes(field: int, value: bytes | str) -> bytes:
    data = value.encode() if isinstance(value, str) else value
    return _varint(field << 3 | 2) + _varint(len(data)) + data


def _float(field: int, value: float) -> bytes:
    return _varint(field << 3 | 5) + struct.pack("<f", value)


def tensor_proto(array: np.ndarray) -> bytes:
    array = np.asarray(array)
    kind = _TYPES.get(array.dtype.name)
    if kind is None:
        raise ExportError(f"a constant of the type {array.dtype} has no form in ONNX")
    dims = b"".join(_int(1, n) for n in array.shape)
    return dims + _int(2, kind) + _bytes(9, np.ascontiguousarray(array).tobytes())


def _as_constant(value: Any) -> np.ndarray:
    """A number, list or tensor as an array: int64, bool or float32 as Python's types say."""
    if isinstance(value, torch.Tensor):
        return as_array(value, "a constant")
    if isinstance(value, (np.ndarray, np.generic)):
        return np.asarray(value)
    array = np.asarray(value)
    if array.dtype == np.float64:
        return array.astype(np.float32)
    if array.size == 0 and not isinstance(value, np.ndarray):
        return array.astype(np.int64)
    return array


def attribute(name: str, value: Any, kind: str = "") -> bytes:
    """An AttributeProto. `kind` is torch's letter (i, f, s, t), "" to go by the value."""
    many = isinstance(value, (list, tuple, np.ndarray)) or (isinstance(value, torch.Tensor) and kind in ("i", "f"))
    if isinstance(value, (torch.Tensor, np.ndarray)) and kind in ("i", "f"):
        value = value.tolist()
        many = isinstance(value, list)
    values = list(value) if many and not (isinstance(value, np.ndarray) and kind in ("", "t")) else [value]
    many = many and not (isinstance(value, np.ndarray) and kind in ("", "t"))
    if not kind:
        first = values[0] if values else 0
        if all(isinstance(v, (bool, numbers.Integral, torch.dtype)) for v in values):
            kind = "i"
        elif all(isinstance(v, numbers.Real) for v in values):
            kind = "f"
        elif isinstance(first, (str, bytes)):
            kind = "s"
        elif isinstance(first, (torch.Tensor, np.ndarray, np.generic)):
            kind = "t"
        else:
            raise ExportError(f"the attribute '{name}' cannot be {value!r}")
    body = _bytes(1, name)
    try:
        if kind == "i":
            integers = [onnx_type(v) if isinstance(v, torch.dtype) else int(v) for v in values]
            return body + b"".join(_int(8 if many else 3, v) for v in integers) + _int(20, 7 if many else 2)
        if kind == "f":
            return body + b"".join(_float(7 if many else 2, float(v)) for v in values) + _int(20, 6 if many else 1)
        if kind == "s":
            return body + b"".join(_bytes(9 if many else 4, v) for v in values) + _int(20, 8 if many else 3)
        if kind == "t":
            tensors = [tensor_proto(_as_constant(v)) for v in values]
            return body + b"".join(_bytes(10 if many else 5, t) for t in tensors) + _int(20, 9 if many else 4)
    except (TypeError, ValueError, AttributeError) as error:
        raise ExportError(f"the attribute '{name}_{kind}' cannot be {value!r}: {error}") from None
    raise ExportError(f"the attribute '{name}_{kind}' has an ending that is none of _i, _f, _s, _t")


# ---- Values and the graph ------------------------------------------------------------------------------


class Value:
    """A tensor of the graph under record. Of inputs the type and shape are known."""

    def __init__(self, recorder: Recorder, name: str, tensor: torch.Tensor | None = None) -> None:
        self._recorder = recorder
        self.name = name
        self._tensor = tensor

    @property
    def dtype(self) -> torch.dtype | None:
        return None if self._tensor is None else self._tensor.dtype

    @property
    def shape(self) -> Any:
        return None if self._tensor is None else self._tensor.shape

    @property
    def rank(self) -> int | None:
        return None if self._tensor is None else self._tensor.dim()

    def type(self) -> Any:
        """As symbolic functions ask for it: scalarType(), sizes(), dim()."""
        return _Type(self._tensor)

    def node(self) -> Any:
        raise ExportError("node() of a value is not known while a symbolic function is recorded")

    def __bool__(self) -> bool:
        raise ExportError("a condition on a tensor's value cannot be recorded; use the operator If or Where instead")

    def __iter__(self) -> Any:
        raise ExportError("the number of outputs of a node is not known: give outputs=N to g.op")

    def _binary(self, op: str, other: Any, swap: bool = False) -> Value:
        pair = [self, self._recorder.like(other, self)]
        return self._recorder.node("", op, pair[::-1] if swap else pair, {})

    def __add__(self, other: Any) -> Value:
        return self._binary("Add", other)

    def __radd__(self, other: Any) -> Value:
        return self._binary("Add", other, swap=True)

    def __sub__(self, other: Any) -> Value:
        return self._binary("Sub", other)

    def __rsub__(self, other: Any) -> Value:
        return self._binary("Sub", other, swap=True)

    def __mul__(self, other: Any) -> Value:
        return self._binary("Mul", other)

    def __rmul__(self, other: Any) -> Value:
        return self._binary("Mul", other, swap=True)

    def __truediv__(self, other: Any) -> Value:
        return self._binary("Div", other)

    def __rtruediv__(self, other: Any) -> Value:
        return self._binary("Div", other, swap=True)

    def __pow__(self, other: Any) -> Value:
        return self._binary("Pow", other)

    def __mod__(self, other: Any) -> Value:
        return self._binary("Mod", other)

    def __matmul__(self, other: Any) -> Value:
        return self._binary("MatMul", other)

    def __lt__(self, other: Any) -> Value:
        return self._binary("Less", other)

    def __le__(self, other: Any) -> Value:
        return self._binary("LessOrEqual", other)

    def __gt__(self, other: Any) -> Value:
        return self._binary("Greater", other)

    def __ge__(self, other: Any) -> Value:
        return self._binary("GreaterOrEqual", other)

    def __and__(self, other: Any) -> Value:
        return self._binary("And", other)

    def __or__(self, other: Any) -> Value:
        return self._binary("Or", other)

    def __neg__(self) -> Value:
        return self._recorder.node("", "Neg", [self], {})


_SCALAR_TYPES = {
    "float32": "Float", "float64": "Double", "float16": "Half", "bfloat16": "BFloat16", "int64": "Long",
    "int32": "Int", "int16": "Short", "int8": "Char", "uint8": "Byte", "bool": "Bool",
}  # fmt: skip


class _Type:
    def __init__(self, tensor: torch.Tensor | None) -> None:
        self._tensor = tensor

    def isSubtypeOf(self, other: Any) -> bool:
        return isinstance(other, torch._C.TensorType)

    def scalarType(self) -> str | None:
        return None if self._tensor is None else _SCALAR_TYPES.get(str(self._tensor.dtype).removeprefix("torch."))

    def dtype(self) -> torch.dtype | None:
        return None if self._tensor is None else self._tensor.dtype

    def dim(self) -> int | None:
        return None if self._tensor is None else self._tensor.dim()

    def sizes(self) -> list[int | None] | None:
        return None if self._tensor is None else [n if isinstance(n, int) else None for n in self._tensor.shape]

    varyingSizes = sizes


class Recorder:
    """The `g` of symbolic functions, and what onnxscript's operators are recorded with."""

    def __init__(self, opset: int, domains: Mapping[str, int]) -> None:
        self.opset = opset
        self._asked = dict(domains)
        self._domains: dict[str, int] = {}
        self._nodes: list[bytes] = []
        self._inputs: list[tuple[str, torch.Tensor | None]] = []
        self._count = 0

    def input(self, tensor: torch.Tensor | None) -> Value:
        name = f"in_{len(self._inputs)}"
        self._inputs.append((name, tensor))
        return Value(self, name, tensor)

    def _fresh(self) -> str:
        self._count += 1
        return f"v_{self._count}"

    def constant(self, value: Any, dtype: torch.dtype | None = None) -> Value:
        """A number, list, array or tensor as a value."""
        if isinstance(value, Value):
            return value
        array = _as_constant(value)
        if array.dtype.kind in "OUS":
            raise ExportError(f"{value!r} can be no tensor of an ONNX graph")
        tensor = torch.from_numpy(array.copy()) if array.dtype.name in _TYPES and array.dtype.kind != "V" else None
        if dtype is not None and tensor is not None:
            tensor = tensor.to(dtype)
            array = as_array(tensor)
        made = self._emit("", "Constant", [], [attribute("value", array, "t")], 1)[0]
        made._tensor = tensor
        return made

    def like(self, value: Any, other: Value) -> Value:
        """A Python number as a constant of another value's type."""
        if isinstance(value, Value):
            return value
        if isinstance(value, (torch.Tensor, np.ndarray, np.generic)) or other.dtype is not None:
            plain = isinstance(value, (torch.Tensor, np.ndarray, np.generic))
            return self.constant(value, None if plain else other.dtype)
        self.use_opset("", 15)  # CastLike came with it
        return self.node("", "CastLike", [self.constant(value), other], {})

    def _emit(
        self, domain: str, name: str, inputs: Sequence[str], attributes: Iterable[bytes], count: int
    ) -> list[Value]:
        domain = "" if domain in ("onnx", "ai.onnx") else domain
        self._domains.setdefault(domain, self.opset if domain == "" else self._asked.get(domain, 1))
        outputs = [Value(self, self._fresh()) for _ in range(count)]
        self._nodes.append(
            b"".join(_bytes(1, i) for i in inputs)
            + b"".join(_bytes(2, o.name) for o in outputs)
            + _bytes(4, name)
            + b"".join(_bytes(5, a) for a in attributes)
            + (_bytes(7, domain) if domain else b"")
        )
        return outputs

    def node(
        self, domain: str, name: str, inputs: Sequence[Any], attributes: Mapping[str, Any], outputs: int = 1
    ) -> Any:
        """Adds a node; gives its value, or a tuple of them."""
        names = ["" if i is None else self.constant(i).name for i in inputs]
        made = self._emit(
            domain, name, names, [attribute(k, v) for k, v in attributes.items() if v is not None], outputs
        )
        return made[0] if outputs == 1 else tuple(made)

    def op(self, name: str, *inputs: Any, outputs: int = 1, **attributes: Any) -> Any:
        """torch.onnx's g.op: "Op" or "domain::Op"; attributes end in _i, _f, _s or _t for their type."""
        domain, _, op = name.rpartition("::")
        packed = []
        for key, value in sorted(attributes.items()):
            stem, mark, kind = key.rpartition("_")
            if not mark or len(kind) != 1:
                raise ExportError(f"g.op(\"{name}\"): the attribute '{key}' must end in _i, _f, _s or _t for its type")
            if value is not None:
                packed.append(attribute(stem, value, kind))
        names = ["" if _is_none(i) else self.constant(i).name for i in inputs]
        made = self._emit(domain, op, names, packed, outputs)
        return made[0] if outputs == 1 else tuple(made)

    def at(self, name: str, *unused: Any, **also_unused: Any) -> Any:
        raise ExportError(f'g.at("{name}") asks for an operator of ATen, which an ONNX file cannot hold; use g.op')

    def onnxscript_op(self, function: Any, *inputs: Any, **attributes: Any) -> Any:
        from .translate import evaluate_with

        stripped = {k.rpartition("_")[0]: v for k, v in attributes.items()}
        return evaluate_with(self, function, [i if _is_none(i) else self.constant(i) for i in inputs], stripped)

    def use_opset(self, domain: str, version: int) -> None:
        """Says which version of a domain the nodes are written for; of several the newest."""
        self._domains[domain] = max(version, self._domains.get(domain, 0))

    def model(self, name: str, outputs: Sequence[Value]) -> bytes:
        """The ModelProto of all that was recorded."""
        results = [self._emit("", "Identity", [o.name], [], 1)[0].name for o in outputs]
        graph = (
            b"".join(_bytes(1, n) for n in self._nodes)
            + _bytes(2, name)
            + b"".join(_bytes(11, _value_info(n, t)) for n, t in self._inputs)
            + b"".join(_bytes(12, _bytes(1, o)) for o in results)
        )
        opsets = {"": self.opset} | self._domains
        return (
            _int(1, 8)
            + _bytes(7, graph)
            + b"".join(_bytes(8, (_bytes(1, d) if d else b"") + _int(2, v)) for d, v in opsets.items())
        )


def _value_info(name: str, tensor: torch.Tensor | None) -> bytes:
    """A ValueInfoProto; sizes that are not numbers are left open."""
    if tensor is None:
        return _bytes(1, name)
    dims = b"".join(_bytes(1, _int(1, n) if isinstance(n, int) else b"") for n in tensor.shape)
    kind = _int(1, onnx_type(tensor.dtype)) + _bytes(2, dims)
    return _bytes(1, name) + _bytes(2, _bytes(1, kind))


def _is_none(value: Any) -> bool:
    return value is None


def as_outputs(recorder: Recorder, result: Any, what: str) -> list[Value]:
    """What a recorded function gave, as values."""
    values = list(result) if isinstance(result, (tuple, list)) else [result]
    if not values or any(v is None or isinstance(v, str) for v in values):
        raise ExportError(f"{what} must return the values of its outputs, but returned {result!r}")
    return [recorder.constant(v) for v in values]
