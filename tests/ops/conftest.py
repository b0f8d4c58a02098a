"""What the tests of operations share: random inputs, gradient checks, float32 held to float64."""

from __future__ import annotations

import numpy as np
import pytest

import pynet


@pytest.fixture
def make():
    """make(*shape, low=None): a float64 Tensor that requires a gradient, the same numbers in every run."""
    rng = np.random.default_rng(7)

    def draw(*shape, low=None, dtype=np.float64, requires_grad=True):
        values = rng.standard_normal(shape) if low is None else rng.uniform(low, low + 2, shape)
        return pynet.tensor(values.astype(dtype), requires_grad=requires_grad)

    return draw


@pytest.fixture
def check_float32():
    """check_float32(fn, *tensors): outputs and gradients at float32 equal those at float64 to rounding."""

    def run(fn, inputs, dtype):
        copies = [pynet.tensor(t.array.astype(dtype), requires_grad=t.requires_grad) for t in inputs]
        out = fn(*copies)
        assert out.dtype == dtype
        weights = np.cos(np.arange(out.array.size)).reshape(out.shape).astype(dtype)
        out.backward(pynet.tensor(weights))
        return [out.detach().numpy(), *(t.grad.numpy() for t in copies if t.requires_grad)]

    def check(fn, *inputs, rtol=1e-4):
        single, double = run(fn, inputs, np.float32), run(fn, inputs, np.float64)
        for got, expected in zip(single, double, strict=True):
            assert got.dtype == np.float32
            scale = np.abs(expected).max(initial=1e-3)
            np.testing.assert_allclose(got, expected, rtol=rtol, atol=rtol * scale)

    return check
