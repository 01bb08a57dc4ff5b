"""Fixtures that files of tests share."""

import numpy as np
import pytest


@pytest.fixture(params=range(6))
def rng(request):
    return np.random.default_rng(request.param)
