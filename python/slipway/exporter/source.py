"""Where in the user's own code something happened."""

from __future__ import annotations

import contextlib
import functools
import linecache
import os
import re
import sys
import sysconfig
from collections.abc import Iterator
from types import FrameType

import sympy
import torch
from torch.fx.experimental import symbolic_shapes
from torch.utils._sympy.printers import PythonPrinter

_OURS = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
_TORCH = os.path.dirname(os.path.abspath(torch.__file__)) + os.sep
_MODULES = os.path.join(_TORCH, "nn", "modules") + os.sep
_STDLIB = sysconfig.get_paths()["stdlib"] + os.sep


@functools.cache
def is_users(filename: str) -> bool:
    """Whether a file belongs to the user or a library of models, not to PyTorch, Python or Slipway."""
    if filename.startswith(("<", _OURS, _TORCH)):
        return False
    return not filename.startswith(_STDLIB) or "site-packages" in filename


def describe(filename: str, line: int) -> str:
    """'model.py:12: if x.sum() > 0:', with the code where it can be read."""
    code = linecache.getline(filename, line).strip()
    return f"{filename}:{line}" + (f": {code}" if code else "")


def frame_of_user(frame: FrameType | None, above: str = "") -> FrameType | None:
    """The innermost frame of the user's code at or above a frame, and below the first frame of the file `above`."""
    while frame is not None and frame.f_code.co_filename != above:
        if is_users(frame.f_code.co_filename):
            return frame
        frame = frame.f_back
    return None


def of_frame(frame: FrameType | None, above: str = "") -> str | None:
    """The line of that frame."""
    found = frame_of_user(frame, above)
    return describe(found.f_code.co_filename, found.f_lineno) if found is not None else None


def module_of_frame(frame: FrameType | None, above: str = "") -> str | None:
    """Of a model of PyTorch's own modules: the one that a frame belongs to, as it prints itself."""
    while frame is not None and frame.f_code.co_filename != above:
        module = frame.f_locals.get("self") if frame.f_code.co_filename.startswith(_MODULES) else None
        if isinstance(module, torch.nn.Module) and not any(module.children()):
            return f"the module {module!r}"
        frame = frame.f_back
    return None


def of_error(error: BaseException | None, below: str = "") -> str | None:
    """The innermost line of the user's code that an exception, or the one that caused it, passed through.

    `below` names a file of ours: only what it called counts, so that the call of slipway.export itself does not.
    """
    found = module = None
    while error is not None:
        counts = not below
        step = error.__traceback__
        while step is not None:
            filename = step.tb_frame.f_code.co_filename
            counts = counts or filename == below
            if counts and is_users(filename):
                found = describe(filename, step.tb_lineno)
            elif counts and filename.startswith(_MODULES):
                module = module_of_frame(step.tb_frame, below) or module
            step = step.tb_next
        error = error.__cause__ or error.__context__
    return found or module


_SYMBOLIC = (
    os.path.join(_TORCH, "fx", "experimental") + os.sep,
    os.path.join(_TORCH, "utils", "_stats.py"),
    os.path.join(_TORCH, "__init__.py"),
    _OURS,
)


def _asked_directly(frame: FrameType | None) -> bool:
    """Whether the user's own code took the truth of a symbolic condition, and not PyTorch on its behalf."""
    while frame is not None and frame.f_code.co_filename.startswith(_SYMBOLIC):
        frame = frame.f_back
    return frame is not None and is_users(frame.f_code.co_filename)


class Guards:
    """What the model needed to know of sizes while it was captured, and where in the user's code."""

    def __init__(self) -> None:
        self.lines: dict[str, str] = {}  # the first line that needed a condition
        self.branches: dict[str, str] = {}  # conditions that the user's code itself asked for, with their lines
        self.symbols: dict[str, str] = {}  # of inputs' axes: "L['x'].size()[0]" to its symbol

    def find(self, symbol: str) -> str | None:
        """The line that fixed this symbol, or one that is equal to it; else the first that needed to know of it."""
        equal = {symbol}
        pairs = [(re.fullmatch(r"(\w+) == (\w+)", condition), line) for condition, line in self.lines.items()]
        pairs = [({m[1], m[2]}, line) for m, line in pairs if m]
        for _ in pairs:
            equal |= {s for both, _ in pairs if both & equal for s in both if not s.isdigit()}
        for both, line in pairs:
            if both & equal and any(s.isdigit() for s in both):
                return line
        word = re.compile(rf"\b{re.escape(symbol)}\b")
        return next((line for condition, line in self.lines.items() if word.search(condition)), None)


@contextlib.contextmanager
def watch_guards(above: str) -> Iterator[Guards]:
    """Notes for each condition on sizes that PyTorch takes for true the user's line that needed it.

    `above` is the file whose frames the model's are below.
    """
    guards = Guards()
    original = symbolic_shapes.ShapeEnv._log_guard

    def log_guard(self, prefix, g, forcing_spec):
        guards.symbols.update((str(source), str(symbol)) for source, symbol in self.source_to_var.items())
        frame = sys._getframe(1)
        line = of_frame(frame, above) or module_of_frame(frame, above)
        if line is not None:
            condition = PythonPrinter().doprint(g)
            guards.lines.setdefault(condition, line)
            if _asked_directly(frame) and g.free_symbols and not _is_plain_equality(g):
                guards.branches.setdefault(condition, line)
        return original(self, prefix, g, forcing_spec)

    symbolic_shapes.ShapeEnv._log_guard = log_guard
    try:
        yield guards
    finally:
        symbolic_shapes.ShapeEnv._log_guard = original


def _is_plain_equality(g: sympy.Basic) -> bool:
    """A size equal to another or to a number: the axis is then pinned or merged, which is told elsewhere."""
    return isinstance(g, sympy.Eq) and all(isinstance(a, (sympy.Symbol, sympy.Integer)) for a in g.args)
