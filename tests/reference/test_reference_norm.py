"""Batch normalisation: moments, closed form, and gradients through the statistics."""

from __future__ import annotations

import numpy as np
import pytest

from pynet import reference
from pynet.reference.layout import is_nhwc

EPS = 1e-5


def test_statistics(rng):
    x = 1e3 + rng.standard_normal((4, 3, 5, 2))
    mean, var = reference.batch_norm_statistics(x)
    for c in range(3):
        assert mean[c] == pytest.approx(np.mean(x[:, c]))
        assert var[c] == pytest.approx(np.var(x[:, c]))


@pytest.mark.parametrize("shape", [(0, 3, 2, 2), (2, 0, 2, 2), (2, 3, 0, 2)])
def test_statistics_of_nothing_are_zero(shape):
    mean, var = reference.batch_norm_statistics(np.zeros(shape))
    np.testing.assert_array_equal(mean, np.zeros(shape[1]))
    np.testing.assert_array_equal(var, np.zeros(shape[1]))


def test_training_output_is_standardised(rng):
    x = 5 + 3 * rng.standard_normal((8, 3, 4, 4))
    out = reference.batch_norm_forward(
        x, *reference.batch_norm_statistics(x), None, None, EPS, None, "none", 0.0
    )
    np.testing.assert_allclose(out.mean(axis=(0, 2, 3)), 0, atol=1e-12)
    np.testing.assert_allclose(out.var(axis=(0, 2, 3)), 1, atol=1e-5)
    assert is_nhwc(out)


def test_forward_is_the_formula(rng):
    x, residual = rng.standard_normal((2, 3, 2, 4)), rng.standard_normal((2, 3, 2, 4))
    mean, weight, bias = rng.standard_normal((3, 3))
    var = rng.random(3)
    out = reference.batch_norm_forward(x, mean, var, weight, bias, EPS, residual, "leaky_relu", 0.2)
    for n, c, i, j in np.ndindex(x.shape):
        value = (x[n, c, i, j] - mean[c]) / np.sqrt(var[c] + EPS) * weight[c] + bias[c] + residual[n, c, i, j]
        assert out[n, c, i, j] == pytest.approx(value if value > 0 else 0.2 * value)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("activation", ["none", "relu", "elu"])
@pytest.mark.parametrize("shape", [(3, 2, 2, 3), (5, 3, 1, 1), (0, 2, 2, 2)])
def test_gradients(rng, check_gradient, training, affine, activation, shape):
    channels = shape[1]
    x, residual, dout = rng.standard_normal((3, *shape))
    weight, bias, running_mean = rng.standard_normal((3, channels))
    running_var = 0.5 + rng.random(channels)

    def statistics(x):
        return reference.batch_norm_statistics(x) if training else (running_mean, running_var)

    def forward(x, weight, bias, residual):
        scale, shift = (weight, bias) if affine else (None, None)
        return reference.batch_norm_forward(x, *statistics(x), scale, shift, EPS, residual, activation, 0.5)

    out = forward(x, weight, bias, residual)
    scale, shift = (weight, bias) if affine else (None, None)
    settings = (*statistics(x), scale, shift, EPS, activation, 0.5, training, True)
    dx, dweight, dbias, dresidual = reference.batch_norm_backward(dout, x, out, *settings)
    for a, b in zip(
        reference.batch_norm_backward([dout - residual, residual], x, out, *settings),
        (dx, dweight, dbias, dresidual),
        strict=True,
    ):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)
    plain = reference.batch_norm_forward(x, *settings[:5], None, activation, 0.5)
    for a, b in zip(
        reference.batch_norm_backward(dout, x, None, *settings),
        reference.batch_norm_backward(dout, x, plain, *settings),
        strict=True,
    ):
        np.testing.assert_array_equal(a, b)
    check_gradient(lambda v: forward(v, weight, bias, residual), x, dx, dout)
    check_gradient(lambda v: forward(x, weight, bias, v), residual, dresidual, dout)
    if affine:
        check_gradient(lambda v: forward(x, v, bias, residual), weight, dweight, dout)
        check_gradient(lambda v: forward(x, weight, v, residual), bias, dbias, dout)
    assert is_nhwc(dx)
    assert is_nhwc(dresidual)


def test_residual_gradient_is_optional_and_its_own_array(rng):
    x, dout = rng.standard_normal((2, 2, 3, 2, 2))
    arguments = (dout, x, x, *reference.batch_norm_statistics(x), None, None, EPS, "none", 0.0, True)
    assert reference.batch_norm_backward(*arguments, False)[3] is None
    assert not np.shares_memory(reference.batch_norm_backward(*arguments, True)[3], dout)


def test_running_statistics():
    """Shares of old and new, and the unbiased variance: NumPy's with ddof=1."""
    x = np.random.default_rng(5).standard_normal((3, 2, 4, 5))
    mean, var = np.array([1.0, 2.0]), np.array([3.0, 4.0])
    reference.batch_norm_running(mean, var, *reference.batch_norm_statistics(x), x.size // 2, 0.25)
    np.testing.assert_allclose(mean, 0.75 * np.array([1.0, 2.0]) + 0.25 * x.mean((0, 2, 3)), rtol=1e-12)
    np.testing.assert_allclose(var, 0.75 * np.array([3.0, 4.0]) + 0.25 * x.var((0, 2, 3), ddof=1), rtol=1e-12)
