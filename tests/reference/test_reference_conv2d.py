"""Convolution against its definition, loop by loop, and its gradients."""

from __future__ import annotations

import numpy as np
import pytest

from pynet import reference
from pynet.reference.layout import is_nhwc

# x shape, F, kernel, stride, padding, dilation, groups
GEOMETRIES = {
    "plain": ((2, 3, 5, 4), 4, (3, 3), (1, 1), (1, 1), (1, 1), 1),
    "rectangular": ((1, 2, 6, 5), 3, (3, 2), (2, 1), (0, 1), (1, 1), 1),
    "dilated": ((1, 2, 7, 6), 2, (2, 3), (1, 2), (2, 0), (3, 2), 1),
    "groups": ((2, 4, 4, 4), 6, (2, 2), (1, 1), (0, 0), (1, 1), 2),
    "depthwise": ((1, 3, 5, 5), 3, (3, 3), (2, 2), (1, 1), (1, 1), 3),
    "depthwise multiplier": ((1, 3, 4, 5), 6, (1, 3), (1, 1), (0, 1), (1, 1), 3),
    "pointwise": ((2, 3, 3, 3), 5, (1, 1), (1, 1), (0, 0), (1, 1), 1),
    "whole map": ((3, 2, 4, 4), 2, (4, 4), (1, 1), (0, 0), (1, 1), 1),
    "stride beyond kernel": ((1, 1, 8, 7), 2, (2, 1), (3, 4), (0, 0), (1, 1), 1),
    "batch 0": ((0, 3, 5, 5), 2, (3, 3), (1, 1), (1, 1), (1, 1), 1),
    "no channels": ((2, 0, 4, 4), 3, (3, 3), (1, 1), (1, 1), (1, 1), 1),
    "empty map, all padding": ((1, 2, 0, 3), 2, (2, 2), (1, 1), (1, 0), (1, 1), 1),
}


def naive(x, weight, bias, stride, padding, dilation, groups):
    (n, _, h, w), (f, per_group, kh, kw) = x.shape, weight.shape
    oh = (h + 2 * padding[0] - dilation[0] * (kh - 1) - 1) // stride[0] + 1
    ow = (w + 2 * padding[1] - dilation[1] * (kw - 1) - 1) // stride[1] + 1
    out = np.zeros((n, f, oh, ow))
    for b, k, i, j in np.ndindex(out.shape):
        total = bias[k]
        for d, p, q in np.ndindex(per_group, kh, kw):
            y = i * stride[0] - padding[0] + p * dilation[0]
            z = j * stride[1] - padding[1] + q * dilation[1]
            if 0 <= y < h and 0 <= z < w:
                total += weight[k, d, p, q] * x[b, (k // (f // groups)) * per_group + d, y, z]
        out[b, k, i, j] = total
    return out


@pytest.fixture(params=GEOMETRIES.values(), ids=GEOMETRIES.keys())
def layer(request, rng):
    shape, f, kernel, stride, padding, dilation, groups = request.param
    x, bias = rng.standard_normal(shape), rng.standard_normal(f)
    weight = rng.standard_normal((f, shape[1] // groups, *kernel))
    return x, weight, bias, (stride, padding, dilation, groups)


def test_forward_is_the_definition(layer):
    x, weight, bias, geometry = layer
    out = reference.conv2d_forward(x, weight, bias, *geometry, "none", 0.0, "auto")
    np.testing.assert_allclose(out, naive(x, weight, bias, *geometry), atol=1e-12)
    assert is_nhwc(out)
    without = reference.conv2d_forward(x, weight, None, *geometry, "none", 0.0, "auto")
    np.testing.assert_allclose(without, naive(x, weight, 0 * bias, *geometry), atol=1e-12)


def test_statistics_are_those_of_the_output(layer):
    x, weight, bias, geometry = layer
    out, mean, var = reference.conv2d_forward_statistics(x, weight, bias, *geometry, "auto")
    plain = reference.conv2d_forward(x, weight, bias, *geometry, "none", 0.0, "auto")
    np.testing.assert_array_equal(out, plain)
    if out.size:
        np.testing.assert_allclose(mean, out.mean((0, 2, 3)), atol=1e-14)
        np.testing.assert_allclose(var, out.var((0, 2, 3)), atol=1e-14)


def test_gradients(layer, rng, check_gradient):
    x, weight, bias, geometry = layer

    def forward(x, weight, bias):
        return reference.conv2d_forward(x, weight, bias, *geometry, "tanh", 0.0, "auto")

    out = forward(x, weight, bias)
    dout = rng.standard_normal(out.shape)
    before = reference.activation_backward(dout, out, "tanh", 0.0)
    dx = reference.conv2d_backward_data(before, weight, x.shape, *geometry, "auto")
    dweight, dbias = reference.conv2d_backward_weight(before, x, weight.shape, *geometry, True, "auto")
    check_gradient(lambda v: forward(v, weight, bias), x, dx, dout)
    check_gradient(lambda v: forward(x, v, bias), weight, dweight, dout)
    check_gradient(lambda v: forward(x, weight, v), bias, dbias, dout)
    assert is_nhwc(dx)
    assert dweight.transpose(2, 3, 1, 0).flags.c_contiguous


def test_strides_of_the_input_do_not_matter(rng):
    x, weight = rng.standard_normal((2, 3, 6, 6)), rng.standard_normal((4, 3, 3, 3))
    geometry = ((1, 1), (1, 1), (1, 1), 1, "none", 0.0, "auto")
    expected = reference.conv2d_forward(x, weight, None, *geometry)
    backwards = x[:, ::-1].copy()[:, ::-1]
    backwards.flags.writeable = False
    np.testing.assert_array_equal(
        reference.conv2d_forward(backwards, np.asfortranarray(weight), None, *geometry), expected
    )


def test_bias_gradient_only_on_demand(rng):
    x, dout = rng.standard_normal((1, 1, 3, 3)), np.ones((1, 2, 3, 3))
    _, dbias = reference.conv2d_backward_weight(
        dout, x, (2, 1, 1, 1), (1, 1), (0, 0), (1, 1), 1, False, "auto"
    )
    assert dbias is None


def test_same_values_as_scipy(rng):
    signal = pytest.importorskip("scipy.signal")
    x, weight = rng.standard_normal((1, 1, 9, 8)), rng.standard_normal((1, 1, 4, 3))
    out = reference.conv2d_forward(x, weight, None, (1, 1), (0, 0), (1, 1), 1, "none", 0.0, "auto")
    np.testing.assert_allclose(out[0, 0], signal.correlate2d(x[0, 0], weight[0, 0], "valid"), atol=1e-12)
