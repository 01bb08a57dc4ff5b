"""The model and the example, ready to be captured: the right kind of thing, in eval mode, on one device."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch

from ..errors import ExportError
from .arguments import Arguments
from .capture import FunctionModule


def as_module(model: Any) -> torch.nn.Module:
    """The module to capture: wrappers are taken off, functions are put into one."""
    if isinstance(model, (torch.jit.ScriptModule, torch.jit.ScriptFunction)):
        raise ExportError(
            f"The model is a TorchScript {type(model).__name__}, which torch.export cannot capture.\n"
            "What to do: give the nn.Module that it was made from."
        )
    if isinstance(model, type):
        raise ExportError(f"The model is the class {model.__name__}, not an instance: give {model.__name__}(...).")
    while True:
        if isinstance(model, (torch.nn.DataParallel, torch.nn.parallel.DistributedDataParallel)):
            model = model.module
        elif type(model).__name__ == "OptimizedModule" and hasattr(model, "_orig_mod"):
            model = model._orig_mod
        else:
            break
    if isinstance(model, torch.nn.Module):
        return model
    if callable(model):
        return FunctionModule(getattr(model, "_torchdynamo_orig_callable", model))
    raise ExportError(f"The model must be an nn.Module or a function, not a {type(model).__name__}.")


def forward_of(module: torch.nn.Module) -> Callable:
    return module.function if isinstance(module, FunctionModule) else module.forward


@contextlib.contextmanager
def eval_mode(module: torch.nn.Module, warn: Callable[[str], None]) -> Iterator[None]:
    """Everything in eval mode, without gradients and autocast; each module's own mode comes back."""
    modes = [(m, m.training) for m in module.modules()]
    training = [name or type(module).__name__ for name, m in module.named_modules() if m.training]
    if training and not isinstance(module, FunctionModule):
        which = "The model was" if len(training) == len(modes) else f"{len(training)} modules ({training[0]}, ...) were"
        warn(
            f"{which} in training mode: exported in eval mode, where dropout does nothing and batch normalization uses "
            "its running statistics; the mode is restored. Call model.eval() before the export to say that you mean it."
        )
    devices = {p.device.type for p in module.parameters()} | {"cpu"}
    try:
        for m, _ in modes:  # not eval(), which the module of an ExportedProgram refuses
            m.training = False
        with contextlib.ExitStack() as stack:
            stack.enter_context(torch.no_grad())
            for device in sorted(devices - {"meta"}):
                with contextlib.suppress(RuntimeError):
                    stack.enter_context(torch.autocast(device, enabled=False))
            yield
    finally:
        for m, mode in modes:
            m.training = mode


def _listed(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def check_devices(module: torch.nn.Module, arguments: Arguments, warn: Callable[[str], None]) -> None:
    """All parameters and buffers on one device, or an error that says which is where; inputs are moved to it."""
    where: dict[str, list[str]] = {}
    for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
        where.setdefault(str(tensor.device), []).append(name)
    if "meta" in where:
        raise ExportError(
            f"These have no data (device meta): {_listed(where['meta'])}.\n"
            "What to do: load the weights (model.to_empty(device='cpu') and load_state_dict) before the export."
        )
    inputs: dict[str, list[str]] = {}
    for name, tensor in zip(arguments.names, arguments.tensors, strict=True):
        inputs.setdefault(str(tensor.device), []).append(name)
    if "meta" in inputs:
        raise ExportError(
            f"These inputs have no data (device meta): {_listed(inputs['meta'])}. Give an example with data."
        )
    if len(where) > 1:
        lines = [f"  {device}: {_listed(names)}" for device, names in sorted(where.items())]
        lines += [f"  {device}: input {_listed(names)}" for device, names in sorted(inputs.items())]
        raise ExportError(
            "The model lies on more than one device:\n" + "\n".join(lines) + "\nWhat to do: model.to('cpu') before the "
            "export; the file does not depend on the device."
        )
    device = next(iter(where), None)
    if device is None:
        return
    for place, name in zip(arguments.places, arguments.names, strict=True):
        tensor = arguments.leaves[place]
        if str(tensor.device) != device:
            warn(f"The input '{name}' was on {tensor.device}, the model is on {device}: the input was moved there.")
            arguments.leaves[place] = tensor.to(device)
