"""InferenceSession and its options, with onnxruntime's names and behaviour."""

from __future__ import annotations

import enum
import os
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from . import _slipway
from ._slipway import ModelMetadata, NodeArg, Packing, RunOptions
from .errors import InvalidArgument


class GraphOptimizationLevel(enum.IntEnum):
    """How far a graph is rewritten before it runs."""

    ORT_DISABLE_ALL = 0
    ORT_ENABLE_BASIC = 1
    ORT_ENABLE_EXTENDED = 2
    ORT_ENABLE_LAYOUT = 3
    ORT_ENABLE_ALL = 99


class ExecutionMode(enum.IntEnum):
    """Accepted for compatibility: Slipway's runs share one pool of threads either way."""

    ORT_SEQUENTIAL = 0
    ORT_PARALLEL = 1


_PROVIDERS = ("CPUExecutionProvider",)


def get_available_providers() -> list[str]:
    """The providers that this build can run on, best first."""
    return list(_PROVIDERS)


def get_all_providers() -> list[str]:
    """The providers that Slipway knows."""
    return list(_PROVIDERS)


def get_device() -> str:
    """The kind of device that sessions run on: "CPU"."""
    return "CPU"


class SessionOptions:
    """How a session is made.

    intra_op_num_threads: threads that one run may use; 0 for one a core.
    inter_op_num_threads, execution_mode: accepted; a run's operators follow one another, each on all its threads.
    graph_optimization_level: see GraphOptimizationLevel.
    pack_at_load: pack all weights before the first run. Without it the large ones of a file are packed when they are
        used for the second time: a session is there sooner, and its second run takes longer. A model that
        `slipway compile` wrote has them packed.
    """

    def __init__(self) -> None:
        self.intra_op_num_threads = 0
        self.inter_op_num_threads = 0
        self.execution_mode = ExecutionMode.ORT_SEQUENTIAL
        self.graph_optimization_level = GraphOptimizationLevel.ORT_ENABLE_ALL
        self.pack_at_load = False
        self.log_severity_level = 2
        self.logid = ""
        self._config: dict[str, str] = {}

    def add_session_config_entry(self, key: str, value: str) -> None:
        """Sets a configuration entry; keys that Slipway acts on: session.intra_op.allow_spinning."""
        self._config[str(key)] = str(value)

    def get_session_config_entry(self, key: str) -> str:
        """The entry's value; KeyError where it was not set."""
        return self._config[key]

    def _native(self, disabled: Sequence[str]) -> _slipway.NativeSessionOptions:
        native = _slipway.NativeSessionOptions()
        if not isinstance(self.intra_op_num_threads, int) or self.intra_op_num_threads < 0:
            raise InvalidArgument(f"intra_op_num_threads is {self.intra_op_num_threads!r}, but must be 0 or more.")
        native.intra_op_threads = self.intra_op_num_threads
        native.optimization_level = min(int(GraphOptimizationLevel(self.graph_optimization_level)), 3)
        native.spin = self._config.get("session.intra_op.allow_spinning", "1") != "0"
        native.pack_at_load = bool(self.pack_at_load)
        native.disabled_passes = list(disabled)
        return native


def _resolve_providers(providers: Sequence[Any] | None) -> list[str]:
    names = [p if isinstance(p, str) else p[0] for p in providers or _PROVIDERS]
    missing = [n for n in names if n not in _PROVIDERS]
    if missing:
        warnings.warn(
            f"Not available here: {', '.join(missing)}. The session runs on {', '.join(_PROVIDERS)}.",
            UserWarning,
            stacklevel=4,
        )
    return list(_PROVIDERS)


def compile_model(path: str | os.PathLike, out: str | os.PathLike, sess_options: SessionOptions | None = None) -> None:
    """Writes a model in the form in which it loads in milliseconds: optimized, its weights packed for this CPU.

    `out` is loaded like any model, by this version of Slipway on CPUs of this kind; processes that load it share the
    memory of its weights. Raises a subclass of slipway.Error.
    """
    options = sess_options or SessionOptions()
    _slipway.compile_model(os.fspath(path), os.fspath(out), options._native(()))


class InferenceSession:
    """A model, loaded, optimized and ready; safe to use from many threads at once."""

    def __init__(
        self,
        path_or_bytes: str | bytes | os.PathLike,
        sess_options: SessionOptions | None = None,
        providers: Sequence[Any] | None = None,
        provider_options: Sequence[dict] | None = None,
        **kwargs: Any,
    ) -> None:
        """Loads a model from a path or from the file's bytes.

        Raises a subclass of slipway.Error whose message names the model, the node or value, and what to do.
        """
        options = sess_options or SessionOptions()
        native = options._native(kwargs.pop("disabled_optimizers", None) or ())
        if kwargs:
            raise TypeError(f"InferenceSession() got unexpected arguments: {', '.join(kwargs)}")
        self._providers = _resolve_providers(providers)
        self._options = options
        if isinstance(path_or_bytes, (bytes, bytearray, memoryview)):
            self._native = _slipway.NativeSession.load_bytes(bytes(path_or_bytes), native)
        elif isinstance(path_or_bytes, (str, os.PathLike)):
            self._native = _slipway.NativeSession.load(os.fspath(path_or_bytes), native)
        else:
            raise TypeError(f"a model is a path or bytes, not {type(path_or_bytes).__name__}")
        self._run = self._native.run

    def run(
        self,
        output_names: Sequence[str] | None,
        input_feed: Mapping[str, Any],
        run_options: RunOptions | None = None,
    ) -> list[Any]:
        """Runs the model on arrays by input name; gives the outputs named, or all for None, as NumPy arrays."""
        return self._run(output_names or None, input_feed, run_options)

    def run_many(
        self,
        output_names: Sequence[str] | None,
        input_feeds: Sequence[Mapping[str, Any]],
        run_options: RunOptions | None = None,
    ) -> list[list[Any]]:
        """Runs several requests, each a mapping as `run` takes it; gives for each what `run` would give it alone.

        Requests need not be of one size, and should not be padded: where `packing` says that the model allows it, their
        tokens go through its products together, and what looks across tokens, as attention does, sees one request at
        a time. An error says which request it is about, counted from 0.
        """
        return self._native.run_many(output_names or None, input_feeds, run_options)

    @property
    def packing(self) -> Packing:
        """Whether `run_many` runs requests of different sizes together, and if not why; found out when first asked."""
        return self._native.packing

    def get_inputs(self) -> list[NodeArg]:
        """The inputs that a run must be given, in the file's order."""
        return self._native.inputs

    def get_outputs(self) -> list[NodeArg]:
        """The outputs, in the file's order."""
        return self._native.outputs

    def get_overridable_initializers(self) -> list[NodeArg]:
        """Initializers that a run may be given other values for."""
        return self._native.overridable_initializers

    def get_modelmeta(self) -> ModelMetadata:
        """What the file says about itself."""
        return self._native.info

    def get_providers(self) -> list[str]:
        """The providers that the session runs on."""
        return list(self._providers)

    def get_session_options(self) -> SessionOptions:
        """The options that the session was made with."""
        return self._options
