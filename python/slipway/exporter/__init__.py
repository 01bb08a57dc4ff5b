"""PyTorch to ONNX: slipway.export, in the way of torch.onnx.export."""

from __future__ import annotations

import contextlib
import datetime
import difflib
import io
import json
import os
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

try:
    import torch
except ImportError as error:
    raise ImportError(
        "slipway.export needs PyTorch, which is not installed. A .pt2 archive made by torch.export.save can be "
        "converted without it: slipway export model.pt2 -o model.onnx"
    ) from error

from .. import _slipway, errors
from ..errors import ExportError, ExportWarning
from . import arguments as arguments_
from . import capture as capture_
from . import custom, handover, lean, lower, prepare, verify
from .axes import DynamicAxes
from .report import Axis, Comparison, Report, Run
from .translate import Translations

__all__ = ["Axis", "Comparison", "ExportError", "ExportWarning", "Report", "Run", "export"]

OLDEST_OPSET, NEWEST_OPSET = 7, 28

# Of torch.onnx.export: without effect here, and why
_ACCEPTED = {
    "dynamo": "",
    "external_data": "weights go to a file of their own when the model is too large for one, above 2 GB",
    "optimize": "",
    "report": "the report is what export returns",
    "profile": "",
    "dump_exported_program": "",
    "artifacts_dir": "",
    "fallback": "",
    "autograd_inlining": "",
    "operator_export_type": "",
    "export_modules_as_functions": "",
}


class _Progress:
    """A line that shows the stage, on a terminal only."""

    _STAGES = ("prepare", "capture", "convert", "write", "verify")

    def __init__(self, shown: bool) -> None:
        self._shown = shown and sys.stderr.isatty()

    def __call__(self, stage: str) -> None:
        if self._shown:
            done = self._STAGES.index(stage.split()[0])
            bar = "#" * (done * 4) + "-" * ((len(self._STAGES) - done) * 4)
            print(f"\r\x1b[Kexport [{bar}] {stage}", end="", file=sys.stderr, flush=True)

    def close(self) -> None:
        if self._shown:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def export(
    model: Any,
    args: Any = (),
    path: str | os.PathLike | io.IOBase | None = None,
    *,
    f: str | os.PathLike | io.IOBase | None = None,
    kwargs: Mapping[str, Any] | None = None,
    input_names: Sequence[str] | None = None,
    output_names: Sequence[str] | None = None,
    dynamic_axes: Mapping[str, Any] | None = None,
    dynamic_shapes: Any = None,
    opset_version: int | None = 17,
    do_constant_folding: bool = True,
    export_params: bool = True,
    keep_initializers_as_inputs: bool | None = None,
    training: Any = None,
    verbose: bool | None = None,
    custom_ops: Mapping[Any, Any] | None = None,
    custom_translation_table: Mapping[Any, Any] | None = None,
    custom_opsets: Mapping[str, int] | None = None,
    strict_axes: bool = False,
    verify: bool | str = True,
    rtol: float | None = None,
    atol: float | None = None,
    progress: bool = True,
    **others: Any,
) -> Report:
    """Exports a PyTorch model to ONNX, compares the result with PyTorch, and reports.

    model: an nn.Module, a function, or a torch.export.ExportedProgram.
    args, kwargs: an example of a call. A tensor, a tuple, nested containers; None and numbers stay what they are.
    path (or f): the file, a stream to write to, or None: the report then holds the bytes as `model`.
    input_names, output_names: names of the tensors among inputs and outputs, in the order of torch's pytrees.
    dynamic_axes: {name: {axis: "batch"}} or {name: [axis, ...]}: sizes that may vary; an example of batch 1 will do.
    dynamic_shapes: the same in torch.export's form; Dims may be strings.
    opset_version: 7 to 28.
    do_constant_folding: whether what depends on weights alone is computed now.
    export_params: False writes a file whose parameters and buffers are inputs, under their state_dict names.
    training: accepted; the eval form is exported.
    custom_translation_table (or custom_ops): {torch.ops.mylib.op.default: function over onnxscript's operators}.
    custom_opsets: versions of the domains that autograd Functions' symbolic methods use.
    strict_axes: whether an axis that cannot vary is an error; otherwise it is a warning, and the size is fixed.
    verify: True compares with PyTorch: results plainly wrong are an error, those outside the tolerance a warning; with
        "strict" these are an error too, with "warn" neither is; False does not compare.
    rtol, atol: a tolerance in place of the one of the model's types.
    progress: whether a terminal shows a progress bar.

    Raises slipway.errors.ExportError with what is wrong, where in the model's source, and what to do.
    """
    report = Report()
    show = _Progress(progress)
    job = _Job(report, show)
    start = time.perf_counter()
    try:
        target = _target(path, f)
        job.opset = report.opset_version = _check_opset(opset_version)
        _check_others(others, job.warn)
        _check_training(training)
        if keep_initializers_as_inputs:
            job.warn(
                "keep_initializers_as_inputs has no effect: weights are not inputs of the file, so that a runtime may "
                "fold and pack them."
            )
        if verify not in (True, False, "strict", "warn"):
            raise ExportError(f"verify must be True, False, 'strict' or 'warn', not {verify!r}.")
        translations = Translations({**(custom_ops or {}), **(custom_translation_table or {})}, job.opset)
        job.prepare(model, args, kwargs, input_names, output_names, dynamic_axes, dynamic_shapes)
        with prepare.eval_mode(job.module, job.warn), contextlib.ExitStack() as collector:
            collector.enter_context(lean.without_collections())
            job.capture()
            job.check_axes(strict_axes)
            with _place(target) as file:
                job.convert(file, translations, custom_opsets or {}, do_constant_folding and export_params)
                collector.close()
                report.seconds["total"] = time.perf_counter() - start
                if verify:
                    job.verify(file, verify, rtol, atol)
                if not export_params:
                    job.drop_weights(file)
                _deliver(target, file, report)
    except errors.Error as error:
        with contextlib.suppress(AttributeError):
            error.report = report  # type: ignore[attr-defined]
        if isinstance(error, ExportError):
            raise
        raised = ExportError(str(error))
        raised.report = report
        raise raised from error
    finally:
        show.close()
        report.seconds["total"] = time.perf_counter() - start
        for message in report.warnings:
            warnings.warn(message, ExportWarning, stacklevel=2)
    if verbose:
        print(report)
    return report


