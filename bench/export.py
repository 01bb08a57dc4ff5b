#!/usr/bin/env python3
"""Slipway's exporter beside torch.onnx.export's two: the time of a call and the memory it takes.

python bench/export.py [--exporter NAME ...] [--turns N] [--opset N] [--json FILE] [NAME ...]

The exporters take turns, each in a process of its own that has imported what a script imports and built the model. Its
first call pays for the modules that it loads; `again` is the second one. Slipway's comparison with PyTorch is left out,
as the others do none. For Slipway the table splits the first call: capture (torch.export), convert (all that comes
after it up to the model at the opset asked for), write; and `peak`, the most memory that converting a program took
beyond what the process held before, the weights among that.
"""

import argparse
import contextlib
import io
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

from names import one_of

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "models"))

EXPORTERS = ("slipway", "dynamo", "torchscript")
NAMES = (
    "resnet18",
    "resnet50",
    "mobilenetv2",
    "efficientnet_b0",
    "vit_b16",
    "convnext_t",
    "minilm_l6",
    "distilbert",
    "bert_base",
    "gpt2",
)


def memory(key):
    """A line of /proc/self/status in MiB: VmRSS is what is held now, VmHWM the most since reset_peak."""
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith(key + ":")) / 1024


def reset_peak():
    with open("/proc/self/clear_refs", "w") as control:
        control.write("5")


def arguments_of(name):
    """What every exporter is called with: batch 1, as users do, and the axes that vary."""
    import zoo

    spec = zoo.MODELS[name]
    sizes = {key: 128 if key == "seq" else 1 for key in spec.sizes[0]}
    example = tuple(zoo.torch.from_numpy(v) for v in zoo.feeds(name, sizes, full=True).values())
    axes = {key: named for key, named in zoo.dynamic(name, True, spec.trace_only_axes).items() if named}
    names = {"input_names": list(spec.inputs), "output_names": list(spec.outputs)}
    return zoo.build(name, full=True), example, names | {"dynamic_axes": axes}


def one_call(exporter, name, opset):
    """Times two exports in this process."""
    import slipway
    import torch

    model, example, options = arguments_of(name)
    bytes_ = sum(p.numel() * p.element_size() for p in model.parameters())
    told = {"exporter": exporter, "model": name, "megabytes": bytes_ / 1e6}
    if exporter == "dynamo":
        example, shapes = for_torch(model, example, options)
        options = {k: v for k, v in options.items() if k != "dynamic_axes"} | {"dynamic_shapes": shapes}

    def call(path):
        start = time.perf_counter()
        if exporter == "slipway":
            report = slipway.export(model, example, path, opset_version=opset, verify=False, **options)
        else:
            report = None
            with contextlib.redirect_stdout(io.StringIO()), torch.no_grad():
                torch.onnx.export(
                    model, example, path, opset_version=opset, dynamo=exporter == "dynamo", verbose=False, **options
                )
        return time.perf_counter() - start, report

    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "model.onnx")
        told["first"], report = call(path)
        told["again"], _ = call(path)
        if exporter == "slipway":
            told |= {stage: report.seconds[stage] for stage in ("capture", "convert", "write")}
            told |= {"nodes": report.nodes_after, "peak": peak_of_conversion(model, example, path, opset, options)}
    return told


def for_torch(model, example, options):
    """An example and dynamic_shapes that torch.export takes: it fixes axes that are 1 in the example."""
    import torch

    axes = options["dynamic_axes"]
    shapes = tuple(dict.fromkeys(axes.get(n, ()), torch.export.Dim.AUTO) for n in options["input_names"])
    flat = type(model).__name__ == "Call"  # its forward takes *args
    example = tuple(t if t.shape[0] > 1 else t.repeat(2, *[1] * (t.dim() - 1)) for t in example)
    return example, (shapes,) if flat else shapes


def peak_of_conversion(model, example, path, opset, options):
    """MiB beyond what the process holds, the weights included, while a captured program becomes a file."""
    import slipway
    import torch

    example, shapes = for_torch(model, example, options)
    program = torch.export.export(model, example, dynamic_shapes=shapes, strict=False)
    reset_peak()
    before = memory("VmRSS")
    slipway.export(program, path=path, opset_version=opset, verify=False)
    return memory("VmHWM") - before


def in_turn(exporter, name, opset):
    """One call in a fresh process; None where the exporter fails."""
    command = [sys.executable, __file__, "--call", exporter, "--opset", str(opset), name]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "HF_HUB_OFFLINE": "1"})
    if done.returncode:
        print(f"{exporter} {name}: {done.stderr.strip().splitlines()[-1:]}", file=sys.stderr)
        return None
    return json.loads(done.stdout.splitlines()[-1])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--exporter", nargs="+", choices=EXPORTERS, default=EXPORTERS)
    parser.add_argument("--turns", type=int, default=1)
    parser.add_argument("--opset", type=int, default=18)
    parser.add_argument("--json", help="a file for all the figures")
    parser.add_argument("--call", choices=EXPORTERS, help=argparse.SUPPRESS)
    parser.add_argument("names", nargs="*", default=NAMES, type=one_of(NAMES))
    given = parser.parse_args()
    if given.call:
        warnings.simplefilter("ignore")
        print(json.dumps(one_call(given.call, given.names[0], given.opset)))
        return
    print(f"{'model':16} {'MB':>5}" + "".join(f" {e:>12} {'again':>6}" for e in given.exporter), end="")
    print(f"   {'capture':>8} {'convert':>8} {'write':>6} {'peak MiB':>9} {'nodes':>6}", flush=True)
    kept = []
    for name in given.names:
        runs = [in_turn(e, name, given.opset) for _ in range(given.turns) for e in given.exporter]
        kept += (found := [r for r in runs if r])

        def median(exporter, key, found=found):
            values = [r[key] for r in found if r["exporter"] == exporter]
            return statistics.median(values) if values else float("nan")

        line = f"{name:16} {found[0]['megabytes'] if found else 0:5.0f}"
        line += "".join(f" {median(e, 'first'):12.2f} {median(e, 'again'):6.2f}" for e in given.exporter)
        if "slipway" in given.exporter:
            line += "   {:8.2f} {:8.2f} {:6.2f} {:9.0f} {:6.0f}".format(
                *(median("slipway", key) for key in ("capture", "convert", "write", "peak", "nodes"))
            )
        print(line, flush=True)
    if given.json:
        Path(given.json).write_text(json.dumps(kept, indent=1))


if __name__ == "__main__":
    main()
