"""Activations and Maxout against closed forms, at special values, and their gradients."""

from __future__ import annotations

import math

import numpy as np
import pytest

from pynet import reference
from pynet.reference.layout import is_nhwc, to_nhwc

ACTIVATIONS = [
    ("none", 0.0, lambda v: v),
    ("relu", 0.0, lambda v: max(v, 0.0)),
    ("leaky_relu", 0.1, lambda v: v if v > 0 else 0.1 * v),
    ("elu", 0.7, lambda v: v if v > 0 else 0.7 * (math.exp(v) - 1)),
    ("sigmoid", 0.0, lambda v: 1 / (1 + math.exp(-v))),
    ("tanh", 0.0, math.tanh),
]


@pytest.mark.parametrize(("name", "alpha", "formula"), ACTIVATIONS)
@pytest.mark.parametrize("shape", [(), (5,), (0, 3), (2, 3, 4, 2)])
def test_activation(rng, check_gradient, name, alpha, formula, shape):
    x = np.asarray(3 * rng.standard_normal(shape))
    out = reference.activation_forward(x, name, alpha)
    expected = [formula(v) for v in x.ravel().tolist()]
    np.testing.assert_allclose(out, np.reshape(expected, shape), atol=1e-14)
    dout = np.asarray(rng.standard_normal(shape))
    dx = reference.activation_backward(dout, out, name, alpha)
    assert isinstance(out, np.ndarray)
    assert isinstance(dx, np.ndarray)
    check_gradient(lambda v: reference.activation_forward(v, name, alpha), x, dx, dout)


@pytest.mark.parametrize(("name", "alpha"), [(name, alpha) for name, alpha, _ in ACTIVATIONS])
def test_special_values_and_layout(name, alpha):
    x = np.array([np.nan, np.inf, -np.inf, -0.0, 1e4, -1e4], dtype=np.float32).reshape(1, 3, 1, 2)
    x = to_nhwc(x)
    out = reference.activation_forward(x, name, alpha)
    assert np.isnan(out.ravel()[0])
    assert not np.isnan(out.ravel()[1:]).any()
    assert out.dtype == np.float32
    assert is_nhwc(out)
    dx = reference.activation_backward(np.ones((1, 3, 1, 2), np.float32), out, name, alpha)
    assert dx.dtype == np.float32
    assert is_nhwc(dx)


def test_none_does_not_share_memory():
    x = np.zeros(3)
    assert not np.shares_memory(reference.activation_forward(x, "none", 0.0), x)
    assert not np.shares_memory(reference.activation_backward(x, x, "none", 0.0), x)


def test_relu_blocks_infinite_gradients_where_it_is_closed():
    dx = reference.activation_backward(np.array([np.inf, np.nan]), np.zeros(2), "relu", 0.0)
    np.testing.assert_array_equal(dx, [0, 0])


def test_unknown_activation():
    with pytest.raises(ValueError, match="'swish' is unknown"):
        reference.activation_forward(np.zeros(3), "swish", 0.0)
    with pytest.raises(ValueError, match="'swish' is unknown"):
        reference.activation_backward(np.zeros(3), np.zeros(3), "swish", 0.0)


@pytest.mark.parametrize("pieces", [1, 2, 3])
@pytest.mark.parametrize("rest", [(), (4,), (3, 2)])
@pytest.mark.parametrize("n", [0, 2])
def test_maxout(rng, check_gradient, n, pieces, rest):
    x = rng.standard_normal((n, 4 * pieces, *rest))
    out, indices = reference.maxout_forward(x, pieces)
    for c in range(4):
        candidates = np.stack([x[:, c * pieces + j] for j in range(pieces)])
        np.testing.assert_array_equal(out[:, c], candidates.max(axis=0))
        np.testing.assert_array_equal(indices[:, c], candidates.argmax(axis=0))
    assert indices.dtype == np.uint8
    dout = rng.standard_normal(out.shape)
    dx = reference.maxout_backward(dout, indices, pieces)
    check_gradient(lambda v: reference.maxout_forward(v, pieces)[0], x, dx, dout)
    if x.ndim == 4:
        assert is_nhwc(out)
        assert is_nhwc(indices)
        assert is_nhwc(dx)


def test_maxout_nan_wins_and_ties_go_to_the_first():
    out, indices = reference.maxout_forward(np.array([[1.0, np.nan, 5.0, 5.0]]), 2)
    np.testing.assert_array_equal(out, [[np.nan, 5.0]])
    np.testing.assert_array_equal(indices, [[1, 0]])
