"""Pooling against the float64 reference: windows of every kind, channels around a vector, ties and NaN."""

from __future__ import annotations

import numpy as np
import pytest

from pynet import _core, reference
from pynet.reference.layout import to_nhwc

EPS = np.finfo(np.float32).eps
CHANNELS = [1, 3, 4, 6, 15, 16, 17, 33, 70]
# kernel, stride, padding, dilation
WINDOWS = [
    ((2, 2), (2, 2), (0, 0), (1, 1)),
    ((3, 3), (2, 2), (1, 1), (1, 1)),
    ((3, 2), (1, 2), (1, 0), (1, 1)),
    ((2, 2), (3, 3), (1, 1), (1, 1)),  # gaps between windows
    ((5, 4), (5, 4), (2, 2), (1, 1)),
    ((2, 3), (1, 1), (0, 1), (2, 2)),
]


def normal(rng, shape) -> np.ndarray:
    return to_nhwc(rng.standard_normal(shape).astype(np.float32))


def is_nhwc(a: np.ndarray) -> bool:
    return a.transpose(0, 2, 3, 1).flags.c_contiguous


@pytest.mark.parametrize("ceil_mode", [False, True])
@pytest.mark.parametrize("C", CHANNELS)
@pytest.mark.parametrize("kernel, stride, padding, dilation", WINDOWS)
def test_max_pool2d(isa, same_bits, rng, kernel, stride, padding, dilation, C, ceil_mode):
    for size in ((7, 9), (8, 8)):
        x = to_nhwc(rng.integers(-3, 4, (3, C, *size)).astype(np.float32))  # many ties
        x[rng.random(x.shape) < 0.04] = np.nan
        x[0, 0] = -np.inf
        arguments = (x, kernel, stride, padding, dilation, ceil_mode)
        out, indices = same_bits(lambda a=arguments: _core.max_pool2d_forward(*a, True, False))
        want, want_indices = reference.max_pool2d_forward(*arguments, True, False)
        np.testing.assert_array_equal(out, want)
        np.testing.assert_array_equal(indices, want_indices)
        assert indices.dtype == np.int32 and is_nhwc(out) and is_nhwc(indices)
        alone, none = _core.max_pool2d_forward(*arguments, False, False)
        np.testing.assert_array_equal(alone, out)
        assert none is None
        dout = normal(rng, out.shape)
        dx = same_bits(lambda d=dout, i=indices, s=x.shape: _core.max_pool2d_backward(d, i, s))
        want = reference.max_pool2d_backward(dout.astype(np.float64), indices, x.shape)
        np.testing.assert_allclose(dx, want, rtol=0, atol=9 * EPS * abs(dout).max())
        assert is_nhwc(dx)


def bits(a):
    return a.view(np.int32)


@pytest.mark.parametrize("ceil_mode", [False, True])
@pytest.mark.parametrize("C", CHANNELS)
@pytest.mark.parametrize("kernel, stride, padding, dilation", WINDOWS)
def test_max_pool2d_after_relu(isa, same_bits, rng, kernel, stride, padding, dilation, C, ceil_mode):
    """The bits of the ReLU and the pooling one after the other, signs of zero included."""
    for size in ((7, 9), (8, 8)):
        x = to_nhwc(rng.integers(-4, 3, (3, C, *size)).astype(np.float32))
        x[rng.random(x.shape) < 0.2] = -0.0
        x[1][rng.random(x.shape[1:]) < 0.04] = np.nan
        x[1][rng.random(x.shape[1:]) < 0.04] = np.inf
        x[0, 0] = -np.inf
        arguments = (kernel, stride, padding, dilation, ceil_mode)
        active = _core.activation_forward(x, "relu", 0.0)
        out, indices = same_bits(lambda x=x, a=arguments: _core.max_pool2d_forward(x, *a, True, True))
        want, places = _core.max_pool2d_forward(active, *arguments, True, False)
        np.testing.assert_array_equal(bits(out), bits(want))
        np.testing.assert_array_equal(indices, np.where(want <= 0, -1, places))
        np.testing.assert_array_equal(
            bits(_core.max_pool2d_forward(x, *arguments, False, True)[0]), bits(out)
        )
        for got, expected in zip(
            (out, indices), reference.max_pool2d_forward(x, *arguments, True, True), strict=True
        ):
            np.testing.assert_array_equal(got, expected)
        dout = normal(rng, out.shape)
        dx = same_bits(lambda d=dout, i=indices, s=x.shape: _core.max_pool2d_backward(d, i, s))
        apart = _core.activation_backward(
            _core.max_pool2d_backward(dout, places, x.shape), active, "relu", 0.0
        )
        np.testing.assert_array_equal(bits(dx), bits(apart))


