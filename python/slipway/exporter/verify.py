"""The file against PyTorch, on the example and on other sizes along the dynamic axes."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch.export import ExportedProgram

from .. import errors
from ..session import InferenceSession
from . import state
from .arguments import Arguments, flatten_outputs
from .axes import DynamicAxes, Sizes, grow
from .capture import Captured
from .handover import as_array
from .report import Comparison, Report, Run

# rtol, atol
_TOLERANCES = {
    "float32": (1e-3, 1e-5),
    "float16": (1e-3, 1e-2),
    "bfloat16": (1e-2, 1e-1),
    "int8": (1e-1, 1e-2),
}
_GROSS = 0.05  # an error of this share of the largest value is no rounding


def tolerance_of(captured: Captured, rtol: float | None, atol: float | None) -> dict[str, Any]:
    """The tolerance for the coarsest arithmetic in the program."""
    kinds, quantized = set(), False
    for node in captured.program.graph.nodes:
        value = node.meta.get("val")
        for v in value if isinstance(value, (tuple, list)) else (value,):
            if isinstance(v, torch.Tensor):
                kinds.add(v.dtype)
        quantized = quantized or "quantize" in str(node.target) or "_int_mm" in str(node.target)
    kind = "float32"
    if quantized:
        kind = "int8"
    elif torch.bfloat16 in kinds or any("float8" in str(k) for k in kinds):
        kind = "bfloat16"
    elif torch.float16 in kinds:
        kind = "float16"
    relative, absolute = _TOLERANCES[kind]
    return {
        "type": kind,
        "rtol": relative if rtol is None else float(rtol),
        "atol": absolute if atol is None else float(atol),
    }


def shape_sets(captured: Captured, axes: DynamicAxes, tensors: Sequence[torch.Tensor]) -> list[Sizes]:
    """Sizes to compare at: the example's, those of the capture, and some in between and beyond."""
    example = axes.sizes(tensors)
    free = {axes.inputs[p][a] for p, names in enumerate(axes.inputs) for a in names if (p, a) not in captured.pinned}
    if not free:
        return [example]
    by_name: dict[str, str] = {}
    for place, names in enumerate(axes.inputs):
        for axis, name in names.items():
            by_name.setdefault(name, str(captured.input_shapes[place][axis]))
    symbols = {e for e in by_name.values() if e.isidentifier()}

    def evaluate(values: Mapping[str, int]) -> Sizes | None:
        found = {}
        for name, expression in by_name.items():
            try:
                found[name] = int(eval(expression, {"__builtins__": {}}, dict(values)))
            except Exception:
                return None
        return found if all(n >= 0 for n in found.values()) else None

    now = {e: captured.sizes[n] for n, e in by_name.items() if e in symbols}
    start = {e: example[n] for n, e in by_name.items() if e in symbols}
    wanted = [
        example,
        captured.sizes,
        evaluate({e: max(1, s - (s & -s if s > 1 else 0)) for e, s in start.items()}),
        evaluate({e: s + (s & -s if s > 1 else 1) * 2 for e, s in start.items()}),
        evaluate({e: s + i % 2 + 1 for i, (e, s) in enumerate(now.items())}),
    ]
    sets: list[Sizes] = []
    for sizes in wanted:
        if sizes is not None and sizes not in sets:
            sets.append(sizes)
    return sets[:4]


def _vary(tensor: torch.Tensor, example: torch.Tensor) -> torch.Tensor:
    """A tensor grown from the example, its fractions a little apart: equal ones may come out of a sort in any order."""
    if tensor.shape == example.shape or not tensor.is_floating_point() or tensor.numel() == 0:
        return tensor
    if bool((tensor == tensor.round()).all()):
        return tensor
    noise = torch.rand(tensor.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float32)
    return tensor * (1 + noise.to(tensor) / 64)


def _to_array(tensor: torch.Tensor) -> np.ndarray:
    return as_array(tensor.resolve_conj())