class _Job:
    """One export on its way."""

    def __init__(self, report: Report, progress: Callable[[str], None]) -> None:
        self.report = report
        self.progress = progress
        self.opset = 0
        self.calls: list[custom.Call] = []

    def warn(self, message: str) -> None:
        if message not in self.report.warnings:
            self.report.warnings.append(message)

    def prepare(
        self,
        model: Any,
        args: Any,
        kwargs: Mapping[str, Any] | None,
        input_names: Sequence[str] | None,
        output_names: Sequence[str] | None,
        dynamic_axes: Mapping[str, Any] | None,
        dynamic_shapes: Any,
    ) -> None:
        self.progress("prepare")
        with verify.timed(self.report, "prepare"):
            self.program = model if isinstance(model, torch.export.ExportedProgram) else None
            if self.program is not None:
                model, args, kwargs = _module_of(self.program, args, kwargs)
            self.module = prepare.as_module(model)
            self.name = type(self.module).__name__
            what = "the function" if isinstance(self.module, capture_.FunctionModule) else f"{self.name}.forward"
            self.arguments = arguments_.flatten(prepare.forward_of(self.module), args, kwargs, input_names, what)
            self.asked_outputs = list(output_names or ())
            self.axes = DynamicAxes(self.arguments)
            if dynamic_shapes is not None:
                if dynamic_axes:
                    self.warn("dynamic_axes and dynamic_shapes are both given: dynamic_shapes counts for inputs.")
                self.axes.read_dynamic_shapes(dynamic_shapes, self.arguments)
                inputs = [dict(a) for a in self.axes.inputs]
            if dynamic_axes:
                self.axes.read_dynamic_axes(dynamic_axes, self.arguments, self.asked_outputs)
            if dynamic_shapes is not None:
                self.axes.inputs = inputs
            for message in self.axes.split_unequal(self.arguments.tensors):
                self.warn(message)
            self.axes.check_keys(self.asked_outputs)
            prepare.check_devices(self.module, self.arguments, self.warn)
            self.report.parameters = sum(p.numel() for p in self.module.parameters())

    def capture(self) -> None:
        self.progress("capture")
        with verify.timed(self.report, "capture"):
            if self.program is not None:
                self.captured = capture_.of_program(self.program, self.module, self.arguments, self.axes)
            else:
                with custom.keep_functions() as self.calls:
                    self.captured = capture_.capture(self.module, self.arguments, self.axes)
        outputs = self.captured.outputs
        if outputs.dropped:
            self.warn(f"Not tensors, and left out of the outputs: {', '.join(outputs.dropped)}.")
        for name, line in self.captured.changed.items():
            where = f"\n  at {line}" if line else ""
            self.warn(
                f"forward changes '{name}' of the model, which a file cannot keep: each run starts from the value that "
                f"it has now.{where}\n  What to do, where the new value counts: take it as an input and return it."
            )
        self.output_names = arguments_.name_all(self.asked_outputs, outputs.default_names(), "output")
        both = sorted(set(self.output_names) & set(self.arguments.names))
        for name in both:
            if name in self.asked_outputs:
                raise ExportError(f"'{name}' is the name of an input and of an output; a file needs different ones.")
            taken = {*self.output_names, *self.arguments.names}
            self.output_names[self.output_names.index(name)] = next(
                c for c in (f"{name}_out", *(f"{name}_out_{i}" for i in range(1, 99))) if c not in taken
            )
        self.output_axes = self.axes.name_outputs(self.output_names, [t.dim() for t in outputs.tensors])

    def check_axes(self, strict: bool) -> None:
        """Reports what became of each axis, and the branches that the sizes took."""
        pinned = self.captured.pinned
        lines = []
        for place, names in enumerate(self.axes.inputs):
            tensor = self.arguments.tensors[place]
            for axis, name in names.items():
                fixed = (place, axis) in pinned
                size = tensor.shape[axis] if fixed else None
                line = pinned.get((place, axis))
                label = self.arguments.names[place]
                self.report.axes.append(Axis(label, axis, name, not fixed, size, line))
                if fixed:
                    where = f"\n  needed by {line}" if line else ""
                    lines.append(
                        f"Axis {axis} of '{label}' ('{name}') cannot be dynamic: the model works for the size {size} "
                        f"alone.{where}"
                    )
        if lines and strict:
            raise ExportError(
                "\n".join(lines) + "\nWhat to do: leave this axis out of dynamic_axes, or change the line so that it "
                "takes the size from the tensor (x.shape[i]) and not from a number."
            )
        for line in lines:
            self.warn(line + "\n  The file has the size fixed; strict_axes=True makes this an error.")
        if any((place, axis) in pinned for place, names in enumerate(self.axes.inputs) for axis in names):
            self._check_fixed_size()
        branches = self.captured.branches(self.axes)
        if branches:
            told = "".join(f"\n  {condition}, asked at {line}" for condition, line in branches[:5])
            more = f"\n  and {len(branches) - 5} more" if len(branches) > 5 else ""
            self.warn(f"Python code in the model branches on sizes; the file has the branch for:{told}{more}")

    def _check_fixed_size(self) -> None:
        """A pinned axis is written with the size of the capture, which must then be the example's."""
        for place, axis in self.captured.pinned:
            want = self.arguments.tensors[place].shape[axis]
            have = self.captured.input_shapes[place][axis]
            if have != want:
                name = self.axes.inputs[place][axis]
                fixed = dict(self.captured.sizes) | {name: want}
                with custom.keep_functions() as self.calls:
                    self.captured = capture_.once(self.module, self.arguments, self.axes, fixed)
                return

    def convert(self, file: str, translations: Translations, domains: Mapping[str, int], fold: bool) -> None:
        self.progress("convert")
        with verify.timed(self.report, "convert"):
            with capture_.quiet():
                self.captured.program = lower.lower(self.captured.program, translations.find)
                packed = handover.pack(self.captured.program)
            self.report.nodes_before = handover.nodes_of(packed.graph["graph_module"]["graph"])
            program = self.captured.program
            functions = custom.replace(program, packed, self.calls, translations, self.opset, domains)
            options = {
                "opset": self.opset,
                "input_names": self.arguments.names,
                "output_names": self.output_names,
                "input_axes": [
                    {str(a): n for a, n in names.items() if (place, a) not in self.captured.pinned}
                    for place, names in enumerate(self.axes.inputs)
                ],
                "output_axes": [{str(a): n for a, n in axes.items()} for axes in self.output_axes],
                "fold_constants": bool(fold),
                "metadata": self._metadata(fold),
            }
            graph = packed.json(self.captured.same_symbols(self.axes))

            def write(weights: bool) -> dict[str, Any]:
                asked = json.dumps({**options, "weights": weights})
                return json.loads(_slipway.convert_program(graph, packed.tensors, asked, functions, file))

            self._write = write
            told = write(True)
        stages = told.get("seconds", {})
        written = stages.get("write", 0.0)
        self.report.seconds["convert"] -= written
        self.report.seconds["write"] = written
        self.report.nodes_after = told.get("nodes_after", told.get("nodes", 0))
        self._tell_file(file, told)
        for message in told.get("warnings", []):
            self.warn(message)

    def drop_weights(self, file: str) -> None:
        """Writes the file again with its weights as inputs, which those who run it give."""
        self.progress("without weights")
        with contextlib.suppress(FileNotFoundError):
            os.remove(f"{file}.data")
        self._tell_file(file, self._write(False))

    def _tell_file(self, file: str, told: Mapping[str, Any]) -> None:
        self.report.inputs, self.report.outputs = told.get("inputs", []), told.get("outputs", [])
        self.report.file_bytes = sum(os.path.getsize(p) for p in (file, f"{file}.data") if os.path.exists(p))

    def _metadata(self, fold: bool) -> dict[str, str]:
        """What made the file."""
        from .. import __version__

        shapes = {n: list(t.shape) for n, t in zip(self.arguments.names, self.arguments.tensors, strict=True)}
        axes = {
            n: {str(a): x for a, x in names.items()} for n, names in zip(shapes, self.axes.inputs, strict=True) if names
        }
        call = {
            "model": f"{type(self.module).__module__}.{type(self.module).__qualname__}",
            "input_names": self.arguments.names,
            "output_names": self.output_names,
            "example": shapes,
            "dynamic_axes": axes,
            "opset_version": self.opset,
            "do_constant_folding": bool(fold),
        }
        return {
            "slipway.version": __version__,
            "slipway.torch_version": torch.__version__,
            "slipway.opset_version": str(self.opset),
            "slipway.arguments": json.dumps(call),
            "slipway.time": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        }

    def verify(self, file: str, mode: bool | str, rtol: float | None, atol: float | None) -> None:
        self.report.tolerance = verify.tolerance_of(self.captured, rtol, atol)
        with verify.timed(self.report, "verify"), capture_.quiet():
            wrong = verify.verify(
                file,
                self.module,
                self.arguments,
                self.axes,
                self.captured,
                self.report,
                self.output_names,
                self.progress,
                grows=atol is None,
            )
        if self.report.verified is False:
            if mode == "strict" or (wrong and mode != "warn"):
                raise ExportError(
                    f"The result is not what PyTorch gives: {wrong or self.report.verification}\n"
                    "What to do: verify='warn' writes the file all the same; rtol and atol set a tolerance."
                )
            self.warn(f"Not within the tolerance: {self.report.verification}")
        elif self.report.verified is None:
            self.warn(f"The result was {self.report.verification}.")