@pytest.mark.parametrize("C", [3, 16, 40])
def test_max_pool2d_of_many_rows(isa, same_bits, rng, C):
    """More than one chunk, also where one row alone holds the NaN."""
    x = normal(rng, (33, C, 32, 30))
    x[17, C - 1, 5, 7] = np.nan
    arguments = (x, (2, 2), (2, 2), (0, 0), (1, 1), False, True, False)
    out, indices = same_bits(lambda: _core.max_pool2d_forward(*arguments))
    want, want_indices = reference.max_pool2d_forward(*arguments)
    np.testing.assert_array_equal(out, want)
    np.testing.assert_array_equal(indices, want_indices)
    dout = normal(rng, out.shape)
    dx = same_bits(lambda: _core.max_pool2d_backward(dout, indices, x.shape))
    np.testing.assert_array_equal(dx, reference.max_pool2d_backward(dout, indices, x.shape))


@pytest.mark.parametrize("C", [2, 16, 21])
def test_max_pool2d_backward_trusts_no_sizes(isa, same_bits, rng, C):
    """Sizes of disjoint 2 x 2 windows, indices of other ones: from the first row, and only in the last."""
    dout = normal(rng, (4, C, 4, 4))
    corners = np.arange(4)[:, None] * 16 + np.arange(4) * 2
    indices = to_nhwc(np.broadcast_to(corners, dout.shape).astype(np.int32))
    for image in (0, 3):
        moved = indices.copy(order="K")
        moved[image, :, -1, -1] = 3
        dx = same_bits(lambda i=moved: _core.max_pool2d_backward(dout, i, (4, C, 8, 8)))
        np.testing.assert_allclose(dx, reference.max_pool2d_backward(dout, moved, (4, C, 8, 8)), rtol=4 * EPS)


def test_max_pool2d_window_without_a_pixel(isa):
    x = np.zeros((1, 5, 1, 1), np.float32)
    out, indices = _core.max_pool2d_forward(x, (2, 2), (1, 1), (2, 2), (3, 3), False, True, False)
    want, want_indices = reference.max_pool2d_forward(x, (2, 2), (1, 1), (2, 2), (3, 3), False, True, False)
    np.testing.assert_array_equal(out, want)
    np.testing.assert_array_equal(indices, want_indices)
    assert not _core.max_pool2d_backward(np.ones_like(out), indices, x.shape).any()


@pytest.mark.parametrize("count_include_pad, divisor", [(False, 0), (True, 0), (True, 7), (False, -3)])
@pytest.mark.parametrize("ceil_mode", [False, True])
@pytest.mark.parametrize("C", CHANNELS)
@pytest.mark.parametrize("kernel, stride, padding, dilation", WINDOWS[:5])
def test_avg_pool2d(
    isa, same_bits, rng, kernel, stride, padding, dilation, C, ceil_mode, count_include_pad, divisor
):
    for size in ((7, 9), (8, 8)):
        x = normal(rng, (3, C, *size))
        arguments = (kernel, stride, padding, ceil_mode, count_include_pad, divisor)
        out = same_bits(lambda x=x, a=arguments: _core.avg_pool2d_forward(x, *a))
        want = reference.avg_pool2d_forward(x.astype(np.float64), *arguments)
        assert out.shape == want.shape and is_nhwc(out)
        np.testing.assert_allclose(out, want, rtol=0, atol=24 * EPS * abs(x).max() * (8 if divisor else 1))
        dout = normal(rng, out.shape)
        dx = same_bits(lambda d=dout, s=x.shape, a=arguments: _core.avg_pool2d_backward(d, s, *a))
        want = reference.avg_pool2d_backward(dout.astype(np.float64), x.shape, *arguments)
        np.testing.assert_allclose(dx, want, rtol=0, atol=24 * EPS * abs(dout).max())
        assert is_nhwc(dx)


@pytest.mark.parametrize("output_size", [(1, 1), (3, 4), (7, 9), (10, 11)])
@pytest.mark.parametrize("C", CHANNELS)
def test_adaptive_avg_pool2d(isa, same_bits, rng, C, output_size):
    x = normal(rng, (5, C, 7, 9))
    out = same_bits(lambda: _core.adaptive_avg_pool2d_forward(x, output_size))
    want = reference.adaptive_avg_pool2d_forward(x.astype(np.float64), output_size)
    np.testing.assert_allclose(out, want, rtol=0, atol=64 * EPS * abs(x).max())
    dout = normal(rng, out.shape)
    dx = same_bits(lambda: _core.adaptive_avg_pool2d_backward(dout, x.shape))
    want = reference.adaptive_avg_pool2d_backward(dout.astype(np.float64), x.shape)
    np.testing.assert_allclose(dx, want, rtol=0, atol=24 * EPS * abs(dout).max())


