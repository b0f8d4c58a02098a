"""Activations and Maxout against the float64 reference, at every ISA level and thread count."""

from __future__ import annotations

import numpy as np
import pytest

from pynet import _core, reference

EPS = np.finfo(np.float32).eps
ALPHAS = {"none": 0.0, "relu": 0.0, "leaky_relu": 0.1, "elu": 1.3, "sigmoid": 0.0, "tanh": 0.0}
SHAPES = [(), (0,), (1,), (15,), (16,), (17,), (5, 33), (0, 4, 3, 3), (2, 7, 5, 3), (9, 65, 31, 3)]


def normal(shape, seed: int = 0) -> np.ndarray:
    values = np.asarray(2 * np.random.default_rng(seed).standard_normal(shape), np.float32)
    return reference.layout.to_nhwc(values) if values.ndim == 4 else values


@pytest.mark.parametrize("activation", ALPHAS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_activation(isa, same_bits, shape, activation):
    alpha = ALPHAS[activation]
    x, dout = normal(shape), normal(shape, 1)
    out = same_bits(lambda: _core.activation_forward(x, activation, alpha))
    dx = same_bits(lambda: _core.activation_backward(dout, out, activation, alpha))
    want = reference.activation_forward(x.astype(np.float64), activation, alpha)
    want_dx = reference.activation_backward(
        dout.astype(np.float64), out.astype(np.float64), activation, alpha
    )
    assert out.shape == dx.shape == shape
    np.testing.assert_allclose(out, want, rtol=8 * EPS, atol=1e-30)
    # 1 - out cancels near 1: the error is absolute there
    np.testing.assert_allclose(dx, want_dx, rtol=8 * EPS, atol=8 * EPS)


@pytest.mark.parametrize("activation", ALPHAS)
def test_activation_keeps_the_order_and_reads_any(isa, activation):
    alpha = ALPHAS[activation]
    x = normal((3, 5, 4, 7))
    out = _core.activation_forward(x, activation, alpha)
    assert out.transpose(0, 2, 3, 1).flags.c_contiguous
    in_c_order = np.ascontiguousarray(x)
    in_c_order.flags.writeable = False
    for other in (in_c_order, np.repeat(x, 2, axis=2)[:, :, ::2], x[:, ::-1][:, ::-1], np.asfortranarray(x)):
        assert np.array_equal(_core.activation_forward(other, activation, alpha), out)
        # operands in different orders
        got = _core.activation_backward(other, out, activation, alpha)
        assert np.array_equal(got, _core.activation_backward(x, out, activation, alpha))
        assert got.transpose(0, 2, 3, 1).flags.c_contiguous


@pytest.mark.parametrize("activation", ALPHAS)
def test_activation_at_nan_and_infinity(isa, activation):
    x = np.array([np.nan, np.inf, -np.inf, 0.0] * 9, np.float32)
    alpha = ALPHAS[activation]
    with np.errstate(invalid="ignore"):
        want = reference.activation_forward(x, activation, alpha)
    np.testing.assert_array_equal(_core.activation_forward(x, activation, alpha), want)


def test_activation_errors():
    x = np.zeros((2, 3), np.float32)
    with pytest.raises(ValueError, match='activation "swish" is none of'):
        _core.activation_forward(x, "swish", 0.0)
    with pytest.raises(TypeError, match="float64"):
        _core.activation_forward(x.astype(np.float64), "relu", 0.0)
    with pytest.raises(ValueError, match=r"dout has shape \(3, 2\), expected \(2, 3\)"):
        _core.activation_backward(x.T, x, "relu", 0.0)


MAXOUT = [  # shape, pieces
    ((4, 6), 2),
    ((1, 1), 1),
    ((0, 6), 3),
    ((300, 51), 3),
    ((3, 256), 256),
    ((2, 20, 5, 7), 4),
    ((5, 130, 9, 11), 2),
    ((2, 35, 3, 3), 5),
    ((2, 6, 1), 2),
    ((2, 6, 0), 2),
    ((3, 12, 17), 3),
    ((2, 4, 300), 2),
    ((2, 4, 3, 2, 5), 2),
]


@pytest.mark.parametrize("shape, pieces", MAXOUT, ids=str)
def test_maxout(isa, same_bits, shape, pieces):
    x = np.round(normal(shape))  # many ties
    if x.size:
        x.reshape(-1)[:: max(1, x.size // 7)] = np.nan
    out, indices = same_bits(lambda: _core.maxout_forward(x, pieces))
    want, want_indices = reference.maxout_forward(x, pieces)
    assert indices.dtype == np.uint8
    np.testing.assert_array_equal(out, want)
    np.testing.assert_array_equal(indices, want_indices)
    dout = normal(out.shape, 1)
    dx = same_bits(lambda: _core.maxout_backward(dout, indices, pieces))
    np.testing.assert_array_equal(dx, reference.maxout_backward(dout, indices, pieces))


def test_maxout_errors():
    x = np.zeros((2, 6), np.float32)
    with pytest.raises(ValueError, match="pieces is 0, expected 1 to 256"):
        _core.maxout_forward(x, 0)
    with pytest.raises(ValueError, match=r"\(2, 6\) has no channels .* pieces=4"):
        _core.maxout_forward(x, 4)
    with pytest.raises(IndexError, match="an index is not below pieces=2"):
        _core.maxout_backward(np.zeros((2, 3), np.float32), np.full((2, 3), 2, np.uint8), 2)
    with pytest.raises(TypeError, match="expected uint8"):
        _core.maxout_backward(np.zeros((2, 3), np.float32), np.zeros((2, 3), np.int64), 2)
    with pytest.raises(ValueError, match="indices has shape"):
        _core.maxout_backward(np.zeros((2, 3), np.float32), np.zeros((2, 4), np.uint8), 2)