def _module_of(program: torch.export.ExportedProgram, args: Any, kwargs: Any) -> tuple[Any, Any, Any]:
    """A program as a module, with its own example where none is given."""
    if args == () and not kwargs:
        if program.example_inputs is None:
            raise ExportError("The ExportedProgram has no example inputs: give args.")
        args, kwargs = program.example_inputs
    return program.module(), args, kwargs


def _target(path: Any, f: Any) -> Any:
    if path is not None and f is not None:
        raise ExportError("path and f are both given; they are the same argument.")
    target = path if path is not None else f
    if target is None or hasattr(target, "write"):
        return target
    if not isinstance(target, (str, os.PathLike)):
        raise ExportError(f"path must be a path, a stream or None, not a {type(target).__name__}.")
    target = os.fspath(target)
    folder = os.path.dirname(target) or "."
    if not os.path.isdir(folder):
        raise ExportError(f"The folder '{folder}' does not exist.")
    if os.path.isdir(target):
        raise ExportError(f"'{target}' is a folder; give the name of a file in it.")
    return target


@contextlib.contextmanager
def _place(target: Any) -> Any:
    """The file to write to: the target itself, or one that is read back and removed."""
    if isinstance(target, str):
        yield target
        return
    with tempfile.TemporaryDirectory() as folder:
        yield os.path.join(folder, "model.onnx")