_FILL = 1e6  # what masks are filled with lies beyond, and says nothing of the size of the rest


def _size_of(values: np.ndarray) -> float:
    """How large values are that stand beside one another: their root mean square, at least 1."""
    usual = values[values < _FILL]
    return max(1.0, float(np.sqrt(np.mean(usual**2)))) if usual.size else 1.0


def compare(
    name: str, got: Any, want: np.ndarray, rtol: float, atol: float, grows: bool = True
) -> tuple[Comparison, bool]:
    """How an output differs, and whether that is beyond anything that rounding does.

    grows: atol is meant for values about 1 and smaller; what is the sum of larger ones is rounded as those are.
    """
    got = np.asarray(got)
    found = Comparison(name, list(want.shape), str(want.dtype), 0.0, 0.0, 0, True)
    if got.shape != want.shape:
        found.ok, found.message = False, f"the shape is {list(got.shape)}, PyTorch's is {list(want.shape)}"
        return found, True
    if got.dtype != want.dtype:
        found.ok, found.message = False, f"the type is {got.dtype}, PyTorch's is {want.dtype}"
        return found, True
    if not want.size:
        return found, False
    wide = np.complex128 if want.dtype.kind == "c" else np.float64
    if want.dtype.kind in "biu":
        outside = got != want
        error = np.abs(got.astype(np.float64) - want.astype(np.float64))
        scale = np.abs(want.astype(np.float64)).max()
    else:
        a, b = got.astype(wide), want.astype(wide)
        with np.errstate(all="ignore"):
            same = (a == b) | (np.isnan(a) & np.isnan(b))
            error = np.where(same, 0.0, np.abs(a - b))
            finite = np.abs(b[np.isfinite(b)])
            atol *= _size_of(finite) if grows else 1.0
            scale = finite.max() if finite.size else 0.0
            outside = ~(same | (error <= atol + rtol * np.abs(b)))
    found.max_abs_error = float(np.max(error))
    found.max_rel_error = float(found.max_abs_error / scale) if scale else float(found.max_abs_error)
    found.outside = int(np.count_nonzero(outside))
    found.ok = found.outside == 0
    gross = False
    if not found.ok:
        first = tuple(int(i) for i in np.argwhere(outside)[0])
        found.message = (
            f"{found.outside} of {want.size} elements are outside rtol {rtol:g}, atol {atol:g}; "
            f"the first, {list(first)}, is {got[first]}, PyTorch's {want[first]}"
        )
        share = found.outside / want.size
        if want.dtype.kind in "biu":
            gross = share > 0.1
        else:
            gross = not np.isfinite(found.max_abs_error) or (
                found.max_abs_error > _GROSS * scale + atol and share > 0.01
            )
    return found, gross


def _call(
    module: torch.nn.Module, arguments: Arguments, tensors: Sequence[torch.Tensor], captured: Captured
) -> list[np.ndarray]:
    args, kwargs = arguments.call_with([t.clone() for t in tensors])
    with state.kept(module, captured.changed):
        results = flatten_outputs(module(*args, **kwargs), set(captured.outputs.paths)).tensors
        return [_to_array(t.clone() if captured.changed else t) for t in results]


_DRAWS = re.compile(
    r"aten::(rand|randn|randint|randperm|bernoulli|normal|multinomial|uniform|exponential|cauchy|geometric|log_normal"
    r"|poisson|random)(_like|_functional)?_?$"
)


def _draws(program: ExportedProgram) -> bool:
    """Whether the graph has random numbers: twice the same result may be chance."""
    modules = [m for m in program.graph_module.modules() if isinstance(m, torch.fx.GraphModule)]
    names = (getattr(n.target, "_schema", None) for m in modules for n in m.graph.nodes if n.op == "call_function")
    return any(schema is not None and _DRAWS.match(schema.name) for schema in names)


