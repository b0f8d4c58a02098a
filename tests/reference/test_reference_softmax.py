"""Softmax and log-softmax against closed forms, at extreme logits, and their gradients."""

from __future__ import annotations

import numpy as np
import pytest

from pynet import reference

SHAPES = [(3, 5), (1, 1), (4, 1), (0, 3), (2, 0)]


@pytest.mark.parametrize("shape", SHAPES)
def test_forward(rng, shape):
    x = 3 * rng.standard_normal(shape)
    expected = np.exp(x) / np.exp(x).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(reference.softmax_forward(x), expected, rtol=1e-13)
    np.testing.assert_allclose(reference.log_softmax_forward(x), np.log(expected), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    "forward, backward",
    [
        (reference.softmax_forward, reference.softmax_backward),
        (reference.log_softmax_forward, reference.log_softmax_backward),
    ],
)
def test_gradient(rng, check_gradient, shape, forward, backward):
    x, dout = rng.standard_normal((2, *shape))
    check_gradient(forward, x, backward(dout, forward(x)), dout)


def test_huge_logits():
    x = np.array([[1e5, 1e5 - 1, -1e5], [-1e300, 0.0, -np.inf]])
    p, log_p = reference.softmax_forward(x), reference.log_softmax_forward(x)
    np.testing.assert_allclose(p, [[1 / (1 + np.exp(-1)), 1 / (1 + np.e), 0], [0, 1, 0]])
    np.testing.assert_allclose(log_p[0], [-np.log1p(np.exp(-1)), -1 - np.log1p(np.exp(-1)), -2e5], rtol=1e-5)
    np.testing.assert_array_equal(log_p[1], [-1e300, 0, -np.inf])


@pytest.mark.parametrize("row", [[-np.inf, -np.inf], [np.inf, 0.0], [np.nan, 0.0]])
def test_undefined_rows_are_nan(row):
    x = np.array([row, [0.0, 0.0]])
    for out in (reference.softmax_forward(x), reference.log_softmax_forward(x)):
        assert np.isnan(out[0]).any()
        assert not np.isnan(out[1]).any()