def _deliver(target: Any, file: str, report: Report) -> None:
    if isinstance(target, str):
        report.path = target
        return
    if os.path.exists(file + ".data"):
        raise ExportError("The model is too large for one file of ONNX (2 GB): give a path.")
    with open(file, "rb") as stream:
        data = stream.read()
    if target is None:
        report.model = data
    else:
        target.write(data)


def _check_opset(version: int | None) -> int:
    version = 17 if version is None else version
    if isinstance(version, bool) or not isinstance(version, int):
        raise ExportError(f"opset_version must be a number, not {version!r}.")
    if not OLDEST_OPSET <= version <= NEWEST_OPSET:
        raise ExportError(
            f"opset_version is {version}, but must be {OLDEST_OPSET} to {NEWEST_OPSET}. Leave it out for 17, "
            "which every runtime in use takes."
        )
    return version


def _check_training(training: Any) -> None:
    name = getattr(training, "name", str(training))
    if training is not None and name in ("TRAINING", "2"):
        raise ExportError(
            "training=TrainingMode.TRAINING asks for dropout and batch normalization as in training, which files for "
            "inference cannot hold. What to do: leave it out; the eval form is exported."
        )


def _check_others(others: Mapping[str, Any], warn: Callable[[str], None]) -> None:
    known = export.__kwdefaults__
    for name, value in others.items():
        if name not in _ACCEPTED:
            close = difflib.get_close_matches(name, [*known, *_ACCEPTED], n=1)
            hint = f" Did you mean '{close[0]}'?" if close else ""
            raise TypeError(f"export() got an unexpected argument '{name}'.{hint}")
        if _ACCEPTED[name] and value:
            warn(f"{name} has no effect: {_ACCEPTED[name]}.")
