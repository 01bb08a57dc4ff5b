"""slipway.export: what it writes, reports and refuses. Exported models run in Slipway and are compared with PyTorch."""

import io
import json
import sys
import warnings

import numpy as np
import pytest
import slipway
import torch
from export_models import Branch, Classifier, Fixed, Gelu, MyGELU, TextClassifier
from slipway.errors import ExportError, ExportWarning
from torch import nn

import onnx


def export(model, args, path=None, **options):
    """An export without noise; its report."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExportWarning)
        return slipway.export(model, args, path, progress=False, **options)


def refused(model, args, **options):
    with pytest.raises(ExportError) as caught:
        export(model, args, **options)
    return str(caught.value)


def shapes(report):
    return {t.name: t.shape for t in (*session(report).get_inputs(), *session(report).get_outputs())}


def session(report):
    return slipway.InferenceSession(report.model if report.model is not None else report.path)


def agrees(report, model, *args, **kwargs):
    """The report's file gives PyTorch's results on these arguments."""
    with torch.no_grad():
        want = [t for t in torch.utils._pytree.tree_leaves(model(*args, **kwargs)) if t is not None]
    names = [i.name for i in session(report).get_inputs()]
    tensors = [t for t in torch.utils._pytree.tree_leaves((args, kwargs)) if isinstance(t, torch.Tensor)]
    got = session(report).run(None, dict(zip(names, (t.numpy() for t in tensors), strict=True)))
    for a, b in zip(got, want, strict=True):
        np.testing.assert_allclose(a, b.numpy(), rtol=1e-3, atol=1e-5)


# ---- The call and what it gives ------------------------------------------------------------------------


def test_call_as_torch_onnx_export(tmp_path):
    model = Classifier().eval()
    path = tmp_path / "model.onnx"
    report = export(
        model,
        torch.randn(1, 3, 16, 16),
        str(path),
        export_params=True,
        opset_version=17,
        do_constant_folding=True,
        input_names=["input"],
        output_names=["output"],
        dynamic_axes={"input": {0: "batch_size", 2: "h", 3: "w"}, "output": {0: "batch_size"}},
        verbose=False,
    )
    onnx.checker.check_model(str(path))
    assert shapes(report) == {"input": ["batch_size", 3, "h", "w"], "output": ["batch_size", 10]}
    assert onnx.load(path).opset_import[0].version == 17
    agrees(report, model, torch.randn(5, 3, 20, 13))
    assert report.ok and report.check() is report
    assert len(report.runs) >= 3 and report.runs[0].inputs == {"input": [1, 3, 16, 16]}
    assert {"capture", "convert", "write", "verify", "total"} <= set(report.seconds)


@pytest.mark.parametrize("place", ["f", "stream", "bytes"])
def test_destinations(tmp_path, place):
    model, x = nn.Linear(3, 2).eval(), torch.randn(1, 3)
    if place == "f":
        report = export(model, (x,), f=tmp_path / "m.onnx")
        assert report.path == str(tmp_path / "m.onnx")
    elif place == "stream":
        stream = io.BytesIO()
        export(model, (x,), stream)
        assert slipway.InferenceSession(stream.getvalue()).get_outputs()[0].shape == [1, 2]
    else:
        agrees(export(model, (x,)), model, x)


def test_report_reads_as_text_and_json(tmp_path):
    report = export(nn.Linear(3, 2).eval(), (torch.randn(1, 3),), dynamic_axes={"input": {0: "n"}})
    report.save(tmp_path / "report.json")
    told = json.loads((tmp_path / "report.json").read_text())
    assert told["ok"] and told["verified"] and told["runs"][0]["outputs"][0]["ok"]
    assert told["axes"] == [{"tensor": "input", "axis": 0, "name": "n", "dynamic": True, "size": None, "line": None}]
    assert told["tolerance"] == {"type": "float32", "rtol": 1e-3, "atol": 1e-5}
    assert told["nodes_before"] >= told["nodes_after"] >= 1
    assert "verified" in str(report) and "time" in str(report)


def test_metadata_says_what_made_the_file():
    report = export(Classifier().eval(), (torch.randn(1, 3, 8, 8),), dynamic_axes={"pixel_values": {0: "n"}})
    told = {p.key: p.value for p in onnx.load_from_string(report.model).metadata_props}
    assert told["slipway.torch_version"] == torch.__version__
    assert told["slipway.version"] == slipway.__version__
    assert told["slipway.opset_version"] == "17"
    call = json.loads(told["slipway.arguments"])
    assert call["dynamic_axes"] == {"pixel_values": {"0": "n"}} and call["example"] == {"pixel_values": [1, 3, 8, 8]}
    assert told["slipway.time"].startswith("20")


@pytest.mark.parametrize("opset", [11, 18, 20])
def test_nodes_say_their_line(opset):
    """Also those that an older opset takes apart."""

    class Model(nn.Module):
        def forward(self, x):
            return nn.functional.gelu(x) * x.shape[0]

    report = export(Model(), torch.ones(2, 4), opset_version=opset, dynamic_axes={"x": [0]})
    lines = {n.doc_string for n in onnx.load_model_from_string(report.model).graph.node}
    assert len(lines) == 1
    assert lines.pop().endswith("gelu(x) * x.shape[0]")


def test_axes_of_one_name_are_one_though_the_model_never_compares_them():
    class Model(nn.Module):
        def forward(self, a, b):
            return a * 2, b + 1

    axes = {"a": {0: "n"}, "b": {0: "n"}}
    report = export(Model(), (torch.ones(1, 3), torch.ones(1, 4)), dynamic_axes=axes, output_names=["c", "d"])
    assert shapes(report) == {"a": ["n", 3], "b": ["n", 4], "c": ["n", 3], "d": ["n", 4]}


def test_import_leaves_torch_alone():
    import subprocess

    code = "import sys, slipway; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


class Nested(nn.Module):
    def forward(self, x, pair, table, extra=None, scale=2.0):
        y = x * pair[0] + pair[1] - table["bias"]
        return {"y": y * scale, "none": extra, "more": [y.sum(1), (y.mean(), x)]}


def test_nested_inputs_and_outputs():
    def inputs(n):
        return torch.randn(n, 4), (torch.randn(n, 4), torch.randn(4)), {"bias": torch.randn(1)}

    axes = {"x": {0: "n"}, "pair_0": {0: "n"}}
    report = export(Nested().eval(), inputs(1), dynamic_axes=axes)
    assert [i.name for i in session(report).get_inputs()] == ["x", "pair_0", "pair_1", "table_bias"]
    assert [o.name for o in session(report).get_outputs()] == ["y", "more_0", "more_1_0", "more_1_1"]
    agrees(report, Nested(), *inputs(3))


class Optional(nn.Module):
    def forward(self, x, mask=None, context=None, bias=None, negate=False):
        y = x if mask is None else x.masked_fill(mask, 0)
        y = y if context is None else y + context
        y = y if bias is None else y * bias
        return -y if negate else y


def test_keywords_and_none():
    x, bias = torch.randn(1, 5), torch.randn(1, 1)
    report = export(
        Optional().eval(), (x, None), kwargs={"bias": bias, "negate": True}, dynamic_axes={"x": [0], "bias": {0: "b"}}
    )
    assert [i.name for i in session(report).get_inputs()] == ["x", "bias"]
    got = session(report).run(None, {"x": np.ones((3, 5), np.float32), "bias": np.full((3, 1), 2, np.float32)})
    assert np.array_equal(got[0], np.full((3, 5), -2, np.float32))


def test_keywords_last_in_args():
    model = Optional().eval()
    for args in ((torch.randn(2, 5), {"bias": torch.randn(2, 1)}), {"x": torch.randn(2, 5), "bias": torch.randn(2, 1)}):
        assert [i.name for i in session(export(model, args)).get_inputs()] == ["x", "bias"]


def test_function_and_program():
    def double(a, b):
        return a * 2 + b

    x = torch.randn(1, 3)
    report = export(double, (x, x), dynamic_axes={"a": {0: "n"}, "b": {0: "n"}})
    assert shapes(report)["a"] == ["n", 3]
    program = torch.export.export(nn.Linear(3, 2).eval(), (x,), strict=False)
    agrees(export(program, (x,)), program.module(), x)


def test_parameters_keep_their_names_and_tied_ones_are_one():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = nn.Embedding(20, 8)
            self.head = nn.Linear(8, 20, bias=False)
            self.head.weight = self.embed.weight
            self.norm = nn.LayerNorm(8)

        def forward(self, tokens):
            return self.head(self.norm(self.embed(tokens)))

    model = Tied().eval()
    report = export(model, (torch.zeros(1, 4, dtype=torch.long),), dynamic_axes={"tokens": {0: "n", 1: "t"}})
    held = [i.name for i in onnx.load_from_string(report.model).graph.initializer]
    assert {"embed.weight", "norm.weight", "norm.bias"} <= set(held)
    assert len(report.model) < 2 * 20 * 8 * 4 + 4000
    agrees(report, model, torch.randint(0, 20, (3, 7)))


def test_model_is_left_as_it_was():
    model = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Dropout(0.5))
    model[0].eval()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    x = torch.randn(1, 4, requires_grad=True)
    with pytest.warns(ExportWarning, match="training mode.*model.eval"):
        report = slipway.export(model, (x,), dynamic_axes={"input": {0: "n"}})
    assert [m.training for m in model.modules()] == [True, False, True, True]
    assert type(model) is nn.Sequential and "forward" not in vars(model)
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())
    agrees(report, model.eval(), torch.randn(4, 4))


@pytest.mark.parametrize("kind, expected", [(torch.float16, "float16"), (torch.bfloat16, "bfloat16")])
def test_half_types(kind, expected):
    model = nn.Sequential(nn.Linear(8, 8), nn.GELU()).eval().to(kind)
    report = export(model, (torch.randn(1, 8).to(kind),), dynamic_axes={"input": {0: "n"}}, opset_version=22)
    assert report.tolerance["type"] == expected and report.ok, str(report)


# ---- Dynamic axes --------------------------------------------------------------------------------------


def test_axis_forms():
    x = torch.randn(1, 4, 6)
    model = nn.Linear(6, 2).eval()
    forms = [
        {"dynamic_axes": {"input": {0: "a", 1: "b"}}},
        {"dynamic_axes": {"input": {-3: "a", -2: "b"}}},
        {"dynamic_shapes": {"input": {0: "a", 1: "b"}}},
        {"dynamic_shapes": ({0: torch.export.Dim("a"), 1: torch.export.Dim("b", min=1, max=9)},)},
        {"dynamic_shapes": [(torch.export.Dim("a"), torch.export.Dim("b"), None)]},
    ]
    for form in forms:
        assert shapes(export(model, (x,), **form))["input"] == ["a", "b", 6], form
    listed = export(model, (x,), dynamic_axes={"input": [0, 1]})
    assert shapes(listed)["input"] == ["input_dynamic_axes_1", "input_dynamic_axes_2", 6]


def test_outputs_that_are_not_listed_vary_all_the_same():
    report = export(nn.Linear(6, 2).eval(), (torch.randn(1, 4, 6),), dynamic_axes={"input": {0: "n", 1: "t"}})
    assert shapes(report)["output"] == ["n", "t", 2]


def test_equal_sizes_are_not_taken_for_one_another():
    class Outer(nn.Module):
        def forward(self, a, b):
            return a[:, :, None] * b[:, None, :]

    axes = {"a": {0: "n", 1: "i"}, "b": {0: "n", 1: "j"}}
    report = export(Outer(), (torch.randn(1, 8), torch.randn(1, 8)), dynamic_axes=axes, output_names=["y"])
    assert shapes(report)["y"] == ["n", "i", "j"]
    agrees(report, Outer(), torch.randn(3, 2), torch.randn(3, 9))


def test_axes_that_the_model_ties():
    class Cache(nn.Module):
        """As in a decoder: the mask is as long as the past and the new tokens together."""

        def forward(self, x, past, mask):
            y = torch.cat([past, x], dim=1)
            return y * mask.unsqueeze(-1), y

    def inputs(n, past, new):
        return torch.randn(n, new, 4), torch.randn(n, past, 4), torch.ones(n, past + new)

    axes = {"x": {0: "n", 1: "new"}, "past": {0: "n", 1: "past"}, "mask": {0: "n", 1: "total"}}
    report = export(Cache(), inputs(1, 6, 1), dynamic_axes=axes)
    assert all(a.dynamic for a in report.axes), report
    agrees(report, Cache(), *inputs(2, 3, 4))


def test_length_of_recurrent_layers_stays_dynamic():
    report = export(nn.LSTM(4, 6).eval(), (torch.randn(9, 1, 4),), dynamic_axes={"input": {0: "t", 1: "n"}})
    assert all(a.dynamic for a in report.axes), report


def test_pinned_axis_is_a_warning_with_the_line():
    report = export(Fixed(), (torch.randn(3, 5),), dynamic_axes={"x": {0: "rows", 1: "columns"}})
    assert shapes(report)["x"] == [3, "columns"]
    (warning,) = [w for w in report.warnings if "rows" in w]
    assert "rows = int(x.shape[0])" in warning and "export_models.py:" in warning and "size 3" in warning
    axis = report.axes[0]
    assert (axis.dynamic, axis.size) == (False, 3) and "export_models.py:" in axis.line


def test_pinned_axis_of_size_one_keeps_the_size_of_the_example():
    report = export(Fixed(), (torch.randn(1, 5),), dynamic_axes={"x": {0: "rows"}})
    assert shapes(report)["x"] == [1, 5] and report.ok


def test_pinned_channels():
    axes = {"input": {0: "batch_size", 1: "channels"}, "output": {0: "batch_size"}}
    names = {"input_names": ["input"], "output_names": ["output"]}
    report = export(Classifier().eval(), torch.randn(1, 3, 16, 16), dynamic_axes=axes, **names)
    assert shapes(report)["input"] == ["batch_size", 3, 16, 16]
    (warning,) = report.warnings
    assert "channels" in warning and "self.backbone(pixel_values)" in warning
    message = refused(Classifier().eval(), torch.randn(1, 3, 16, 16), dynamic_axes=axes, strict_axes=True, **names)
    assert "Axis 1 of 'input' ('channels') cannot be dynamic" in message and "self.backbone" in message


def test_branches_on_sizes_are_told():
    class Padded(nn.Module):
        def forward(self, x):
            if x.shape[1] % 4 == 0:
                return x.reshape(x.shape[0], -1, 4).sum(-1)
            return x

    report = export(Padded(), (torch.randn(1, 8),), dynamic_axes={"x": {0: "n", 1: "t"}})
    assert any("(t % 4) == 0" in w and "if x.shape[1] % 4 == 0" in w for w in report.warnings), report.warnings


@pytest.mark.parametrize(
    "axes, message",
    [
        ({"inptu": {0: "n"}}, "neither an input nor an output. Did you mean 'input'?"),
        ({"input": {5: "n"}}, "has 2 axes, so it has no axis 5"),
        ({"input": "n"}, "a dict {axis: name} or a list"),
        ({"input": {"0": "n"}}, "must be integers"),
        ({"input": {0: 3}}, "must be strings"),
        ({"output": {7: "n"}}, "has 2 axes, so it has no axis 7"),
        (["input"], "must be a dict"),
    ],
)
def test_bad_axes(axes, message):
    assert message in refused(nn.Linear(3, 2).eval(), (torch.randn(1, 3),), dynamic_axes=axes)


# ---- What is refused -----------------------------------------------------------------------------------


def test_branch_on_values():
    message = refused(Branch(), (torch.rand(1, 4),), dynamic_axes={"x": {0: "n"}})
    assert "Data-dependent control flow in Branch" in message
    assert "if x.mean() > 0:" in message and "export_models.py:" in message
    assert "torch.cond" in message and "torch.where" in message


def test_model_that_fails_by_itself():
    message = refused(nn.Linear(3, 2).eval(), (torch.randn(1, 4),))
    assert "fails on the example itself" in message and "input [1, 4]" in message


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: torch.jit.script(nn.Linear(3, 2)), "TorchScript"),
        (lambda: nn.Linear, "the class Linear, not an instance"),
        (lambda: 3, "an nn.Module or a function"),
    ],
)
def test_bad_models(make, message):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = make()
    assert message in refused(model, (torch.randn(1, 3),))


@pytest.mark.parametrize(
    "options, message",
    [
        ({"opset_version": 99}, "opset_version is 99, but must be 7 to"),
        ({"input_names": ["a", "b"]}, "input_names has 2 names"),
        ({"output_names": ["y", "y"]}, "twice"),
        ({"input_names": ["a"], "output_names": ["a"]}, "the name of an input and of an output"),
        ({"kwargs": {"inptu": 3}}, "cannot be called with this example"),
        ({"path": "/no/such/folder/m.onnx"}, "folder '/no/such/folder' does not exist"),
        ({"verify": "loosely"}, "verify must be"),
        ({"training": torch.onnx.TrainingMode.TRAINING}, "TRAINING"),
    ],
)
def test_bad_arguments(options, message):
    assert message in refused(nn.Linear(3, 2).eval(), (torch.randn(1, 3),), **options)


def test_a_file_without_weights(tmp_path):
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(16, 5)).eval()
    example = torch.randn(1, 3, 4, 4)
    path = tmp_path / "model.onnx"
    report = slipway.export(model, (example,), path, input_names=["image"], export_params=False)
    assert report.verified
    graph = onnx.load(path).graph
    weights = {k: v.numpy() for k, v in model.state_dict().items() if "num_batches" not in k}
    shapes = {i.name: [d.dim_value for d in i.type.tensor_type.shape.dim] for i in graph.input}
    assert shapes == {"image": [1, 3, 4, 4]} | {k: list(v.shape) for k, v in weights.items()}
    assert graph.input[0].name == "image"
    assert not {i.name for i in graph.initializer} & weights.keys()
    session = slipway.InferenceSession(str(path))
    got = session.run(None, {"image": example.numpy(), **weights})[0]
    np.testing.assert_allclose(got, model(example).detach().numpy(), rtol=1e-4, atol=1e-5)


def test_unknown_argument():
    with pytest.raises(TypeError, match="Did you mean 'dynamic_axes'"):
        slipway.export(nn.Linear(3, 2), (torch.randn(1, 3),), dynamic_axis={})


def test_devices():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.here, self.there = nn.Linear(3, 3), nn.Linear(3, 3, device="meta")

        def forward(self, x):
            return self.there(self.here(x))

    message = refused(Two().eval(), (torch.randn(1, 3),))
    assert "there.weight, there.bias" in message and "meta" in message
    message = refused(nn.Linear(3, 3).eval(), (torch.empty(1, 3, device="meta"),))
    assert "no data (device meta): input" in message


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs two devices")
def test_mixed_devices():
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3)).eval()
    model[1].cuda()
    message = refused(model, (torch.randn(1, 3),))
    assert "cpu: 0.weight, 0.bias" in message and "cuda:0: 1.weight, 1.bias" in message
    report = export(model.cuda(), (torch.randn(1, 3),), dynamic_axes={"input": {0: "n"}})
    assert report.ok and any("was moved there" in w for w in report.warnings)


# ---- Custom operators ----------------------------------------------------------------------------------


def nodes(report):
    return [(n.domain, n.op_type) for n in onnx.load_from_string(report.model).graph.node]


def test_symbolic_of_a_function():
    model = Gelu().eval()
    report = export(model, (torch.randn(1, 6),), dynamic_axes={"x": {0: "n"}}, opset_version=20)
    assert ("", "Gelu") in nodes(report)
    agrees(report, model, torch.randn(4, 6))
    older = export(model, (torch.randn(1, 6),), dynamic_axes={"x": {0: "n"}}, opset_version=20)
    agrees(older, model, torch.randn(4, 6))
    y = MyGELU.apply(torch.ones(2, requires_grad=True))
    assert y.requires_grad  # apply is PyTorch's own again


def test_symbolic_with_attributes_domain_and_outputs():
    class Scale(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, alpha, weights):
            return x * alpha, x + weights

        @staticmethod
        def symbolic(g, x, alpha, weights):
            scaled = g.op("mylib::Scale", x, alpha_f=alpha, axes_i=[1, 2], mode_s="fast", table_t=torch.ones(2))
            return scaled, g.op("Add", x, g.op("Constant", value_t=torch.full((4,), 2.0)))

    class Model(nn.Module):
        def forward(self, x):
            a, b = Scale.apply(x, 1.5, torch.full((4,), 2.0))
            return a, b * 2

    report = export(Model(), (torch.randn(1, 4),), dynamic_axes={"x": {0: "n"}}, custom_opsets={"mylib": 3})
    proto = onnx.load_from_string(report.model)
    (node,) = [n for n in proto.graph.node if n.domain == "mylib"]
    held = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
    assert held["alpha"] == 1.5 and list(held["axes"]) == [1, 2] and held["mode"] == b"fast"
    assert {o.domain: o.version for o in proto.opset_import}["mylib"] == 3
    assert report.verified is None and "mylib" in report.verification


def test_symbolic_that_fails_is_named():
    class Bad(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x + 1

        @staticmethod
        def symbolic(g, x):
            return g.op("Add", x, alpha=3)

    message = refused(lambda x: Bad.apply(x), (torch.randn(2),))
    assert "Bad.symbolic" in message and "must end in _i, _f, _s or _t" in message and "test_export.py:" in message


@pytest.fixture(scope="module")
def threshold():
    @torch.library.custom_op("slipway_tests::threshold", mutates_args=())
    def op(x: torch.Tensor, bound: float) -> torch.Tensor:
        return x.sign() * (x.abs() - bound).clamp(min=0)

    @op.register_fake
    def _(x, bound):
        return torch.empty_like(x)

    class Model(nn.Module):
        def forward(self, x):
            return torch.ops.slipway_tests.threshold(x * 2, 0.25) + torch.ops.slipway_tests.threshold(x, 1.0)

    return Model(), op


def test_library_operator_without_translation(threshold):
    message = refused(threshold[0], (torch.randn(1, 4),))
    assert "slipway_tests" in message and "threshold" in message and "test_export.py:" in message
    assert "custom_translation_table" in message


@pytest.mark.parametrize("argument", ["custom_translation_table", "custom_ops"])
def test_library_operator_with_translation(threshold, argument):
    from onnxscript import opset18 as op

    def translation(x, bound: float):
        return op.Shrink(x, lambd=bound, bias=bound)

    model, custom = threshold
    keys = (
        torch.ops.slipway_tests.threshold.default,
        torch.ops.slipway_tests.threshold,
        custom,
        "slipway_tests::threshold",
    )
    for key in keys:
        report = export(model, (torch.randn(1, 4),), dynamic_axes={"x": {0: "n"}}, **{argument: {key: translation}})
        assert nodes(report).count(("", "Shrink")) == 2
        agrees(report, model, torch.randn(3, 4))


def test_translation_with_python_operators(threshold):
    from onnxscript import opset18 as op

    def translation(x, bound: float):
        rest = op.Abs(x) - bound
        return op.Sign(x) * op.Max(rest, rest * 0.0)

    report = export(
        threshold[0], (torch.randn(1, 4),), custom_translation_table={"slipway_tests::threshold": translation}
    )
    assert report.ok, report


def test_translation_that_fails_is_named(threshold):
    def translation(x, bound):
        raise ValueError("no such thing")

    message = refused(
        threshold[0], (torch.randn(1, 4),), custom_translation_table={"slipway_tests::threshold": translation}
    )
    assert "the translation 'translation' of slipway_tests.threshold" in message and "no such thing" in message


# ---- Verification --------------------------------------------------------------------------------------


def test_wrong_translation_is_an_error(threshold, tmp_path):
    from onnxscript import opset18 as op

    table = {"slipway_tests::threshold": lambda x, bound: op.Neg(x)}
    path = tmp_path / "wrong.onnx"
    message = refused(threshold[0], (torch.randn(1, 4),), path=path, custom_translation_table=table)
    assert "not what PyTorch gives" in message and "PyTorch's" in message
    report = export(threshold[0], (torch.randn(1, 4),), path, custom_translation_table=table, verify="warn")
    assert report.verified is False and not report.ok and "outside rtol" in report.verification
    with pytest.raises(ExportError, match="not verified"):
        report.check()


def test_random_models_are_not_compared():
    report = export(lambda x: x + torch.rand_like(x), (torch.randn(1, 4),))
    assert report.verified is None and "random" in report.verification


def test_tolerance_grows_with_the_output():
    """Sums of thousands are rounded in their last digits; near 0 there these look large."""
    from slipway.exporter.verify import compare

    want = np.array([4000.0, -3000.0, 0.001], np.float32)
    got = want + np.float32(2e-3)
    assert compare("y", got, want, 1e-3, 1e-5)[0].ok
    assert not compare("y", got, want, 1e-3, 1e-5, grows=False)[0].ok
    small = np.array([0.5, -0.2, 0.001], np.float32)
    assert not compare("y", small + np.float32(2e-3), small, 1e-3, 1e-5)[0].ok
    masked = np.array([-1e9, -1e9, 0.001], np.float32)
    assert not compare("y", masked + np.array([0, 0, 2e-3], np.float32), masked, 1e-3, 1e-5)[0].ok


def test_tolerances_can_be_given():
    report = export(TextClassifier().eval(), (torch.randint(0, 100, (1, 8)),), rtol=0, atol=0, verify="warn")
    assert report.verified is False and report.max_error < 1e-4
    message = refused(TextClassifier().eval(), (torch.randint(0, 100, (1, 8)),), rtol=0, atol=0, verify="strict")
    assert "outside rtol 0, atol 0" in message


# ---- The listings that people follow -------------------------------------------------------------------


def test_text_classifier_with_a_dynamic_sequence():
    model = TextClassifier()
    with pytest.warns(ExportWarning, match="training mode"):
        report = slipway.export(
            model,
            torch.randint(0, 100, (1, 32)),
            None,
            input_names=["input_ids"],
            output_names=["logits"],
            dynamic_axes={"input_ids": {0: "batch", 1: "sequence"}, "logits": {0: "batch"}},
        )
    assert shapes(report) == {"input_ids": ["batch", "sequence"], "logits": ["batch", 3]}
    agrees(report, model.eval(), torch.randint(0, 100, (4, 11)))


def test_missing_dynamic_axes_is_told_when_it_runs():
    report = export(Classifier().eval(), (torch.randn(1, 3, 16, 16),))
    assert shapes(report)["pixel_values"] == [1, 3, 16, 16]
    with pytest.raises(slipway.Error, match="pixel_values"):
        session(report).run(None, {"pixel_values": np.zeros((2, 3, 16, 16), np.float32)})
