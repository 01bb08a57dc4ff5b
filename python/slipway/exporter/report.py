"""What an export did, for people, programs and pipelines."""

from __future__ import annotations

import dataclasses
import json
import os
from typing import Any

from ..errors import ExportError


@dataclasses.dataclass
class Axis:
    """A dynamic axis that was asked for, or that came of one."""

    tensor: str
    axis: int
    name: str
    dynamic: bool
    size: int | None = None  # of one that the model pins
    line: str | None = None  # of the user's source that pins it


@dataclasses.dataclass
class Comparison:
    """One output on one set of input shapes against PyTorch's."""

    output: str
    shape: list[int]
    type: str
    max_abs_error: float
    max_rel_error: float  # relative to the largest value
    outside: int  # elements outside the tolerance
    ok: bool
    message: str = ""


@dataclasses.dataclass
class Run:
    """A run of PyTorch and Slipway on inputs of certain shapes."""

    inputs: dict[str, list[int]]
    outputs: list[Comparison] = dataclasses.field(default_factory=list)
    skipped: str = ""  # why PyTorch itself did not give a result

    @property
    def ok(self) -> bool:
        return all(c.ok for c in self.outputs)


@dataclasses.dataclass
class Report:
    """The result of slipway.export. print() it, read its attributes, or save it as JSON.

    path: the file, None where the model was asked for as bytes (`model`) or written to a stream.
    seconds: by stage: prepare, capture, convert, write, verify, and their sum, total.
    nodes_before, nodes_after: of PyTorch's graph and of ONNX's.
    verified: True, False, or None where nothing was compared (`verification` says why).
    """

    path: str | None = None
    opset_version: int = 0
    model: bytes | None = dataclasses.field(default=None, repr=False)
    seconds: dict[str, float] = dataclasses.field(default_factory=dict)
    nodes_before: int = 0
    nodes_after: int = 0
    parameters: int = 0
    file_bytes: int = 0
    inputs: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    outputs: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    axes: list[Axis] = dataclasses.field(default_factory=list)
    verified: bool | None = None
    verification: str = "not asked for"
    tolerance: dict[str, float] = dataclasses.field(default_factory=dict)
    runs: list[Run] = dataclasses.field(default_factory=list)
    warnings: list[str] = dataclasses.field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether the file agrees with PyTorch; False where nothing was compared."""
        return self.verified is True

    @property
    def max_error(self) -> float:
        """The largest error relative to the largest value, over all outputs and shapes."""
        return max((c.max_rel_error for r in self.runs for c in r.outputs), default=0.0)

    def check(self) -> Report:
        """Returns the report, or raises ExportError where the file does not agree with PyTorch or was not compared."""
        if not self.ok:
            error = ExportError(f"The export is not verified: {self.verification}")
            error.report = self
            raise error
        return self

    def to_dict(self) -> dict[str, Any]:
        """Everything but the model itself, in plain types."""
        found = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name != "model"}
        found["axes"] = [dataclasses.asdict(a) for a in self.axes]
        found["runs"] = [dataclasses.asdict(r) | {"ok": r.ok} for r in self.runs]
        return found | {"ok": self.ok, "max_error": self.max_error}

    def to_json(self, indent: int | None = 2) -> str:
        """to_dict() as JSON; infinities and NaN, which JSON lacks, as strings."""
        return json.dumps(_finite(self.to_dict()), indent=indent)

    def save(self, path: str | os.PathLike) -> None:
        """Writes to_json() to a file."""
        with open(path, "w") as file:
            file.write(self.to_json() + "\n")

    def __str__(self) -> str:
        place = self.path or (f"{len(self.model)} bytes" if self.model is not None else "a stream")
        lines = [f"Exported to {place}: opset {self.opset_version}, {_size(self.file_bytes)}"]
        stages = [f"{k} {v:.2f} s" for k, v in self.seconds.items() if k != "total"]
        lines.append(f"  time       {', '.join(stages)}; in all {self.seconds.get('total', 0):.2f} s")
        lines.append(f"  nodes      {self.nodes_before} in PyTorch's graph, {self.nodes_after} in ONNX")
        for label, tensors in (("input", self.inputs), ("output", self.outputs)):
            for t in tensors:
                shape = ", ".join("?" if n is None else str(n) for n in t.get("shape") or [])
                lines.append(f"  {label:10} {t['name']}: {t.get('type', '')} [{shape}]")
        for axis in self.axes:
            if not axis.dynamic:
                lines.append(
                    f"  fixed      axis {axis.axis} of {axis.tensor} ({axis.name}) at {axis.size}, {axis.line or ''}"
                )
        lines.append(f"  verified   {self.verification}")
        for run in self.runs:
            shapes = ", ".join(f"{n} {s}" for n, s in run.inputs.items())
            if run.skipped:
                lines.append(f"    -      {shapes}: {run.skipped}")
                continue
            worst = max((c.max_rel_error for c in run.outputs), default=0.0)
            lines.append(f"    {'ok' if run.ok else 'BAD':6} {shapes}: largest error {worst:.1e}")
            lines += [f"           {c.output}: {c.message}" for c in run.outputs if not c.ok]
        lines += [f"  warning    {w}" for w in self.warnings]
        return "\n".join(lines)


def _finite(value: Any) -> Any:
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return str(value)
    if isinstance(value, dict):
        return {k: _finite(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_finite(v) for v in value]
    return value


def _size(count: float) -> str:
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.2f} GB"
