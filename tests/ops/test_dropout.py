"""Dropout."""

from __future__ import annotations

import numpy as np
import pytest

import pynet
from pynet import ops
from pynet.random import Generator


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(5000,), (50, 100), (10, 5, 10, 10), (4, 25, 50)], ids=str)
def test_share_scale_and_gradient(dtype, shape):
    x = pynet.tensor(np.random.default_rng(0).uniform(1, 2, shape).astype(dtype), requires_grad=True)
    out = ops.dropout(x, 0.3, generator=Generator(5))
    kept = out.array != 0
    assert 0.66 < kept.mean() < 0.74
    np.testing.assert_allclose(out.array[kept], (x.array / dtype(0.7))[kept], rtol=1e-6)
    # A gradient in another memory order still meets the same mask.
    gradient = np.asfortranarray(np.ones(shape, dtype))
    out.backward(pynet.from_numpy(gradient))
    np.testing.assert_allclose(x.grad.array, kept / dtype(0.7), rtol=1e-6)


def test_input_order_does_not_matter():
    values = np.random.default_rng(0).standard_normal((2, 3, 4, 5))
    channels_last = np.ascontiguousarray(values.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    first = ops.dropout(pynet.from_numpy(values), generator=Generator(1))
    second = ops.dropout(pynet.from_numpy(channels_last), generator=Generator(1))
    np.testing.assert_array_equal(first.array, second.array)


def test_every_call_draws_another_mask_and_a_seed_repeats_it():
    x = pynet.ones(1000)
    pynet.manual_seed(3)
    first, second = ops.dropout(x).array, ops.dropout(x).array
    assert (first != second).any()
    pynet.manual_seed(3)
    np.testing.assert_array_equal(ops.dropout(x).array, first)


def test_single_and_double_draw_the_same_mask():
    masks = [
        ops.dropout(pynet.ones(500, dtype=t), 0.4, generator=Generator(9)).array != 0 for t in ("f4", "f8")
    ]
    np.testing.assert_array_equal(*masks)


def test_limits():
    x = pynet.tensor([1.0, np.inf], requires_grad=True)
    assert ops.dropout(x, 0.0) is x
    assert ops.dropout(x, 0.5, training=False) is x
    out = ops.dropout(x, 1.0)
    assert out.tolist() == [0.0, 0.0]
    out.sum().backward()
    assert x.grad.tolist() == [0.0, 0.0]
    for p in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match="p must be from 0 to 1"):
            ops.dropout(x, p)
    with pytest.raises(TypeError, match="dropout: x is int64"):
        ops.dropout(pynet.tensor([1, 2]))
