"""torch.export, called so that dynamic axes stay dynamic and what goes wrong is told in the user's terms."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import inspect
import io
import logging
import re
import sys
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch.export import Dim, ExportedProgram
from torch.fx.experimental.symbolic_shapes import GuardOnDataDependentSymNode

from ..errors import ExportError
from . import composites, lean, shapes, source, state
from .arguments import Arguments, Outputs, flatten_outputs
from .axes import DynamicAxes, Sizes, candidates, grow, others


@dataclasses.dataclass
class Captured:
    """A program, and what became of the axes that were asked for."""

    program: ExportedProgram
    outputs: Outputs
    sizes: Sizes  # that it was captured with
    guards: source.Guards
    input_shapes: list[list[str | int]]  # symbolic sizes by input
    pinned: dict[tuple[int, int], str | None]  # (input, axis) to the user's line that needs the size
    changed: dict[str, str | None] = dataclasses.field(default_factory=dict)  # buffers, with the lines that change them

    def same_symbols(self, axes: DynamicAxes) -> dict[str, str]:
        """Symbols that stand for an axis of the same name as another symbol, which the model never compared."""
        first: dict[str, str] = {}
        same: dict[str, str] = {}
        for place, names in enumerate(axes.inputs):
            for axis, name in names.items():
                size = self.input_shapes[place][axis]
                if isinstance(size, str) and size.isidentifier():
                    one = first.setdefault(name, size)
                    if size != one and size not in first.values():
                        same.setdefault(size, one)
        return same

    def branches(self, axes: DynamicAxes) -> list[tuple[str, str]]:
        """Conditions on sizes that the user's code asked for, in the names of the axes, with their lines.

        The program has the branch that was taken at the sizes of the capture.
        """
        names: dict[str, str] = {}
        for place, named in enumerate(axes.inputs):
            for axis, name in named.items():
                symbol = self.guards.symbols.get(f"L['input_{place}'].size()[{axis}]")
                if symbol is not None:
                    names.setdefault(symbol, name)
        found = []
        for condition, line in self.guards.branches.items():
            found.append((re.sub(r"\bs\d+\b", lambda m: names.get(m[0], m[0]), condition), line))
        return found


class FunctionModule(torch.nn.Module):
    """A function as a module."""

    def __init__(self, function: Callable) -> None:
        super().__init__()
        self.function = function

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.function(*args, **kwargs)


def _placeholders(count: int) -> list[inspect.Parameter]:
    return [inspect.Parameter(f"input_{i}", inspect.Parameter.POSITIONAL_OR_KEYWORD) for i in range(count)]


@contextlib.contextmanager
def flat_call(
    module: torch.nn.Module, arguments: Arguments, seen: list[Outputs], set_anew: dict[str, torch.Tensor]
) -> Iterator[None]:
    """Lets the module be called with the example's tensors alone and give tensors alone; notes what it sets anew.

    The class is replaced, not the forward of the instance: tracing looks at modules through proxies of their class,
    and calls forward on those. What hooks of the module see stays what they are used to.
    """
    cls, own = type(module), module.__dict__.get("forward")
    hooks = {n: module.__dict__[n] for n in ("_forward_pre_hooks", "_forward_hooks") if module.__dict__.get(n)}

    def forward(self: torch.nn.Module, *tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
        args, kwargs = arguments.call_with(tensors)
        with state.attributes(self) as changed:
            if hooks:
                result = _call_with_hooks(self, own or cls.forward.__get__(self), hooks, args, kwargs)
            else:
                result = own(*args, **kwargs) if own is not None else cls.forward(self, *args, **kwargs)
        set_anew.update(changed)
        outputs = flatten_outputs(result)
        if not outputs.tensors:
            raise ExportError(
                f"{cls.__name__} gives no tensor, but {type(result).__name__}; there is nothing to export."
            )
        seen[:] = [outputs]
        return tuple(outputs.tensors)

    own_parameter = inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    forward.__signature__ = inspect.Signature([own_parameter, *_placeholders(len(arguments.places))])
    flat = type(
        cls.__name__, (cls,), {"forward": forward, "__module__": cls.__module__, "__qualname__": cls.__qualname__}
    )
    module.__dict__.pop("forward", None)
    for name in hooks:
        module.__dict__[name] = type(hooks[name])()
    module.__class__ = flat
    try:
        yield
    finally:
        module.__class__ = cls
        if own is not None:
            module.__dict__["forward"] = own
        for name, value in hooks.items():
            module.__dict__[name] = value


def _call_with_hooks(module: torch.nn.Module, forward: Callable, hooks: dict, args: tuple, kwargs: dict) -> Any:
    for number, hook in hooks.get("_forward_pre_hooks", {}).items():
        if number in module._forward_pre_hooks_with_kwargs:
            changed = hook(module, args, kwargs)
            args, kwargs = changed if changed is not None else (args, kwargs)
        else:
            changed = hook(module, args)
            if changed is not None:
                args = changed if isinstance(changed, tuple) else (changed,)
    result = forward(*args, **kwargs)
    for number, hook in hooks.get("_forward_hooks", {}).items():
        if number in module._forward_hooks_with_kwargs:
            changed = hook(module, args, kwargs, result)
        else:
            changed = hook(module, args, result)
        result = result if changed is None else changed
    return result


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keeps to itself what PyTorch logs and warns of while it traces: the errors say it better."""
    loggers = [logging.getLogger(n) for n in ("torch", "torch.fx", "torch._dynamo", "torch.export", "torch._export")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    printed = io.StringIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with contextlib.redirect_stdout(printed):
                yield
            sys.stdout.write(printed.getvalue())
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


def once(module: torch.nn.Module, arguments: Arguments, axes: DynamicAxes, sizes: Sizes) -> Captured:
    """The program captured at these sizes, with as many axes dynamic as PyTorch finds to be."""
    tensors = arguments.tensors
    shapes = axes.shapes(tensors, sizes)
    example = tuple(grow(t, s) for t, s in zip(tensors, shapes, strict=True))
    automatic = tuple({a: Dim.AUTO for a in names} for names in axes.inputs)
    failure: Exception | None = None
    try:
        captured = _with(module, arguments, axes, sizes, example, automatic)
        if not _apart(captured, axes):
            return captured
    except Exception as error:
        failure = error
    # Axes of one name as one Dim, which not every model takes: two sizes that only its code compares (the batch of
    # values and of the indices into them) would otherwise become fixed.
    uses = collections.Counter(name for names in axes.inputs for name in set(names.values()))
    one = {name: Dim(f"d{i}") for i, (name, count) in enumerate(uses.items()) if count > 1}
    if one:
        shared = tuple({a: one.get(name, Dim.AUTO) for a, name in names.items()} for names in axes.inputs)
        with contextlib.suppress(Exception):
            return _with(module, arguments, axes, sizes, example, shared)
    if failure is not None:
        raise failure
    return captured


def _apart(captured: Captured, axes: DynamicAxes) -> bool:
    """Whether axes came out fixed, or as more than a symbol, or the code asked for how sizes compare."""
    shapes = captured.input_shapes
    found = {shapes[place][axis] for place, names in enumerate(axes.inputs) for axis in names}
    return bool(captured.guards.branches) or not all(isinstance(s, str) and s.isidentifier() for s in found)


def _with(
    module: torch.nn.Module,
    arguments: Arguments,
    axes: DynamicAxes,
    sizes: Sizes,
    example: tuple[torch.Tensor, ...],
    dynamic: tuple[dict[int, Any], ...],
) -> Captured:
    seen: list[Outputs] = []
    set_anew: dict[str, torch.Tensor] = {}
    with (
        source.watch_guards(__file__) as guards,
        flat_call(module, arguments, seen, set_anew),
        shapes.said_at_once(),
        composites.unchecked_packing(),
        composites.KeepSizes(),
        lean.capture(__file__),
        quiet(),
    ):
        program = torch.export.export(module, example, dynamic_shapes=dynamic if any(dynamic) else None, strict=False)
    if any("predispatch" in getattr(n.target, "__module__", "") for n in program.graph.nodes):
        with quiet():
            program = program.run_decompositions({})  # torch.vmap is still to be worked out in it
    found = _input_shapes(program)
    pinned = {}
    for place, names in enumerate(axes.inputs):
        for axis in names:
            if isinstance(found[place][axis], int):
                symbol = guards.symbols.get(f"L['input_{place}'].size()[{axis}]")
                pinned[place, axis] = guards.find(symbol) if symbol else None
    return Captured(
        program, seen[0], sizes, guards, found, pinned, state.carried(program, set_anew) | state.changed(program)
    )


def _merged(captured: Captured, axes: DynamicAxes) -> list[str]:
    """Names that took part in one symbol with another name of the same size."""
    by_symbol: dict[str, set[str]] = {}
    for place, names in enumerate(axes.inputs):
        for axis, name in names.items():
            by_symbol.setdefault(str(captured.input_shapes[place][axis]), set()).add(name)
    return sorted({n for names in by_symbol.values() if len(names) > 1 for n in sorted(names)[1:]})


def _settle(captured: Captured, module: torch.nn.Module, arguments: Arguments, axes: DynamicAxes) -> Captured:
    """Looks again with other sizes where an axis came out fixed, or as the same as another, perhaps by chance."""
    if captured.pinned:
        with contextlib.suppress(Exception), composites.length_as_size():
            again = once(module, arguments, axes, captured.sizes)
            if len(again.pinned) < len(captured.pinned):
                captured = again
    for name in sorted({axes.inputs[p][a] for p, a in captured.pinned}):
        for sizes in others(captured.sizes, name, module, arguments, axes):
            try:
                again = once(module, arguments, axes, sizes)
            except Exception as error:
                line = source.of_error(error, __file__)
                for place, axis in captured.pinned:
                    if axes.inputs[place][axis] == name and line and not captured.pinned[place, axis]:
                        captured.pinned[place, axis] = line
                continue
            if len(again.pinned) < len(captured.pinned):
                captured = again
                break
    for name in _merged(captured, axes):
        for sizes in others(captured.sizes, name, module, arguments, axes):
            with contextlib.suppress(Exception):
                again = once(module, arguments, axes, sizes)
                if len(again.pinned) <= len(captured.pinned):
                    captured = again
    return captured


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        current = current.__cause__ or current.__context__


def _explain(error: BaseException, module: torch.nn.Module) -> ExportError:
    """The error of a capture in the user's terms."""
    chain = list(_chain(error))
    ours = next((e for e in chain if isinstance(e, ExportError)), None)
    if ours is not None:
        return ours
    text = "\n".join(str(e) for e in chain)
    line = source.of_error(error, __file__)
    if line is None:
        told = re.search(r'File "([^"]+)", line (\d+)', text)
        if told and source.is_users(told[1]):
            line = source.describe(told[1], int(told[2]))
    where = f"\n  at {line}" if line else ""
    name = type(module).__name__ if not isinstance(module, FunctionModule) else "the function"
    dependent = any(isinstance(e, GuardOnDataDependentSymNode) for e in chain) or "data-dependent" in text
    if dependent or "DynamicControlFlow" in type(error).__name__:
        return ExportError(
            f"Data-dependent control flow in {name}: Python code there needs the value of a tensor, which a graph does "
            f"not have before it runs.{where}\n"
            "A Python `if`, `while`, `assert`, `int()` or a slice on such a value would freeze what the example gave.\n"
            "What to do: for a branch use torch.where(condition, a, b) or torch.cond(condition, f, g, inputs); for a "
            "loop torch._higher_order_ops.while_loop; for a size, torch._check(...) what is known of it; or decide "
            "outside the model."
        )
    first = next((ln.strip() for ln in str(chain[-1]).splitlines() if ln.strip()), type(error).__name__)
    return ExportError(
        f"{name} cannot be captured: {type(chain[-1]).__name__}: {first}{where}\n"
        "What to do: call the model with the example outside the export first. If that works, the line above does "
        "something that torch.export cannot follow: write it with tensor operations, or take it out of forward."
    )


def _eager_error(module: torch.nn.Module, arguments: Arguments) -> ExportError | None:
    """What the model itself says to its example, where it refuses it."""
    args, kwargs = arguments.call_with([t.detach().clone() for t in arguments.tensors])
    try:
        module(*args, **kwargs)
    except Exception as error:
        line = source.of_error(error, __file__)
        where = f"\n  at {line}" if line else ""
        first = next((ln.strip() for ln in str(error).splitlines() if ln.strip()), "")
        shapes = ", ".join(f"{n} {list(t.shape)}" for n, t in zip(arguments.names, arguments.tensors, strict=True))
        return ExportError(
            f"The model fails on the example itself, before any export: {type(error).__name__}: {first}{where}\n"
            f"The example: {shapes}.\nWhat to do: give args (and kwargs) that the model runs on."
        )
    return None


def of_program(program: ExportedProgram, module: torch.nn.Module, arguments: Arguments, axes: DynamicAxes) -> Captured:
    """A program that was captured before: its axes are as they are."""
    args, kwargs = arguments.call_with(arguments.tensors)
    changed = state.changed(program)
    with state.kept(module, changed):
        outputs = flatten_outputs(module(*args, **kwargs))
    found = _input_shapes(program)
    pinned: dict[tuple[int, int], str | None] = {}
    for place, names in enumerate(axes.inputs):
        pinned.update({(place, a): None for a in names if isinstance(found[place][a], int)})
    for place, shape in enumerate(found):
        for axis, size in enumerate(shape):
            if isinstance(size, str):
                axes.inputs[place].setdefault(axis, size)
    return Captured(program, outputs, axes.sizes(arguments.tensors), source.Guards(), found, pinned, changed)


def _input_shapes(program: ExportedProgram) -> list[list[str | int]]:
    inputs = set(program.graph_signature.user_inputs)
    values = [n.meta.get("val") for n in program.graph.nodes if n.op == "placeholder" and n.name in inputs]
    return [
        [n if isinstance(n, int) else _expression(n) for n in v.shape] for v in values if isinstance(v, torch.Tensor)
    ]


def _expression(size: torch.SymInt) -> str | int:
    expression = size.node.expr
    return int(expression) if expression.is_number else str(expression)


def capture(module: torch.nn.Module, arguments: Arguments, axes: DynamicAxes) -> Captured:
    """The model as torch.export sees it, with as many of the axes dynamic as the model lets be."""
    example = axes.sizes(arguments.tensors)
    failure: BaseException | None = None
    last_line: str | None = None
    for attempt, sizes in enumerate(candidates(example, module, arguments, axes)):
        try:
            captured = _settle(once(module, arguments, axes, sizes), module, arguments, axes)
        except Exception as error:
            if attempt == 0:
                failure = error
                if isinstance(error, ExportError) or "data-dependent" in str(error):
                    break
                told = _eager_error(module, arguments)
                if told is not None:
                    raise told from None
            last_line = source.of_error(error, __file__) or last_line
            if attempt > 16:
                break
            continue
        if last_line is not None:
            for place, axis in captured.pinned:
                captured.pinned[place, axis] = captured.pinned[place, axis] or last_line
        return captured
    assert failure is not None
    raise _explain(failure, module) from failure
