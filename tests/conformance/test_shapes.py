"""The types and shapes that Slipway finds say no less than those of onnx.shape_inference, and nothing else."""

import conformance
import pytest
import slipway
import zoo

import onnx
from onnx import shape_inference

# Where ONNX trusts what a body says of the state that it carries, which the state that goes in does not bear out.
CARRIED = ("node/test_scan9_", "node/test_scan_sum", "node/test_linear_attention_")
# Where ONNX counts the elements of a shape that is not known: the rank of what Col2Im gives.
COUNTED = ("node/test_col2im_",)


def bare(model, symbolic):
    """The model with every value an output, and no shape but those of the inputs; `symbolic`: not even those."""
    out = onnx.ModelProto()
    out.CopyFrom(model)
    graph = out.graph
    held = {i.name for i in graph.initializer}
    for value in graph.input:
        kind = value.type.tensor_type
        if symbolic and value.type.HasField("tensor_type") and kind.HasField("shape") and value.name not in held:
            for i, dim in enumerate(kind.shape.dim):
                dim.dim_param = f"{value.name}_{i}"
    del graph.value_info[:]
    given = {i.name for i in graph.input} | held
    names = [o for n in graph.node for o in n.output if o and o not in given]
    names += [o.name for o in graph.output if o.name not in names]
    kinds = {o.name: o.type for o in graph.output}
    del graph.output[:]
    for name in names:
        info = graph.output.add(name=name)
        if name in kinds:
            info.type.CopyFrom(kinds[name])
            if info.type.HasField("tensor_type"):
                info.type.tensor_type.ClearField("shape")
    return out


def onnx_types(model):
    """ONNX's types by value; empty where it refuses the model."""
    try:
        inferred = shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)
    except Exception:
        return {}
    return {v.name: v.type.tensor_type for v in inferred.graph.output if v.type.HasField("tensor_type")}


def weaker(model, symbolic):
    """Values of which Slipway knows less than ONNX, or something else."""
    asked = bare(model, symbolic)
    known = onnx_types(asked)
    for info in asked.graph.output:
        if info.name in known and not info.type.WhichOneof("value"):
            info.type.tensor_type.elem_type = known[info.name].elem_type
    keep = [o for o in asked.graph.output if o.type.WhichOneof("value")]
    del asked.graph.output[:]
    asked.graph.output.extend(keep)
    if not known:
        return
    try:
        found = {o.name: o for o in slipway.InferenceSession(asked.SerializeToString()).get_outputs()}
    except slipway.errors.Error:
        return  # The ledger's matter.
    for name, kind in known.items():
        if name not in found or not kind.HasField("shape"):
            continue
        want = [d.dim_value if d.HasField("dim_value") else d.dim_param or None for d in kind.shape.dim]
        want = [None if str(w).startswith("unk__") else w for w in want]  # a name for what it does not know
        got = found[name].shape
        if got is None or len(got) != len(want):
            yield f"{name}: {got}, where ONNX finds {want}"
            continue
        for g, w in zip(got, want, strict=True):
            # With symbols for numbers ONNX finds some sizes to be 0, and takes the first of two symbols that broadcast.
            if isinstance(w, int) and g != w and not (symbolic and w == 0):
                yield f"{name}: {got}, where ONNX finds {want}"
                break


@pytest.fixture(scope="module")
def cases():
    return conformance.cases()


@pytest.mark.parametrize("symbolic", [False, True], ids=["numbers", "symbols"])
def test_backend_models(cases, symbolic):
    ledger = conformance.read_ledger()
    found = {}
    for case in cases:
        if ledger.get(case.name) != conformance.PASS or case.name.startswith(CARRIED + COUNTED):
            continue
        less = list(weaker(onnx.load_model_from_string(case.model), symbolic))
        if less:
            found[case.name] = less
    assert not found, "\n".join(f"{name}: {less}" for name, less in found.items())


@pytest.mark.parametrize("name", zoo.MODELS)
def test_zoo(name):
    try:
        path = zoo.export(name, "dynamo", 18, full=False)
    except zoo.CannotExport as reason:
        pytest.skip(str(reason))
    assert list(weaker(onnx.load(path), symbolic=False)) == []
