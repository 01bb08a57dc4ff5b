"""Models at other opsets."""

from __future__ import annotations

import os

from . import _slipway

NEWEST_OPSET = 28


def convert_opset(
    model: str | bytes | os.PathLike[str],
    path: str | os.PathLike[str] | None = None,
    *,
    opset: int = NEWEST_OPSET,
) -> bytes | None:
    """Writes a model at another opset of ai.onnx, newer or older.

    `model` is a path or a file's bytes. With `path` the result goes there, and weights of 2 GB or more into
    `<path>.data` beside it; without, it is returned as bytes. What the opset lacks is written in operators that it
    has; raises slipway.errors.NotImplemented, naming the node, where there is no way to.
    """
    if isinstance(model, bytes):
        data = _slipway.convert_bytes(model, opset)
        if path is None:
            return data
        with open(path, "wb") as file:
            file.write(data)
    elif path is None:
        return _slipway.convert_file_to_bytes(os.fspath(model), opset)
    else:
        _slipway.convert_file(os.fspath(model), os.fspath(path), opset)
    return None
