"""Softmax and log-softmax."""

from __future__ import annotations

import numpy as np
import pytest

import pynet
from pynet import gradcheck, ops


def oracle(x, dim):
    e = np.exp(x - x.max(dim, keepdims=True))
    return e / e.sum(dim, keepdims=True)


@pytest.mark.parametrize(
    ("shape", "dim"),
    [
        *[((4, 5), 1), ((4, 5), 0), ((2, 3), -2), ((0, 3), 1)],
        *[((), 0), ((3,), 0), ((2, 3, 4), 1), ((2, 3, 2, 2), 1)],
    ],
)
def test_softmax(shape, dim, make, check_float32):
    x = make(*shape)
    if x.numel():
        np.testing.assert_allclose(ops.softmax(x, dim).array, oracle(x.array, dim))
        np.testing.assert_allclose(ops.log_softmax(x, dim).array, np.log(oracle(x.array, dim)))
        assert gradcheck(lambda t: ops.softmax(t, dim), (x,))
        assert gradcheck(lambda t: ops.log_softmax(t, dim), (x,))
    check_float32(lambda t: ops.softmax(t, dim), x)
    check_float32(lambda t: ops.log_softmax(t, dim), x)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_huge_logits(dtype):
    x = pynet.tensor([[1e4, 0.0, -1e4]], dtype=dtype)
    assert ops.softmax(x, 1).tolist() == [[1.0, 0.0, 0.0]]
    assert ops.log_softmax(x, 1).tolist() == [[0.0, -1e4, -2e4]]


def test_errors():
    with pytest.raises(IndexError, match="dim 2 is out of range"):
        ops.softmax(pynet.zeros(2, 3), 2)
    with pytest.raises(TypeError, match="softmax: x is int64"):
        ops.softmax(pynet.tensor([1, 2]), 0)