def verify(
    model: str | bytes,
    module: torch.nn.Module,
    arguments: Arguments,
    axes: DynamicAxes,
    captured: Captured,
    report: Report,
    output_names: Sequence[str],
    progress: Callable[[str], None],
    grows: bool,
) -> str:
    """Compares at several sizes and fills the report; returns what is plainly wrong, "" where nothing is.

    grows: see compare.
    """
    try:
        session = InferenceSession(model)
    except errors.NotImplemented as error:
        report.verification = f"not compared: Slipway cannot run it ({_first(error)})"
        return ""
    except errors.Error as error:
        report.verified, report.verification = False, f"the file does not load: {_first(error)}"
        return report.verification
    present = {i.name for i in session.get_inputs()}
    rtol, atol = report.tolerance["rtol"], report.tolerance["atol"]
    wrong = ""
    example = axes.sizes(arguments.tensors)
    for number, sizes in enumerate(shape_sets(captured, axes, arguments.tensors)):
        progress(f"verify {number + 1}")
        shapes = axes.shapes(arguments.tensors, sizes)
        tensors = [_vary(grow(t, s).clone(), t) for t, s in zip(arguments.tensors, shapes, strict=True)]
        run = Run({n: list(t.shape) for n, t in zip(arguments.names, tensors, strict=True)})
        report.runs.append(run)
        try:
            wanted = _call(module, arguments, tensors, captured)
        except Exception as error:
            run.skipped = f"PyTorch itself refuses these sizes: {_first(error)}"
            continue
        if number == 0:
            again = _call(module, arguments, tensors, captured)
            same = all(np.array_equal(a, b, equal_nan=a.dtype.kind in "fc") for a, b in zip(wanted, again, strict=True))
            if not same or _draws(captured.program):
                run.skipped = "PyTorch's own results differ from call to call"
                report.verification = "not compared: the model is random"
                report.warnings.append("PyTorch gives other results on the same input each time: nothing was compared.")
                return ""
        feeds = {n: _to_array(t) for n, t in zip(arguments.names, tensors, strict=True) if n in present}
        try:
            got = session.run(list(output_names), feeds)
        except errors.NotImplemented as error:
            report.verification = f"not compared: Slipway cannot run it ({_first(error)})"
            return ""
        except errors.Error as error:
            message = f"the file refuses it: {_first(error)}"
            run.outputs.append(Comparison("", [], "", float("inf"), float("inf"), 0, False, message))
            wrong = wrong or f"on {run.inputs} {message}"
            continue
        for name, a, b in zip(output_names, got, wanted, strict=True):
            found, gross = compare(name, a, b, rtol, atol, grows)
            run.outputs.append(found)
            if gross and not wrong:
                wrong = f"output '{name}' on {run.inputs}: {found.message}"
    compared = [r for r in report.runs if not r.skipped]
    if not compared:
        report.verification = "not compared: PyTorch refused every set of sizes"
        return ""
    report.verified = all(r.ok for r in compared)
    failed = next((c for r in compared for c in r.outputs if not c.ok), None)
    report.verification = (
        f"{len(compared)} set{'s' if len(compared) > 1 else ''} of shapes agree with PyTorch within "
        f"rtol {rtol:g}, atol {atol:g} ({report.tolerance['type']}); largest error {report.max_error:.1e}"
        if failed is None
        else f"output '{failed.output}' differs from PyTorch: {failed.message}"
    )
    del example
    return wrong


def _first(error: BaseException) -> str:
    lines = [ln.strip() for ln in str(error).splitlines() if ln.strip()]
    return lines[0][:300] if lines else type(error).__name__


def timed(report: Report, stage: str) -> Any:
    """A context that adds its time to the report under a stage's name."""

    class Timer:
        def __enter__(self) -> None:
            self.start = time.perf_counter()

        def __exit__(self, *unused: object) -> None:
            report.seconds[stage] = report.seconds.get(stage, 0.0) + time.perf_counter() - self.start

    return Timer()
