import torch
from programs import check
from torch import nn


def test_linear_relu(tmp_path):
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
    check(model, [(torch.randn(3, 4),), (torch.randn(1, 4),)], tmp_path, nodes=3)
