"""Models of one node beside ONNX's reference evaluator."""

import numpy as np
import slipway
from onnx.reference import ReferenceEvaluator

import onnx
from onnx import helper

TRAINING = "ai.onnx.preview.training"
PREVIEW = "ai.onnx.preview"


def single(op, inputs, outputs=1, opset=None, domain="", **attributes):
    """A model of one node; an input of None is left out."""
    names = ["" if v is None else f"x{i}" for i, v in enumerate(inputs)]
    results = [f"y{i}" for i in range(outputs)]
    node = helper.make_node(op, names, results, domain=domain, **attributes)
    infos = [
        helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(v.dtype), [None] * v.ndim)
        for n, v in zip(names, inputs, strict=True)
        if n
    ]
    graph = helper.make_graph([node], "one", infos, [onnx.ValueInfoProto(name=n) for n in results])
    opsets = [helper.make_opsetid("", opset or 28)]
    if domain:
        opsets.append(helper.make_opsetid(domain, 1))
    return helper.make_model(graph, opset_imports=opsets, ir_version=10), {
        n: v for n, v in zip(names, inputs, strict=True) if n
    }


def compare(op, inputs, outputs=1, rtol=1e-4, atol=1e-5, **options):
    model, feeds = single(op, inputs, outputs, **options)
    want = ReferenceEvaluator(model).run(None, feeds)
    got = slipway.InferenceSession(model.SerializeToString()).run(None, feeds)
    for g, w in zip(got, want, strict=True):
        # The reference computes optimizers in the type of Python's numbers.
        w = np.asarray(w, g.dtype if options.get("domain") == TRAINING else None)
        assert g.shape == w.shape and g.dtype == w.dtype
        np.testing.assert_allclose(g.astype(np.float64), w.astype(np.float64), rtol=rtol, atol=atol)


def floats(rng, *shape, dtype=np.float32):
    return rng.standard_normal(shape).astype(dtype)


def pick(rng, *choices):
    return choices[rng.integers(len(choices))]