def test_batch_of_none(isa):
    x = np.zeros((0, 3, 8, 8), np.float32)
    out, indices = _core.max_pool2d_forward(x, (2, 2), (2, 2), (0, 0), (1, 1), False, True, False)
    assert out.shape == indices.shape == (0, 3, 4, 4)
    assert _core.max_pool2d_backward(out, indices, x.shape).shape == x.shape
    out = _core.avg_pool2d_forward(x, (2, 2), (2, 2), (0, 0), False, True, 0)
    assert _core.avg_pool2d_backward(out, x.shape, (2, 2), (2, 2), (0, 0), False, True, 0).shape == x.shape
    out = _core.adaptive_avg_pool2d_forward(x, (1, 1))
    assert _core.adaptive_avg_pool2d_backward(out, x.shape).shape == x.shape


def test_inputs_of_any_order(isa, rng):
    x = rng.standard_normal((2, 5, 8, 6)).astype(np.float32)
    x.flags.writeable = False
    arguments = ((2, 2), (2, 2), (0, 0), (1, 1), False, True, False)
    out, indices = _core.max_pool2d_forward(to_nhwc(x), *arguments)
    for other in (x, np.repeat(x, 2, axis=3)[..., ::2], np.ascontiguousarray(x[:, :, ::-1])[:, :, ::-1]):
        again, again_indices = _core.max_pool2d_forward(other, *arguments)
        np.testing.assert_array_equal(again, out)
        np.testing.assert_array_equal(again_indices, indices)
    dout = rng.standard_normal(out.shape).astype(np.float32)
    np.testing.assert_array_equal(
        _core.max_pool2d_backward(dout, np.ascontiguousarray(indices), x.shape),
        _core.max_pool2d_backward(to_nhwc(dout), indices, x.shape),
    )


def test_refusals(isa):
    x = np.zeros((2, 3, 8, 8), np.float32)
    out, indices = _core.max_pool2d_forward(x, (2, 2), (2, 2), (0, 0), (1, 1), False, True, False)
    for bad in (64, -2, 2**31 - 1, -(2**31)):
        wrong = indices.copy(order="K")
        wrong[1, 2, 3, 3] = bad
        with pytest.raises(IndexError, match=r"outside the image \(8, 8\)"):
            _core.max_pool2d_backward(out, wrong, x.shape)
    with pytest.raises(ValueError, match=r"dout has shape \(2, 3, 4, 4\), expected \(1, 3, 4, 4\)"):
        _core.max_pool2d_backward(out, indices, (1, 3, 8, 8))
    with pytest.raises(ValueError, match="indices has shape"):
        _core.max_pool2d_backward(out, indices[:, :, :3], x.shape)
    with pytest.raises(TypeError, match="int64"):
        _core.max_pool2d_backward(out, indices.astype(np.int64), x.shape)
    with pytest.raises(ValueError, match="x_shape is"):
        _core.max_pool2d_backward(out, indices, (2, 3, 8))
    with pytest.raises(ValueError, match="x_shape is"):
        _core.avg_pool2d_backward(out, (2, 3, -8, 8), (2, 2), (2, 2), (0, 0), False, True, 0)
    with pytest.raises(ValueError, match=r"padding \(2, 0\) must lie between 0 and half of the kernel"):
        _core.max_pool2d_forward(x, (2, 2), (2, 2), (2, 0), (1, 1), False, True, False)
    with pytest.raises(ValueError, match="must be at least 1"):
        _core.avg_pool2d_forward(x, (2, 2), (0, 1), (0, 0), False, True, 0)
    with pytest.raises(ValueError, match="exceeds the padded input"):
        _core.avg_pool2d_forward(x, (9, 2), (1, 1), (0, 0), False, True, 0)
    with pytest.raises(ValueError, match="output_size"):
        _core.adaptive_avg_pool2d_forward(x, (0, 1))
    with pytest.raises(ValueError, match="dout has shape"):
        _core.avg_pool2d_backward(out[:1], x.shape, (2, 2), (2, 2), (0, 0), False, True, 0)
