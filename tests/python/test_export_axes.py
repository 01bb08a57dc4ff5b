"""slipway.export: sizes that vary."""

import numpy as np
import pytest
import slipway
import torch
from export_models import Classifier, Fixed, TextClassifier, agrees, export, refused, session, shapes
from slipway.errors import ExportWarning
from torch import nn


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


def test_pinned_axis_of_a_module_of_pytorch_names_it():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()).eval()
    message = refused(model, (torch.randn(1, 3, 8, 8),), dynamic_axes={"input": {1: "channels"}}, strict_axes=True)
    assert "the module Conv2d(3, 4" in message


def test_pinned_axis_names_the_line_that_fixed_it():
    class Loop(nn.Module):
        def forward(self, x, mask):
            x, state = x * mask, torch.zeros(x.shape[0])
            for step in range(x.shape[1]):
                state = state * 0.5 + x[:, step]
            return state

    axes = {"x": {0: "n", 1: "t"}, "mask": {0: "n", 1: "t"}}
    report = export(Loop(), (torch.randn(1, 5), torch.ones(1, 5)), dynamic_axes=axes)
    assert all("for step in range" in a.line for a in report.axes if a.name == "t")


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
