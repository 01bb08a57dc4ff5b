"""Every model, exporter, opset and optimization level against PyTorch's own output, at each size of the model.

The matrix runs on the small models, and one file of each on the full model; SLIPWAY_FULL_MODELS=1 runs all of it at
full size.
"""

import functools
import os

import numpy as np
import pytest
import slipway
import zoo

BOUND = 1e-4  # Largest error relative to the largest value.
LEVELS = ("ORT_DISABLE_ALL", "ORT_ENABLE_BASIC", "ORT_ENABLE_EXTENDED", "ORT_ENABLE_ALL")
ALL_FULL = os.environ.get("SLIPWAY_FULL_MODELS") == "1"


def cases():
    for name, model in zoo.MODELS.items():
        for exporter, opsets in zoo.EXPORTERS.items():
            for opset in opsets:
                yield name, exporter, opset, ALL_FULL
        if not (ALL_FULL or model.one_size):
            yield name, "dynamo", 18, True


@functools.lru_cache(maxsize=1)
def file(name, exporter, opset, full):
    try:
        return zoo.export(name, exporter, opset, full)
    except zoo.CannotExport as reason:
        if not zoo.may_refuse(name, exporter, opset):
            raise
        return reason


@pytest.mark.parametrize("level", range(len(LEVELS)))
@pytest.mark.parametrize("case", cases(), ids=lambda c: "-".join(map(str, c[:3])) + ("-full" if c[3] else ""))
def test_model(case, level):
    name, exporter, opset, full = case
    path = file(*case)
    if isinstance(path, zoo.CannotExport):
        pytest.skip(f"{exporter} at opset {opset}: {path}")
    options = slipway.SessionOptions()
    options.graph_optimization_level = getattr(slipway.GraphOptimizationLevel, LEVELS[level])
    session = slipway.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    for size in zoo.sizes(name, exporter):
        feeds = zoo.feeds(name, size, full)
        got = session.run(None, {i.name: feeds[i.name] for i in session.get_inputs()})
        want = zoo.reference(name, size, full)
        assert len(got) == len(want)
        for output, g, w in zip(session.get_outputs(), got, want, strict=True):
            assert (g.shape, g.dtype) == (w.shape, w.dtype), f"{output.name} at {size}"
            error = np.abs(g - w).max() / np.abs(w).max()
            assert error < BOUND, f"{output.name} at {size}: error {error:.2e} relative to the largest value"
