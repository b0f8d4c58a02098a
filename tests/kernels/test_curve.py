"""Curves against the float64 reference."""

from __future__ import annotations

import numpy as np
import pytest

from pynet import _core, reference

EPS = np.finfo(np.float32).eps
CURVES = {
    "gelu": (0, 0), "gelu_tanh": (0, 0), "silu": (0, 0), "mish": (0, 0), "softplus": (1.5, 8),
    "softsign": (0, 0), "selu": (0, 0), "celu": (0.7, 0), "hardtanh": (-0.5, 2), "hardsigmoid": (0, 0),
    "hardswish": (0, 0), "log_sigmoid": (0, 0), "tanhshrink": (0, 0), "hardshrink": (0.7, 0),
    "softshrink": (0.7, 0), "threshold": (0.3, -2),
}  # fmt: skip


@pytest.mark.parametrize("curve", CURVES)
@pytest.mark.parametrize("shape", [(1,), (0,), (15,), (7, 33), (2, 3, 5, 4), (40000,)], ids=str)
def test_forward_and_backward(isa, same_bits, rng, curve, shape):
    options = CURVES[curve]
    x, dout = (3 * rng.standard_normal(shape).astype(np.float32) for _ in range(2))
    got = same_bits(lambda: _core.curve_forward(x, curve, *options))
    want = reference.curve_forward(x.astype(np.float64), curve, *options)
    np.testing.assert_allclose(got, want, rtol=16 * EPS, atol=4 * EPS)
    got = same_bits(lambda: _core.curve_backward(dout, x, curve, *options))
    want = reference.curve_backward(dout.astype(np.float64), x.astype(np.float64), curve, *options)
    np.testing.assert_allclose(got, want, rtol=32 * EPS, atol=32 * EPS)


@pytest.mark.parametrize("curve", CURVES)
def test_far_out_and_at_corners(isa, curve):
    inf = np.inf
    x = np.array([-inf, -1e30, -90, -3, -0.5, -0.0, 0, 2, 3, 6, 90, 1e30, inf, np.nan], np.float32)
    got = _core.curve_forward(x, curve, *CURVES[curve])
    want = reference.curve_forward(x.astype(np.float64), curve, *CURVES[curve])
    finite = np.isfinite(x)
    np.testing.assert_allclose(got[finite], want[finite], rtol=16 * EPS, atol=1e-6)
    assert np.isnan(got[-1])
    ones = np.ones_like(x)
    got = _core.curve_backward(ones, x, curve, *CURVES[curve])
    want = reference.curve_backward(ones.astype(np.float64), x.astype(np.float64), curve, *CURVES[curve])
    # The cube of 1e30 overflows in float32 alone.
    near = finite & (np.abs(x) < 1e20)
    np.testing.assert_allclose(got[near], want[near], rtol=32 * EPS, atol=1e-6)


def test_other_orders_and_refusals(rng):
    x = rng.standard_normal((2, 3, 4, 5)).astype(np.float32)
    maps = np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    np.testing.assert_array_equal(
        _core.curve_backward(x, maps, "silu", 0, 0), _core.curve_backward(x, x, "silu", 0, 0)
    )
    assert _core.curve_forward(maps, "silu", 0, 0).strides == maps.strides
    with pytest.raises(ValueError, match='curve "swish" is none of gelu, gelu_tanh'):
        _core.curve_forward(x, "swish", 0, 0)
    with pytest.raises(ValueError, match="dout has shape"):
        _core.curve_backward(x[:1], x, "silu", 0, 0)
