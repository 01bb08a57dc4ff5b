"""Small models that the tests of slipway.export share, and how they export them."""

import math
import warnings

import numpy as np
import pytest
import slipway
import torch
from slipway.errors import ExportError, ExportWarning
from torch import nn


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


class Classifier(nn.Module):
    """The first export listing of a tutorial: a convolution, pooling and a linear head."""

    def __init__(self):
        super().__init__()
        self.backbone = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d((1, 1)))
        self.head = nn.Linear(8, 10)

    def forward(self, pixel_values):
        return self.head(self.backbone(pixel_values).flatten(1))


class Branch(nn.Module):
    """A Python branch on values."""

    def forward(self, x):
        if x.mean() > 0:
            return x * 2
        return x - 1


class Fixed(nn.Module):
    """Takes a size for a Python number."""

    def forward(self, x):
        rows = int(x.shape[0])
        return x * rows


class TextClassifier(nn.Module):
    """nn.TransformerEncoder on token ids."""

    def __init__(self, vocabulary=100, width=32, layers=2):
        super().__init__()
        self.embed = nn.Embedding(vocabulary, width)
        self.positions = nn.Parameter(torch.randn(1, 64, width) * 0.1)
        layer = nn.TransformerEncoderLayer(width, 4, 64, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, layers)
        self.head = nn.Linear(width, 3)

    def forward(self, tokens):
        x = self.embed(tokens) + self.positions[:, : tokens.size(1)]
        return self.head(self.encoder(x).mean(1))


class MyGELU(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * 0.5 * (1.0 + torch.erf(x / math.sqrt(2)))

    @staticmethod
    def symbolic(g, x):
        return g.op("Gelu", x)

    @staticmethod
    def backward(ctx, grad):
        return grad


class Gelu(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(6, 6)

    def forward(self, x):
        return MyGELU.apply(self.linear(x))
