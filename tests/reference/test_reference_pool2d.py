"""Pooling against its definition, window by window, and its gradients."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from pynet import reference
from pynet.reference.layout import is_nhwc
from pynet.reference.pool2d import output_size

SHAPES = [(2, 3, 7, 6), (1, 2, 5, 8), (0, 2, 4, 4), (2, 0, 4, 4), (3, 1, 3, 3)]
# kernel, stride, padding, dilation, ceil_mode
MAX_GEOMETRIES = [
    ((2, 2), (2, 2), (0, 0), (1, 1), False),
    ((3, 3), (2, 2), (1, 1), (1, 1), False),
    ((3, 2), (1, 3), (1, 0), (1, 1), True),
    ((2, 2), (3, 2), (0, 1), (1, 1), True),
    ((2, 2), (1, 1), (0, 0), (2, 1), False),
    ((2, 3), (2, 2), (1, 1), (2, 1), True),
]
AVERAGE_GEOMETRIES = [(k, s, p, ceil) for k, s, p, d, ceil in MAX_GEOMETRIES if d == (1, 1)]


def window(extent, start, kernel, dilation=(1, 1)):
    """Return the positions of a window that lie on the map."""
    positions = (
        (start[0] + i * dilation[0], start[1] + j * dilation[1])
        for i, j in itertools.product(range(kernel[0]), range(kernel[1]))
    )
    return [(y, z) for y, z in positions if 0 <= y < extent[0] and 0 <= z < extent[1]]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((5, 2, 2, 0, 1, False), 2),
        ((5, 2, 2, 0, 1, True), 3),
        ((4, 2, 2, 0, 1, True), 2),
        # The fourth window would start in the padding on the right, hence it is left out.
        ((5, 2, 2, 1, 1, True), 3),
        ((3, 1, 3, 0, 1, True), 1),
        ((7, 2, 1, 0, 3, False), 4),
    ],
)
def test_output_size(arguments, expected):
    assert output_size(*arguments) == expected


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("geometry", MAX_GEOMETRIES)
def test_max_pool_forward(rng, shape, geometry):
    kernel, stride, padding, dilation, _ = geometry
    x = rng.integers(-2, 3, shape).astype(float)  # small integers: many ties
    out, indices = reference.max_pool2d_forward(x, *geometry, True, False)
    for n, c, i, j in np.ndindex(out.shape):
        start = (i * stride[0] - padding[0], j * stride[1] - padding[1])
        places = window(shape[2:], start, kernel, dilation)
        values = [x[n, c, y, z] for y, z in places]
        first = places[values.index(max(values))]
        assert out[n, c, i, j] == max(values)
        assert indices[n, c, i, j] == first[0] * shape[3] + first[1]
    assert is_nhwc(out)
    assert indices.dtype == np.int32


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("geometry", MAX_GEOMETRIES)
def test_max_pool_gradient(rng, check_gradient, shape, geometry):
    x = rng.permutation(int(np.prod(shape))).reshape(shape).astype(float)  # no ties: the gradient is defined
    out, indices = reference.max_pool2d_forward(x, *geometry, True, False)
    dout = rng.standard_normal(out.shape)
    dx = reference.max_pool2d_backward(dout, indices, shape)
    check_gradient(lambda v: reference.max_pool2d_forward(v, *geometry, False, False)[0], x, dx, dout)
    assert is_nhwc(dx)


def test_max_pool_nan_and_infinity():
    x = np.array([[1.0, np.nan, 2.0, -np.inf], [3.0, 4.0, -np.inf, -np.inf]])[None, None]
    out, indices = reference.max_pool2d_forward(x, (2, 2), (2, 2), (0, 0), (1, 1), False, True, False)
    np.testing.assert_array_equal(out, [[[[np.nan, 2.0]]]])
    np.testing.assert_array_equal(indices, [[[[1, 2]]]])
    lowest, where = reference.max_pool2d_forward(
        np.full((1, 1, 2, 2), -np.inf), (2, 2), (2, 2), (1, 1), (1, 1), False, True, False
    )
    assert (lowest == -np.inf).all()
    np.testing.assert_array_equal(where[0, 0], [[0, 1], [2, 3]])  # an element of x, never the padding


def test_max_pool_window_without_elements():
    # Dilated by 3 and padded by 1, the only window covers rows -1 and 2 of a map of one row.
    out, indices = reference.max_pool2d_forward(
        np.ones((1, 1, 2, 3)), (2, 1), (1, 1), (1, 0), (3, 1), False, True, False
    )
    assert (out == -np.inf).all()
    assert (indices == -1).all()
    assert (reference.max_pool2d_backward(np.ones(out.shape), indices, (1, 1, 2, 3)) == 0).all()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("geometry", AVERAGE_GEOMETRIES)
@pytest.mark.parametrize("count_include_pad, divisor", [(True, 0), (False, 0), (True, 5)])
def test_avg_pool(rng, check_gradient, shape, geometry, count_include_pad, divisor):
    kernel, stride, padding, _ = geometry
    x = rng.standard_normal(shape)

    def forward(x):
        return reference.avg_pool2d_forward(x, *geometry, count_include_pad, divisor)

    out = forward(x)
    for n, c, i, j in np.ndindex(out.shape):
        start = (i * stride[0] - padding[0], j * stride[1] - padding[1])
        values = [x[n, c, y, z] for y, z in window(shape[2:], start, kernel)]
        # Moved by the padding, the positions of the padded map count from 0.
        padded = (shape[2] + 2 * padding[0], shape[3] + 2 * padding[1])
        counted = window(padded, (i * stride[0], j * stride[1]), kernel)
        count = divisor or (len(counted) if count_include_pad else len(values))
        assert out[n, c, i, j] == pytest.approx(sum(values) / count)
    dout = rng.standard_normal(out.shape)
    dx = reference.avg_pool2d_backward(dout, shape, *geometry, count_include_pad, divisor)
    check_gradient(forward, x, dx, dout)
    assert is_nhwc(out)
    assert is_nhwc(dx)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("size", [(1, 1), (2, 3), (7, 6), (9, 4)])
def test_adaptive_avg_pool(rng, check_gradient, shape, size):
    x = rng.standard_normal(shape)
    out = reference.adaptive_avg_pool2d_forward(x, size)
    assert out.shape == (*shape[:2], *size)
    for i, j in np.ndindex(size):
        top, bottom = np.floor(i * shape[2] / size[0]), np.ceil((i + 1) * shape[2] / size[0])
        left, right = np.floor(j * shape[3] / size[1]), np.ceil((j + 1) * shape[3] / size[1])
        cell = x[:, :, int(top) : int(bottom), int(left) : int(right)]
        np.testing.assert_allclose(out[:, :, i, j], cell.mean(axis=(2, 3)), atol=1e-14)
    dout = rng.standard_normal(out.shape)
    dx = reference.adaptive_avg_pool2d_backward(dout, shape)
    check_gradient(lambda v: reference.adaptive_avg_pool2d_forward(v, size), x, dx, dout)


def test_adaptive_bins_do_not_mix_infinities():
    x = np.zeros((1, 1, 4, 4))
    x[0, 0, 0, 0] = np.inf
    out = reference.adaptive_avg_pool2d_forward(x, (2, 2))
    np.testing.assert_array_equal(out[0, 0], [[np.inf, 0], [0, 0]])
