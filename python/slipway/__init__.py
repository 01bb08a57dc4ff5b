"""Slipway runs ONNX models.

The names are onnxruntime's, so that a program moves over by changing its import:

    import slipway as ort
    session = ort.InferenceSession("model.onnx")
    outputs = session.run(None, {"x": array})
"""

from ._slipway import ModelMetadata, NodeArg, RunOptions
from .convert import convert_opset
from .errors import Error
from .session import (
    ExecutionMode,
    GraphOptimizationLevel,
    InferenceSession,
    SessionOptions,
    get_all_providers,
    get_available_providers,
    get_device,
)

__version__ = "0.1.0"
__all__ = [
    "Error",
    "ExecutionMode",
    "GraphOptimizationLevel",
    "InferenceSession",
    "ModelMetadata",
    "NodeArg",
    "RunOptions",
    "SessionOptions",
    "convert_opset",
    "get_all_providers",
    "get_available_providers",
    "get_device",
]
