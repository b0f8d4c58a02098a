"""The numeric gradient that every backward function of the reference is held to, and seeded test data."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

STEP = 1e-6


def numeric_gradient(
    function: Callable[[np.ndarray], np.ndarray], x: np.ndarray, dout: np.ndarray
) -> np.ndarray:
    """Return the gradient of sum(dout * function(x)) by central differences, one element of x at a time."""
    dx = np.zeros(x.shape)
    for index in np.ndindex(x.shape):
        above, below = x.copy(), x.copy()
        above[index] += STEP
        below[index] -= STEP
        dx[index] = (dout * (function(above) - function(below))).sum() / (2 * STEP)
    return dx


@pytest.fixture
def check_gradient():
    """Return check(function, x, dx, dout): dx must be float64, of x's shape, and the numeric gradient."""

    def check(function, x, dx, dout):
        assert dx.shape == x.shape
        assert dx.dtype == np.float64
        np.testing.assert_allclose(dx, numeric_gradient(function, x, dout), rtol=1e-6, atol=1e-7)

    return check


@pytest.fixture
def rng():
    return np.random.default_rng(20240917)
