"""What Slipway raises. Every class derives from Error; the names are onnxruntime's where it has one."""


class Error(RuntimeError):
    """Something went wrong; the message says what, where and what to do."""


class Fail(Error):
    """An error of no other class."""


class InvalidArgument(Error, ValueError):
    """An input or option has a name, type, shape or value that does not fit."""


class InvalidProtobuf(Error):
    """The file cannot be read, or is not a model."""


class InvalidGraph(Error):
    """The file is readable, but the model in it breaks the specification."""


class NotImplemented(Error, NotImplementedError):
    """The model is valid, but holds what this build does not run."""


class RuntimeException(Error):
    """Data met in a run made a step impossible."""


class OutOfMemory(Error, MemoryError):
    """An allocation failed."""


class Cancelled(Error):
    """The run was stopped by its RunOptions.terminate."""


class ExportError(Error):
    """A PyTorch model cannot be exported as asked; the message says why, where in its source, and what to do."""

    report = None
    """The slipway.exporter.Report of the export that was under way, where one had been begun."""


class ExportWarning(UserWarning):
    """Something that the user of slipway.export should know; the report holds it too."""
