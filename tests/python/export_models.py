"""Small models that the tests of slipway.export share."""

import math

import torch
from torch import nn


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
