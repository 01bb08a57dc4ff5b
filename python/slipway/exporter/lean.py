"""What torch.export does for others than a converter, left out while a model is captured: a third of its time.

Each saving looks for the place that it changes, and does nothing where another version of PyTorch has it elsewhere.
"""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import importlib
import sys
import traceback
import types
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensor
from torch.fx.experimental import proxy_tensor
from torch.fx.experimental.sym_node import SymNode
from torch.utils._sympy.symbol import SymT, symbol_is_type

from . import source

_OF_VALUES = (SymT.UNBACKED_INT, SymT.UNBACKED_FLOAT)
_Patches = Iterator[tuple[Any, str, Any]]  # (owner, attribute, what takes its place)


@contextlib.contextmanager
def without_collections() -> Iterator[None]:
    """No pauses of Python's garbage collector, which looks through all that is loaded, several times."""
    if not gc.isenabled():
        yield
        return
    freezes = gc.get_freeze_count() == 0
    gc.disable()
    if freezes:
        gc.freeze()  # so that what was there before is not looked through right after either
    try:
        yield
    finally:
        gc.enable()
        if freezes:
            gc.collect(1)
            gc.unfreeze()


class _Later(types.ModuleType):
    """A module that is loaded when something of it is used; for those that import it, its names are but annotations."""

    imported = False

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(importlib.import_module(self.__name__), name) if self.imported else Any


def _import_without_networkx() -> None:
    """Loads torch.export's tracer without networkx, which plans of memory for training take."""
    name = "networkx"
    if name in sys.modules or "torch.export._trace" in sys.modules:
        return
    later = sys.modules[name] = _Later(name)
    try:
        import torch.export._trace  # noqa: F401
    finally:
        later.imported = True
        if sys.modules.get(name) is later:
            del sys.modules[name]  # one who imports it gets it in the ordinary way


class _UserLine:
    """The line of the model's source that a node comes from, in place of the whole stack."""

    def __init__(self, above: str) -> None:
        self._above = above

    def extract(self, **options: Any) -> _UserLine:
        return self

    def summary(self) -> traceback.StackSummary:
        frame = source.frame_of_user(sys._getframe(1), self._above)
        if frame is None:
            return traceback.StackSummary()
        code = frame.f_code
        line = traceback.FrameSummary(code.co_filename, frame.f_lineno, code.co_name, lookup_line=False)
        return traceback.StackSummary.from_list([line])


def _source_lines(above: str) -> _Patches:
    import torch.fx.proxy as proxy

    yield proxy, "CapturedTraceback", _UserLine(above)
    yield proxy.TracerBase, "_filter_traceback_frames", lambda self, frames: frames


def _tensor_metadata() -> _Patches:
    yield proxy_tensor, "_extract_tensor_metadata", lambda value, *args: None  # "val" says the same


def _bindings() -> _Patches:
    """Symbols that stand for values are looked for in every node only where the program has such."""
    trace = sys.modules.get("torch.export._trace")
    bind = getattr(trace, "_replace_unbacked_bindings", None)
    if bind is None:
        return

    def replace_bindings(module: torch.fx.GraphModule) -> None:
        values = (node.meta.get("val") for node in module.graph.nodes)
        first = next((v for v in values if isinstance(v, FakeTensor) and v.fake_mode.shape_env is not None), None)
        if first is None or any(symbol_is_type(s, _OF_VALUES) for s in first.fake_mode.shape_env.var_to_range):
            bind(module)

    yield trace, "_replace_unbacked_bindings", replace_bindings


def _generated_code() -> _Patches:
    """Graphs become Python code when they are called, which they seldom are."""
    compile_now = torch.fx.GraphModule.recompile

    def forward(self: torch.fx.GraphModule, *args: Any, **kwargs: Any) -> Any:
        compile_now(self)
        return type(self).forward(self, *args, **kwargs)

    def recompile(self: torch.fx.GraphModule) -> None:
        type(self).forward = forward

    yield torch.fx.GraphModule, "recompile", recompile


def _symbolic_numbers() -> _Patches:
    """The same operation on the same symbolic sizes gives the same node: PyTorch asks for each many times over."""
    known: dict[tuple, SymNode] = {}
    at: list[Any] = [None, None]

    def remembering(method: str, compute: Callable[[SymNode, SymNode], SymNode]) -> Callable:
        def operation(self: SymNode, other: SymNode) -> SymNode:
            env = self.shape_env
            if env is None or proxy_tensor.get_proxy_mode():
                return compute(self, other)
            now = env, env._replacements_version_counter
            if at[0] is not now[0] or at[1] != now[1]:
                known.clear()
                at[:] = now
            key = method, self._expr, other._expr, self.pytype, other.pytype, self._hint is None, other._hint is None
            result = known.get(key)
            if result is None:
                result = known[key] = compute(self, other)
            return result

        return operation

    for method in ("add", "sub", "mul", "eq", "ne", "lt", "le", "gt", "ge", "sym_max", "sym_min"):
        name = f"_{method}"
        if hasattr(SymNode, name):
            yield SymNode, name, remembering(method, getattr(SymNode, name))


@contextlib.contextmanager
def _patched(*groups: _Patches) -> Iterator[None]:
    saved = []
    try:
        for patches in groups:
            for owner, name, value in patches:
                if hasattr(owner, name):
                    saved.append((owner, name, vars(owner).get(name, getattr(owner, name))))
                    setattr(owner, name, value)
        yield
    finally:
        for owner, name, value in reversed(saved):
            setattr(owner, name, value)


@contextlib.contextmanager
def _silent(module: Any) -> Iterator[None]:
    """Without the graph that torch.export prints where a capture fails: the error says it better."""
    if module is None or "print" in vars(module):
        yield
        return
    module.print = lambda *args, **options: None
    try:
        yield
    finally:
        del module.print


@contextlib.contextmanager
def capture(above: str) -> Iterator[None]:
    """While it is active torch.export does less. `above` is the file whose frames the model's are below."""
    _import_without_networkx()
    with (
        _silent(sys.modules.get("torch.export._trace")),
        _patched(_source_lines(above), _tensor_metadata(), _bindings(), _generated_code(), _symbolic_numbers()),
    ):
        yield


def _unions() -> _Patches:
    """The schema's unions are made without a look at all their fields, several times each."""
    from torch._export.serde import union

    names: dict[type, dict[str, None]] = {}

    def create(cls: type, **given: Any) -> Any:
        ((name, value),) = given.items()
        fields = names.get(cls)
        if fields is None:
            fields = names[cls] = {f.name: None for f in dataclasses.fields(cls)}
        if name not in fields:
            raise TypeError(f"{cls.__name__} has no field '{name}'")
        made = object.__new__(cls)
        vars(made).update(fields)
        vars(made)[name] = value
        made._type = union._UnionTag.create(name, cls)
        return made

    yield union._Union, "create", classmethod(create)


@contextlib.contextmanager
def serialization() -> Iterator[None]:
    """While it is active graphs are serialized without a look for Inductor's buffers and without their text."""
    name = "torch._inductor.ir"
    stand_in = None
    if name not in sys.modules:
        stand_in = types.ModuleType(name)
        for kind in ("Buffer", "ReinterpretView", "TorchBindObject"):
            setattr(stand_in, kind, type(kind, (), {}))
        sys.modules[name] = stand_in
    try:
        with _patched(_unions(), iter([(torch.fx.GraphModule, "print_readable", lambda self, *args, **kwargs: "")])):
            yield
    finally:
        if sys.modules.get(name) is stand_in:
            sys.modules.pop(name, None)
