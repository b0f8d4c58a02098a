"""Activation functions."""

from __future__ import annotations

import numpy as np
import pytest

import pynet
from pynet import gradcheck, ops

FUNCTIONS = {
    "relu": (lambda t: ops.relu(t), lambda x: np.maximum(x, 0)),
    "leaky_relu": (lambda t: ops.leaky_relu(t, 0.2), lambda x: np.where(x > 0, x, 0.2 * x)),
    "leaky_relu 0": (lambda t: ops.leaky_relu(t, 0.0), lambda x: np.maximum(x, 0)),
    "elu": (lambda t: ops.elu(t, 1.5), lambda x: np.where(x > 0, x, 1.5 * np.expm1(np.minimum(x, 0)))),
    "sigmoid": (ops.sigmoid, lambda x: 1 / (1 + np.exp(-x))),
    "tanh": (ops.tanh, np.tanh),
}


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("shape", [(7,), (3, 5), (2, 3, 4, 5), (0, 3), ()], ids=str)
def test_values_and_gradients(name, shape, make, check_float32):
    function, oracle = FUNCTIONS[name]
    x = make(*shape)
    np.testing.assert_allclose(function(x).array, oracle(x.array), atol=1e-15)
    if 0 < x.numel() <= 35:
        assert gradcheck(function, (x,))
    check_float32(function, x)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_extreme_values(name, dtype):
    x = pynet.tensor([np.nan, np.inf, -np.inf, 1e4, -1e4], dtype=dtype)
    out = FUNCTIONS[name][0](x).array
    with np.errstate(all="ignore"):
        expected = FUNCTIONS[name][1](x.array.astype(np.float64))
    if name.startswith("leaky_relu 0"):
        expected[2] = out[2]  # 0 * -inf is anybody's guess
    np.testing.assert_allclose(out, expected, rtol=1e-5, atol=1e-6)
    assert np.isnan(out[0])


def test_relu_at_zero():
    x = pynet.tensor([0.0, -0.0, 1.0], requires_grad=True)
    ops.relu(x, inplace=True).sum().backward()
    assert x.grad.tolist() == [0.0, 0.0, 1.0]
    assert x.tolist() == [0.0, 0.0, 1.0]


def test_memory_order_survives():
    maps = pynet.tensor(np.random.default_rng(0).standard_normal((2, 4, 5, 3)).transpose(0, 3, 1, 2))
    assert ops.relu(maps).array.transpose(0, 2, 3, 1).flags.c_contiguous


@pytest.mark.parametrize("shape", [(3, 6), (2, 6, 4), (2, 6, 3, 2), (0, 6)], ids=str)
@pytest.mark.parametrize("pieces", [1, 2, 3])
def test_maxout(shape, pieces, make, check_float32):
    x = make(*shape)
    out = ops.maxout(x, pieces)
    expected = x.array.reshape(shape[0], 6 // pieces, pieces, *shape[2:]).max(2)
    np.testing.assert_array_equal(out.array, expected)
    if x.numel():
        assert gradcheck(lambda t: ops.maxout(t, pieces), (x,))
    check_float32(lambda t: ops.maxout(t, pieces), x)


def test_errors():
    with pytest.raises(TypeError, match="relu: x is int64"):
        ops.relu(pynet.tensor([1, 2]))
    with pytest.raises(TypeError, match="must be a Tensor, got list"):
        ops.relu([1.0])
    with pytest.raises(ValueError, match=r"leaky_relu: alpha must be a number >= 0, got -0.1"):
        ops.leaky_relu(pynet.ones(2), -0.1)
    with pytest.raises(ValueError, match="elu: alpha"):
        ops.elu(pynet.ones(2), float("nan"))
    with pytest.raises(ValueError, match="multiple of pieces=4"):
        ops.maxout(pynet.ones(2, 6), 4)
    with pytest.raises(ValueError, match="pieces must be from 1"):
        ops.maxout(pynet.ones(2, 6), 0)
