"""Runs a module through torch.export and the converter, and the result beside PyTorch."""

import json

import numpy as np
import slipway
import torch
from slipway import _slipway

try:
    import onnxruntime
except ImportError:
    onnxruntime = None

DYNAMIC = torch.export.Dim.DYNAMIC


def program_of(ep):
    """The JSON and the weights of an exported program, as the archive holds them."""
    from torch._export.serde.serialize import serialize

    weights = {**ep.state_dict, **{k: v for k, v in ep.constants.items() if isinstance(v, torch.Tensor)}}
    return serialize(ep).exported_program, {k: array_of(v) for k, v in weights.items()}


def array_of(t):
    t = t.detach().contiguous()
    if t.dtype == torch.bfloat16:
        import ml_dtypes

        return t.view(torch.int16).numpy().view(ml_dtypes.bfloat16)
    return t.numpy()


def export(model, args, shapes=None, kwargs=None):
    with torch.no_grad():
        return torch.export.export(model.eval(), args, kwargs, dynamic_shapes=shapes, strict=False)


def convert(ep, path, **options):
    text, weights = program_of(ep)
    return json.loads(_slipway.convert_program(text, weights, json.dumps(options), {}, str(path)))


def through_archive(ep, folder):
    """The same program saved, and read by the program that knows no Python."""
    path = folder / "model.pt2"
    torch.export.save(ep, str(path))
    return path


def leaves(value):
    from torch.utils import _pytree

    return [x for x in _pytree.tree_leaves(value) if isinstance(x, torch.Tensor)]


def numpy_of(t):
    t = t.detach()
    return array_of(t)


def compare(path, model, calls, rtol=1e-4, atol=1e-5, engines=None):
    """Every call's outputs, from Slipway and onnxruntime, against PyTorch's."""
    wanted = []
    for args in calls:
        with torch.no_grad():
            import copy

            wanted.append([numpy_of(t) for t in leaves(copy.deepcopy(model)(*copy.deepcopy(args)))])
    sessions = {}
    if engines is None or "slipway" in engines:
        sessions["slipway"] = slipway.InferenceSession(str(path))
    if onnxruntime and (engines is None or "onnxruntime" in engines):
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.intra_op_num_threads = 1
        sessions["onnxruntime"] = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    for engine, session in sessions.items():
        names = [i.name for i in session.get_inputs()]
        for args, want in zip(calls, wanted):
            got = session.run(None, dict(zip(names, [numpy_of(t) for t in leaves(args)])))
            assert len(got) == len(want)
            for i, (a, b) in enumerate(zip(got, want)):
                assert a.shape == b.shape, f"{engine}: output {i} is {a.shape}, PyTorch's {b.shape}"
                assert a.dtype == b.dtype, f"{engine}: output {i} is {a.dtype}, PyTorch's {b.dtype}"
                np.testing.assert_allclose(
                    a.astype(np.float64) if a.dtype.kind == "f" else a,
                    b.astype(np.float64) if b.dtype.kind == "f" else b,
                    rtol,
                    atol,
                    err_msg=f"{engine}: output {i}",
                )


def check(model, calls, tmp_path, dynamic=True, rtol=1e-4, atol=1e-5, engines=None, nodes=None):
    """Exports at the first call, with every axis that the others vary left open, and compares on all."""
    first = leaves(calls[0])
    shapes = None
    if dynamic and len(calls) > 1:
        from torch.utils import _pytree

        flat = [leaves(c) for c in calls]
        spec = [
            {a: DYNAMIC for a in range(t.dim()) if len({f[i].shape[a] for f in flat}) > 1} for i, t in enumerate(first)
        ]
        it = iter(spec)
        shapes = _pytree.tree_map(lambda x: next(it) if isinstance(x, torch.Tensor) else None, calls[0])
    ep = export(model, calls[0], shapes)
    path = tmp_path / "model.onnx"
    report = convert(ep, path)
    compare(path, model, calls, rtol, atol, engines)
    if nodes is not None:
        assert report["nodes"] == nodes
    return report
