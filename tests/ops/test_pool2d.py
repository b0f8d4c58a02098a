"""Pooling: values against windows written out, gradients, NaN and ties, errors."""

from __future__ import annotations

import math

import numpy as np
import pytest

import pynet
from pynet import gradcheck, ops

GEOMETRIES = [
    ((2, 3, 4, 6), {"kernel_size": 2}),
    ((1, 2, 5, 7), {"kernel_size": 3, "stride": 2, "padding": 1}),
    ((1, 1, 5, 5), {"kernel_size": (3, 2), "stride": (1, 2)}),
    ((2, 2, 5, 6), {"kernel_size": 2, "stride": 2, "ceil_mode": True}),
    ((1, 2, 6, 6), {"kernel_size": 3, "stride": 2, "padding": 1, "ceil_mode": True}),
    ((0, 2, 4, 4), {"kernel_size": 2}),
    ((3, 4, 4), {"kernel_size": 2}),
]


def windows(shape, kernel_size, stride=None, padding=0, ceil_mode=False, dilation=1):
    """For each output pixel the rows and columns of its window, padding included."""
    pair = lambda v: (v, v) if isinstance(v, int) else v  # noqa: E731
    kernel, padding, dilation = pair(kernel_size), pair(padding), pair(dilation)
    stride = kernel if stride is None else pair(stride)
    spans = []
    for n, k, s, p, d in zip(shape[-2:], kernel, stride, padding, dilation, strict=True):
        free = n + 2 * p - d * (k - 1) - 1
        count = (math.ceil(free / s) if ceil_mode else free // s) + 1
        if ceil_mode and (count - 1) * s >= n + p:
            count -= 1
        spans.append([[i * s - p + j * d for j in range(k)] for i in range(count)])
    return spans


def pooled(x, reduce, **options):
    rows, columns = windows(x.shape, **options)
    out = np.zeros((*x.shape[:-2], len(rows), len(columns)))
    for i, r in enumerate(rows):
        for j, c in enumerate(columns):
            inside = np.ix_([n for n in r if 0 <= n < x.shape[-2]], [n for n in c if 0 <= n < x.shape[-1]])
            out[..., i, j] = reduce(x[(..., *inside)], r, c)
    return out


@pytest.mark.parametrize(("shape", "options"), GEOMETRIES, ids=str)
def test_max_pool2d(shape, options, make, check_float32):
    x = make(*shape)
    out = ops.max_pool2d(x, **options)
    np.testing.assert_array_equal(out.array, pooled(x.array, lambda w, r, c: w.max((-2, -1)), **options))
    if x.numel():
        assert gradcheck(lambda t: ops.max_pool2d(t, **options), (x,))
    check_float32(lambda t: ops.max_pool2d(t, **options), x)


def test_max_pool2d_dilated(make):
    x = make(1, 2, 6, 6)
    options = {"kernel_size": 2, "stride": 1, "dilation": 3}
    np.testing.assert_array_equal(
        ops.max_pool2d(x, **options).array, pooled(x.array, lambda w, r, c: w.max((-2, -1)), **options)
    )
    assert gradcheck(lambda t: ops.max_pool2d(t, **options), (x,))


def test_max_pool2d_indices(make):
    x = make(2, 3, 4, 4)
    out, indices = ops.max_pool2d(x, 2, return_indices=True)
    assert indices.dtype == np.int64 and not indices.requires_grad
    flat = x.array.reshape(2, 3, 16)
    np.testing.assert_array_equal(
        np.take_along_axis(flat, indices.array.reshape(2, 3, 4), 2), out.array.reshape(2, 3, 4)
    )
    assert gradcheck(lambda t: ops.max_pool2d(t, 2, return_indices=True)[0], (x,))
    assert ops.max_pool2d(make(3, 4, 4), 2, return_indices=True)[1].shape == (3, 2, 2)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_max_pool2d_nan_and_ties(dtype):
    x = pynet.tensor([[[[1.0, 1.0, np.nan, 5.0], [1.0, 1.0, 2.0, 3.0]]]], dtype=dtype, requires_grad=True)
    out = ops.max_pool2d(x, 2)
    assert out.array[0, 0, 0, 0] == 1.0 and np.isnan(out.array[0, 0, 0, 1])
    out.sum().backward()
    assert x.grad.tolist() == [[[[1.0, 0.0, 1.0, 0.0], [0.0] * 4]]]


@pytest.mark.parametrize(("shape", "options"), GEOMETRIES, ids=str)
@pytest.mark.parametrize("count_include_pad", [True, False])
def test_avg_pool2d(shape, options, count_include_pad, make, check_float32):
    x = make(*shape)
    padding = options.get("padding", 0)

    def mean(window, rows, columns):
        if count_include_pad:
            # The padding counts, what a ceil window has beyond it does not.
            h = sum(n < shape[-2] + padding for n in rows)
            w = sum(n < shape[-1] + padding for n in columns)
            return window.sum((-2, -1)) / (h * w)
        return window.mean((-2, -1))

    def function(t):
        return ops.avg_pool2d(t, **options, count_include_pad=count_include_pad)

    np.testing.assert_allclose(function(x).array, pooled(x.array, mean, **options), atol=1e-12)
    if x.numel():
        assert gradcheck(function, (x,))
    check_float32(function, x)


@pytest.mark.parametrize("size", [1, 2, (3, 2), (None, 1), 7])
def test_adaptive_avg_pool2d(size, make, check_float32):
    x = make(2, 3, 5, 4)
    out = ops.adaptive_avg_pool2d(x, size)
    oh, ow = (size, size) if isinstance(size, int) else (5 if size[0] is None else size[0], size[1])
    expected = np.zeros((2, 3, oh, ow))
    for i in range(oh):
        for j in range(ow):
            rows, columns = (
                slice(i * 5 // oh, -(-(i + 1) * 5 // oh)),
                slice(j * 4 // ow, -(-(j + 1) * 4 // ow)),
            )
            expected[:, :, i, j] = x.array[:, :, rows, columns].mean((2, 3))
    np.testing.assert_allclose(out.array, expected, atol=1e-12)
    assert gradcheck(lambda t: ops.adaptive_avg_pool2d(t, size), (x,))
    check_float32(lambda t: ops.adaptive_avg_pool2d(t, size), x)
    assert ops.adaptive_avg_pool2d(make(3, 4, 4), 2).shape == (3, 2, 2)


@pytest.mark.parametrize("function", [ops.max_pool2d, ops.avg_pool2d])
@pytest.mark.parametrize(
    ("shape", "options", "error", "message"),
    [
        ((1, 1, 4, 4), {"kernel_size": 2, "padding": 2}, ValueError, "exceeds half the kernel"),
        (
            (1, 1, 4, 4),
            {"kernel_size": 5},
            ValueError,
            r"the window \(size 5\) exceeds the padded input \(size 4\)",
        ),
        ((1, 1, 4, 4), {"kernel_size": 0}, ValueError, "kernel_size must be at least 1"),
        ((1, 1, 4, 4), {"kernel_size": 2, "stride": 0}, ValueError, "stride must be at least 1"),
        ((1, 1, 4, 4), {"kernel_size": 2, "padding": -1}, ValueError, "padding must be at least 0"),
        ((1, 1, 4, 4), {"kernel_size": 2.0}, TypeError, "kernel_size must be an int"),
        (
            (4, 4),
            {"kernel_size": 2},
            ValueError,
            r"expected x \(N, C, H, W\) or \(C, H, W\), got shape \(4, 4\)",
        ),
        ((1, 1, 0, 4), {"kernel_size": 1}, ValueError, "exceeds the padded input"),
    ],
)
def test_errors(function, shape, options, error, message):
    with pytest.raises(error, match=message):
        function(pynet.zeros(*shape), **options)


def test_other_errors():
    with pytest.raises(TypeError, match="max_pool2d: x is int64"):
        ops.max_pool2d(pynet.tensor(np.zeros((1, 1, 4, 4), np.int64)), 2)
    with pytest.raises(ValueError, match="output_size must be at least 1"):
        ops.adaptive_avg_pool2d(pynet.zeros(1, 1, 4, 4), 0)
    with pytest.raises(ValueError, match="empty map"):
        ops.adaptive_avg_pool2d(pynet.zeros(1, 1, 0, 4), 1)
