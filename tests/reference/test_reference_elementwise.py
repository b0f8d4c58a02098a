"""Element-wise arithmetic against Python's own, its layout and its silence; sums."""

from __future__ import annotations

import functools
import math
import operator
import warnings

import numpy as np
import pytest

from pynet import reference
from pynet.reference.layout import is_nhwc, to_nhwc

BINARY = {
    "add": operator.add,
    "subtract": operator.sub,
    "multiply": operator.mul,
    "divide": operator.truediv,
    "maximum": max,
    "minimum": min,
    "power": math.pow,
}
UNARY = {
    "negative": operator.neg,
    "exp": math.exp,
    "log": math.log,
    "sqrt": math.sqrt,
    "abs": abs,
    "square": lambda v: v * v,
    "reciprocal": lambda v: 1 / v,
    "sin": math.sin,
    "cos": math.cos,
}


@pytest.mark.parametrize("name", BINARY)
@pytest.mark.parametrize(
    ("a", "b"),
    [((3, 4), (3, 4)), ((3, 4), ()), ((), ()), ((3, 1), (4,)), ((2, 3, 2, 2), (3, 1, 1)), ((0, 3), (3,))],
)
def test_binary(rng, name, a, b):
    left, right = np.asarray(0.1 + rng.random(a)), np.asarray(0.1 + rng.random(b))
    out = getattr(reference, name)(left, right)
    pairs = np.broadcast_arrays(left, right)
    expected = [BINARY[name](v, w) for v, w in zip(pairs[0].ravel(), pairs[1].ravel(), strict=True)]
    np.testing.assert_allclose(out, np.reshape(expected, pairs[0].shape), rtol=1e-14)
    assert isinstance(out, np.ndarray)


@pytest.mark.parametrize("name", UNARY)
@pytest.mark.parametrize("shape", [(), (0,), (2, 3), (2, 3, 2, 2)])
def test_unary(rng, name, shape):
    x = np.asarray(0.1 + rng.random(shape))
    out = getattr(reference, name)(x)
    np.testing.assert_allclose(out, np.reshape([UNARY[name](v) for v in x.ravel()], shape), rtol=1e-14)
    assert isinstance(out, np.ndarray)


def test_abs_of_negative():
    np.testing.assert_array_equal(reference.abs(np.array([-2.0, -0.0, 3.0])), [2, 0, 3])


@pytest.mark.parametrize("name", BINARY)
def test_nhwc_operands_give_nhwc_results(rng, name):
    x, other = to_nhwc(rng.random((2, 3, 4, 5))), rng.random((2, 3, 4, 5))
    function = getattr(reference, name)
    for a, b in [(x, x), (x, other), (other, x), (x, np.array(2.0)), (rng.random((1, 3, 1, 1)), x)]:
        assert is_nhwc(function(a, b))
    assert not is_nhwc(function(other, other))


@pytest.mark.parametrize("name", UNARY)
def test_unary_keeps_order_and_dtype(rng, name):
    x = to_nhwc(rng.random((2, 3, 4, 5)).astype(np.float32))
    out = getattr(reference, name)(x)
    assert is_nhwc(out)
    assert out.dtype == np.float32


def test_invalid_operations_are_silent_and_nan_spreads():
    zero, minus = np.zeros(1), np.array([-1.0])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.isnan(reference.log(minus))
        assert np.isnan(reference.sqrt(minus))
        assert np.isnan(reference.power(minus, np.array([0.5])))
        assert np.isnan(reference.divide(zero, zero))
        assert reference.reciprocal(zero) == np.inf
        assert reference.exp(np.array([1e4])) == np.inf
    assert np.isnan(reference.maximum(np.array([np.nan]), zero))
    assert np.isnan(reference.minimum(zero, np.array([np.nan])))


@pytest.mark.parametrize("axes", [(), (0,), (1,), (-1,), (0, 2, 3), (0, 1, 2, 3)])
@pytest.mark.parametrize("keepdims", [False, True])
def test_sum(rng, axes, keepdims):
    x = to_nhwc(rng.standard_normal((2, 3, 4, 5)))
    out = reference.sum(x, axes, keepdims)
    kept = [axis for axis in range(4) if axis not in {a % 4 for a in axes}]
    expected = np.einsum(x, [0, 1, 2, 3], kept)
    if keepdims:
        expected = expected.reshape([x.shape[axis] if axis in kept else 1 for axis in range(4)])
    np.testing.assert_allclose(out, expected, atol=1e-12)
    assert isinstance(out, np.ndarray)
    assert out.shape == expected.shape
    assert not np.shares_memory(out, x)


def test_sum_of_nothing_and_of_float32():
    np.testing.assert_array_equal(reference.sum(np.ones((0, 3)), (0,), False), np.zeros(3))
    assert reference.sum(np.ones((2, 3), np.float32), (0, 1), False).dtype == np.float32


@pytest.mark.parametrize(
    ("name", "combine", "nothing"), [("prod", operator.mul, 1), ("amax", max, -np.inf), ("amin", min, np.inf)]
)
def test_other_reductions(rng, name, combine, nothing):
    x = to_nhwc(rng.standard_normal((2, 3, 4, 5)))
    reduce = getattr(reference, name)
    for axes, rest in (((), (2, 3, 4, 5)), ((0, 2), (3, 5)), ((-1,), (2, 3, 4)), ((0, 1, 2, 3), ())):
        out = reduce(x, axes, False)
        assert out.shape == rest and out.dtype == x.dtype and not np.shares_memory(out, x)
        rows = np.moveaxis(x, axes, range(len(axes))).reshape(-1, out.size)
        want = [functools.reduce(combine, column) for column in rows.T.tolist()]
        np.testing.assert_allclose(out.ravel(), want, rtol=1e-12)
        assert reduce(x, axes, True).ndim == 4
    np.testing.assert_array_equal(reduce(np.ones((0, 2)), (0,), False), [nothing, nothing])
    assert np.isnan(reduce(np.array([1.0, np.nan, 2.0]), (0,), False))


def test_accumulate_writes_in_place():
    a, b = np.ones((2, 3)), np.full((2, 3), 2.0)
    view = a
    assert reference.accumulate(a, b) is None
    assert view is a
    np.testing.assert_array_equal(a, np.full((2, 3), 3.0))
    np.testing.assert_array_equal(b, np.full((2, 3), 2.0))
