"""slipway.export: autograd Functions with a symbolic method, operators of torch.library."""

import pytest
import torch
from export_models import Gelu, MyGELU, agrees, export, refused
from slipway.errors import ExportError
from torch import nn

import onnx


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
    assert (
        "Bad.symbolic" in message and "must end in _i, _f, _s or _t" in message and "test_export_custom.py:" in message
    )


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
    assert "slipway_tests" in message and "threshold" in message and "test_export_custom.py:" in message
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
