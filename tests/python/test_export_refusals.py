"""slipway.export: what it refuses, and what it says."""

import warnings

import numpy as np
import pytest
import slipway
import torch
from export_models import Branch, export, refused
from torch import nn

import onnx


def test_branch_on_values():
    message = refused(Branch(), (torch.rand(1, 4),), dynamic_axes={"x": {0: "n"}})
    assert "Data-dependent control flow in Branch" in message
    assert "if x.mean() > 0:" in message and "export_models.py:" in message
    assert "torch.cond" in message and "torch.where" in message


def test_a_refusal_prints_nothing(capfd):
    """torch.export prints the graph that it has so far."""
    refused(Branch().eval(), (torch.randn(1, 4),))
    printed = capfd.readouterr()
    assert not printed.out and not printed.err


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
