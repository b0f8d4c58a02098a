"""Reductions: values, gradients, axes and their errors."""

from __future__ import annotations

import numpy as np
import pytest

import pynet
from pynet import gradcheck, ops

DIMS = [None, 0, -1, (0, 2), (1,), ()]


@pytest.mark.parametrize("dim", DIMS, ids=str)
@pytest.mark.parametrize("keepdim", [False, True])
@pytest.mark.parametrize("name", ["sum", "mean", "prod", "amax", "amin"])
def test_over_axes(name, dim, keepdim, make, check_float32):
    x = make(2, 3, 2)
    function = getattr(ops, name)
    axis = dim if dim != () else None
    expected = getattr(np, name)(x.array, axis=axis, keepdims=keepdim)
    np.testing.assert_allclose(function(x, dim, keepdim).array, expected)
    assert gradcheck(lambda t: function(t, dim, keepdim), (x,))
    check_float32(lambda t: function(t, dim, keepdim), x)


@pytest.mark.parametrize("dim", [None, 1, (0, 1)], ids=str)
@pytest.mark.parametrize("unbiased", [True, False])
def test_var_and_std(dim, unbiased, make, check_float32):
    x = make(3, 4)
    for function, oracle in ((ops.var, np.var), (ops.std, np.std)):
        np.testing.assert_allclose(
            function(x, dim, unbiased).array, oracle(x.array, axis=dim, ddof=int(unbiased))
        )
        assert gradcheck(lambda t, f=function: f(t, dim, unbiased, keepdim=True), (x,))
        check_float32(lambda t, f=function: f(t, dim, unbiased), x)
    assert ops.var(x, correction=2).item() == pytest.approx(np.var(x.array, ddof=2))
    assert np.isnan(ops.var(pynet.tensor([1.0])).item())


def test_prod_with_zeros(make):
    x = pynet.tensor([[0.0, 2.0, 3.0], [0.0, 0.0, 5.0]], dtype=np.float64, requires_grad=True)
    ops.prod(x, 1).sum().backward()
    assert x.grad.tolist() == [[6.0, 0.0, 0.0], [0.0, 0.0, 0.0]]


@pytest.mark.parametrize("name", ["max", "min"])
@pytest.mark.parametrize("keepdim", [False, True])
def test_extrema_along_an_axis(name, keepdim, make, check_float32):
    x = make(3, 4)
    function = getattr(ops, name)
    found = function(x, 1, keepdim)
    np.testing.assert_array_equal(found.values.array, getattr(np, name)(x.array, 1, keepdims=keepdim))
    np.testing.assert_array_equal(
        found.indices.array, getattr(np, "arg" + name)(x.array, 1, keepdims=keepdim)
    )
    assert found.indices.dtype == np.int64 and not found.indices.requires_grad
    assert gradcheck(lambda t: function(t, 1, keepdim).values, (x,))
    assert gradcheck(function, (x,))
    check_float32(lambda t: function(t, 0).values, x)


def test_ties():
    x = pynet.tensor([[2.0, 2.0, 1.0]], dtype=np.float64, requires_grad=True)
    x.max().backward()
    assert x.grad.tolist() == [[0.5, 0.5, 0.0]]
    x.grad = None
    x.max(1).values.sum().backward()
    assert x.grad.tolist() == [[1.0, 0.0, 0.0]]


def test_nan_wins():
    x = pynet.tensor([1.0, np.nan, 3.0], requires_grad=True)
    assert np.isnan(x.max().item()) and x.argmax().item() == 1 and x.argmin().item() == 1
    x.max().backward()
    assert x.grad.tolist() == [0.0, 1.0, 0.0]


@pytest.mark.parametrize("name", ["argmax", "argmin"])
def test_positions(name, make):
    x = make(3, 4)
    for dim in (None, 0, -1):
        for keepdim in (False, True):
            out = getattr(ops, name)(x, dim, keepdim)
            np.testing.assert_array_equal(out.array, getattr(np, name)(x.array, dim, keepdims=keepdim))
            assert out.dtype == np.int64 and not out.requires_grad


def test_integers():
    t = pynet.tensor([[1, 2], [3, 4]])
    assert t.sum().item() == 10 and t.sum().dtype == np.int64
    assert pynet.tensor([True, True, False]).sum().item() == 2
    assert t.prod(0).tolist() == [3, 8]
    assert t.max().item() == 4
    assert (t > 2).any().item() and not (t > 2).all().item()
    assert (t > 2).any(0).tolist() == [True, True]
    with pytest.raises(TypeError, match=r"mean: x is int64.*\.float\(\)"):
        t.mean()


def test_scalars_and_nothing():
    scalar = pynet.tensor(3.0, requires_grad=True)
    for function in (ops.sum, ops.mean, ops.max, ops.min, ops.prod):
        assert function(scalar).item() == 3.0
    assert scalar.max(0).values.item() == 3.0 and scalar.argmax().item() == 0
    empty = pynet.zeros(0, 3)
    assert empty.sum().item() == 0.0 and empty.sum(0).tolist() == [0.0] * 3
    assert np.isnan(empty.mean().item()) and empty.prod().item() == 1.0
    for function in (ops.max, ops.min, ops.argmax, ops.argmin, ops.amax):
        with pytest.raises(ValueError, match=r"shape \(0, 3\) has no elements"):
            function(empty)
    assert empty.max(1).values.shape == (0,)
    x = pynet.zeros(0, 3, requires_grad=True)
    x.sum().backward()
    assert x.grad.shape == (0, 3)


@pytest.mark.parametrize("function", [ops.sum, ops.mean, ops.max, ops.argmax, ops.amax, ops.var])
def test_axes_out_of_range_or_doubled(function, make):
    with pytest.raises(IndexError, match="dim 2 is out of range for 2 axes; expected -2 to 1"):
        function(make(2, 3), 2)
    if function in (ops.sum, ops.mean, ops.amax, ops.var):
        with pytest.raises(ValueError, match="names an axis twice"):
            function(make(2, 3), (0, -2))
    with pytest.raises(TypeError, match="dim must be an int, got float"):
        function(make(2, 3), 1.0)
