from collections.abc import Sequence
from typing import Any

class NodeArg:
    """An input or output of a model."""

    @property
    def name(self) -> str: ...
    @property
    def type(self) -> str:
        """As onnxruntime spells it: 'tensor(float)'."""
    @property
    def shape(self) -> list[int | str | None]:
        """A size, the name of an axis that varies, or None for one without a name."""

class ModelMetadata:
    """What a model's file says about itself."""

    @property
    def producer_name(self) -> str: ...
    @property
    def producer_version(self) -> str: ...
    @property
    def domain(self) -> str: ...
    @property
    def description(self) -> str: ...
    @property
    def graph_name(self) -> str: ...
    @property
    def graph_description(self) -> str: ...
    @property
    def version(self) -> int: ...
    @property
    def ir_version(self) -> int: ...
    @property
    def opsets(self) -> dict[str, int]:
        """Opset versions by domain, as the file has them."""
    @property
    def custom_metadata_map(self) -> dict[str, str]: ...

class Packing:
    """How InferenceSession.run_many runs requests of different sizes together."""

    @property
    def packed(self) -> bool:
        """True where tokens of all requests go through the products together; else requests run in turn."""
    @property
    def reason(self) -> str:
        """Why requests run in turn, with the node's name; '' where they do not."""
    @property
    def apart(self) -> list[tuple[str, str]]:
        """What reads tokens and yet runs request by request: (node, why) pairs."""

class RunOptions:
    """How one run is done; pass it to InferenceSession.run."""

    terminate: bool
    """Set to True from any thread to stop the run, which then raises slipway.errors.Cancelled."""

class NativeSessionOptions:
    intra_op_threads: int
    spin: bool
    pack_at_load: bool
    optimization_level: int
    disabled_passes: list[str]

def compile_model(path: str, out: str, options: NativeSessionOptions) -> None: ...

class NativeSession:
    @staticmethod
    def load(path: str, options: NativeSessionOptions) -> NativeSession: ...
    @staticmethod
    def load_bytes(model: bytes, options: NativeSessionOptions) -> NativeSession: ...
    @property
    def inputs(self) -> list[NodeArg]: ...
    @property
    def outputs(self) -> list[NodeArg]: ...
    @property
    def overridable_initializers(self) -> list[NodeArg]: ...
    @property
    def info(self) -> ModelMetadata: ...
    def describe(self) -> str: ...
    def arena_bytes(self, feed: dict[str, Any]) -> int: ...
    def run(
        self,
        names: Sequence[str] | None,
        feed: dict[str, Any],
        options: RunOptions | None = None,
        profile: list | None = None,
    ) -> list[Any]: ...
    def run_many(
        self,
        names: Sequence[str] | None,
        feeds: Sequence[dict[str, Any]],
        options: RunOptions | None = None,
        profile: list | None = None,
    ) -> list[list[Any]]: ...
    @property
    def packing(self) -> Packing: ...

def convert_file(model: str, path: str, opset: int) -> None: ...
def convert_file_to_bytes(model: str, opset: int) -> bytes: ...
def convert_bytes(model: bytes, opset: int) -> bytes: ...

class DynamicQuantization:
    def __init__(self) -> None: ...
    signed_weights: bool
    symmetric: bool
    per_channel: bool
    reduce_range: bool
    constant_b_only: bool
    subgraphs: bool
    op_types: list[str]
    nodes: list[str]
    exclude_nodes: list[str]

def quantize_dynamic(input: str | bytes, output: str, options: DynamicQuantization, external_data: bool) -> int: ...
def convert_program(
    json: bytes, tensors: dict[str, Any], options_json: str, translations: dict[str, bytes], path: str
) -> str:
    """Converts a program of torch.export (its JSON, and its weights by name) and writes it as an .onnx file.

    The options are JSON: input_names, output_names, input_axes and output_axes (a list of {axis: name}),
    fold_constants, metadata, opset. Returns a report as JSON.
    """

def converts(target: str) -> bool:
    """Whether an operator of torch ("aten.add.Tensor") has a conversion."""
