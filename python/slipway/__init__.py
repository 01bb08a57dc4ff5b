"""Slipway runs ONNX models.

The names are onnxruntime's, so that a program moves over by changing its import:

    import slipway as ort
    session = ort.InferenceSession("model.onnx")
    outputs = session.run(None, {"x": array})

PyTorch models become ONNX models with slipway.export, in the way of torch.onnx.export.
"""

from typing import TYPE_CHECKING, Any

from ._slipway import ModelMetadata, NodeArg, Packing, RunOptions
from .convert import convert_opset
from .errors import Error
from .session import (
    ExecutionMode,
    GraphOptimizationLevel,
    InferenceSession,
    SessionOptions,
    compile_model,
    get_all_providers,
    get_available_providers,
    get_device,
)

if TYPE_CHECKING:
    from .exporter import export

__version__ = "0.1.0"
__all__ = [
    "Error",
    "ExecutionMode",
    "GraphOptimizationLevel",
    "InferenceSession",
    "ModelMetadata",
    "NodeArg",
    "Packing",
    "RunOptions",
    "SessionOptions",
    "compile_model",
    "convert_opset",
    "export",
    "get_all_providers",
    "get_available_providers",
    "get_device",
]


def __getattr__(name: str) -> Any:
    """export comes with PyTorch, which is imported when it is first asked for."""
    if name == "export":
        from .exporter import export

        globals()["export"] = export
        return export
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
