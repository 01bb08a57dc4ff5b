"""Makes models smaller and faster by working on 8-bit integers. The names are onnxruntime's."""

import enum
import os
from collections.abc import Sequence
from typing import Any

from ._slipway import DynamicQuantization
from ._slipway import quantize_dynamic as _quantize_dynamic

__all__ = ["QuantType", "quantize_dynamic"]


class QuantType(enum.Enum):
    """The element type that weights are quantized to."""

    QInt8 = 0
    QUInt8 = 1

    def __str__(self) -> str:
        return self.name

    @staticmethod
    def from_string(name: str) -> "QuantType":
        try:
            return QuantType[name]
        except KeyError:
            raise ValueError(f"there is no QuantType '{name}', only {', '.join(QuantType.__members__)}") from None


# What onnxruntime takes in extra_options, and the field of DynamicQuantization that it sets.
_EXTRA_OPTIONS = {
    "WeightSymmetric": "symmetric",
    "MatMulConstBOnly": "constant_b_only",
    "EnableSubgraph": "subgraphs",
}


def quantize_dynamic(
    model_input: Any,
    model_output: str | os.PathLike,
    op_types_to_quantize: Sequence[str] | None = None,
    per_channel: bool = False,
    reduce_range: bool = False,
    weight_type: QuantType = QuantType.QInt8,
    nodes_to_quantize: Sequence[str] | None = None,
    nodes_to_exclude: Sequence[str] | None = None,
    use_external_data_format: bool = False,
    extra_options: dict[str, Any] | None = None,
) -> None:
    """Writes the model with weights of 8 bits; activations are quantized in each run.

    MatMul and Gemm become MatMulInteger, Conv becomes ConvInteger, each after DynamicQuantizeLinear; the table that a
    Gather reads is kept in 8 bits. The result is standard ONNX. `model_input` is a path or an onnx.ModelProto.
    `nodes_to_quantize` and `nodes_to_exclude` are names of nodes. Of `extra_options`, WeightSymmetric (by default True
    for QInt8), MatMulConstBOnly and EnableSubgraph count; what onnxruntime has for static quantization alone does not.
    """
    if not isinstance(weight_type, QuantType):
        raise ValueError(f"weight_type is {weight_type!r}, but must be a QuantType")
    options = DynamicQuantization()
    options.signed_weights = weight_type is QuantType.QInt8
    options.symmetric = options.signed_weights
    options.per_channel = per_channel
    options.reduce_range = reduce_range
    options.op_types = list(op_types_to_quantize or [])
    options.nodes = list(nodes_to_quantize or [])
    options.exclude_nodes = list(nodes_to_exclude or [])
    for name, value in (extra_options or {}).items():
        if name in _EXTRA_OPTIONS:
            setattr(options, _EXTRA_OPTIONS[name], bool(value))
    source = model_input.SerializeToString() if hasattr(model_input, "SerializeToString") else os.fspath(model_input)
    _quantize_dynamic(source, os.fspath(model_output), options, use_external_data_format)
