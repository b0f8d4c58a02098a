"""Softmax and log-softmax of rows against the float64 reference."""

from __future__ import annotations

import numpy as np
import pytest

from pynet import _core, reference

EPS = np.finfo(np.float32).eps
SHAPES = [(1, 1), (0, 5), (5, 3), (128, 10), (7, 15), (7, 16), (9, 17), (33, 100), (3, 9000), (3000, 2)]


@pytest.mark.parametrize("scale", [1.0, 1000.0])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_forward(isa, same_bits, rng, shape, scale):
    x = (scale * rng.standard_normal(shape)).astype(np.float32)
    x64 = x.astype(np.float64)
    out = same_bits(lambda: _core.softmax_forward(x))
    np.testing.assert_allclose(out, reference.softmax_forward(x64), rtol=64 * EPS, atol=1e-37)
    np.testing.assert_allclose(out.sum(axis=1), 1, rtol=32 * EPS)
    out = same_bits(lambda: _core.log_softmax_forward(x))
    np.testing.assert_allclose(out, reference.log_softmax_forward(x64), rtol=8 * EPS, atol=8 * EPS)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_backward(isa, same_bits, rng, shape):
    x, dout = (rng.standard_normal(shape).astype(np.float32) for _ in range(2))
    pairs = [("softmax_forward", "softmax_backward"), ("log_softmax_forward", "log_softmax_backward")]
    for forward, backward in pairs:
        out = getattr(_core, forward)(x)
        dx = same_bits(lambda f=backward, o=out: getattr(_core, f)(dout, o))
        want = getattr(reference, backward)(dout.astype(np.float64), out.astype(np.float64))
        np.testing.assert_allclose(dx, want, rtol=0, atol=16 * EPS * np.sqrt(shape[1]) * 4)


@pytest.mark.parametrize("C", [3, 16, 19])
def test_infinity_and_nan(isa, C):
    inf = np.inf
    x = np.zeros((6, C), np.float32)
    x[0, :2] = -inf  # no share
    x[1] = -inf
    x[2, 1] = inf
    x[3, 2] = np.nan
    x[4, 0] = 3e38
    x[5] = -3e38
    for name in ("softmax_forward", "log_softmax_forward"):
        want = getattr(reference, name)(x)
        np.testing.assert_allclose(getattr(_core, name)(x), want, rtol=1e-6)
    assert np.all(_core.softmax_forward(x)[0, :2] == 0)


def test_inputs_of_any_order(isa, rng):
    x = rng.standard_normal((6, 10)).astype(np.float32)
    x.flags.writeable = False
    want = _core.softmax_forward(x)
    for other in (np.asfortranarray(x), np.repeat(x, 2, axis=1)[:, ::2], np.ascontiguousarray(x[::-1])[::-1]):
        np.testing.assert_array_equal(_core.softmax_forward(other), want)


def test_refusals():
    x = np.zeros((2, 3), np.float32)
    with pytest.raises(ValueError, match="x has 1 dimensions, expected 2"):
        _core.softmax_forward(x[0])
    with pytest.raises(ValueError, match=r"dout has shape \(1, 3\), expected \(2, 3\)"):
        _core.log_softmax_backward(x[:1], x)
    with pytest.raises(TypeError, match="float64"):
        _core.softmax_forward(x.astype(np.float64))
