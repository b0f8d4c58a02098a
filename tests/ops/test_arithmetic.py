"""Elementwise arithmetic: values, gradients, broadcasting, dtypes and their errors."""

from __future__ import annotations

import numpy as np
import pytest

import pynet
from pynet import gradcheck, ops

BINARY = {
    "add": np.add,
    "subtract": np.subtract,
    "multiply": np.multiply,
    "divide": np.divide,
    "maximum": np.maximum,
    "minimum": np.minimum,
}
UNARY = ["negative", "exp", "log", "sqrt", "abs", "square", "reciprocal", "sin", "cos"]
SHAPES = [
    ((3, 4), (3, 4)),
    ((3, 4), (4,)),
    ((2, 1, 3), (4, 1)),
    ((2, 3), ()),
    ((0, 3), (3,)),
    ((2, 3, 4, 5), (3, 1, 1)),
]


@pytest.mark.parametrize("name", BINARY)
@pytest.mark.parametrize("shapes", SHAPES, ids=str)
def test_binary(name, shapes, make, check_float32):
    a, b = make(*shapes[0]), make(*shapes[1], low=1.0)
    function = getattr(ops, name)
    out = function(a, b)
    np.testing.assert_array_equal(out.array, BINARY[name](a.array, b.array))
    if out.numel() and out.numel() <= 30:
        assert gradcheck(function, (a, b))
    check_float32(function, a, b)


@pytest.mark.parametrize("name", UNARY)
def test_unary(name, make, check_float32):
    x = make(3, 5, low=0.5)
    function = getattr(ops, name)
    np.testing.assert_allclose(function(x).array, getattr(np, name)(x.array))
    assert gradcheck(function, (x,))
    check_float32(function, x)
    with pynet.no_grad():
        assert function(pynet.zeros(0, 3, dtype=np.float64)).shape == (0, 3)


@pytest.mark.parametrize("exponent", [0.0, 1.0, 2, 3, 0.5, -1.0])
def test_power_of_a_number(exponent, make, check_float32):
    x = make(4, low=0.5)
    np.testing.assert_allclose((x**exponent).array, x.array**exponent)
    assert gradcheck(lambda t: t**exponent, (x,))
    check_float32(lambda t: t**exponent, x)


def test_power_of_tensors(make, check_float32):
    a, b = make(3, 4, low=0.5), make(4, low=0.5)
    assert gradcheck(ops.pow, (a, b))
    assert gradcheck(lambda t: 2.0**t, (b,))
    check_float32(ops.pow, a, b)


def test_power_at_zero():
    x = pynet.tensor([0.0, -2.0], dtype=np.float64, requires_grad=True)
    (x**2).sum().backward()
    assert x.grad.tolist() == [0.0, -4.0]
    x.grad = None
    (x**0.0).sum().backward()
    assert x.grad.tolist() == [0.0, 0.0]
    exponent = pynet.tensor([2.0, 3.0], dtype=np.float64, requires_grad=True)
    (pynet.zeros(2, dtype=np.float64) ** exponent).sum().backward()
    assert exponent.grad.tolist() == [0.0, 0.0]


def test_extrema_share_ties_and_pass_nan(make):
    a = pynet.tensor([1.0, 2.0, np.nan, 0.0], dtype=np.float64, requires_grad=True)
    b = pynet.tensor([1.0, 3.0, 1.0, np.nan], dtype=np.float64, requires_grad=True)
    out = ops.maximum(a, b)
    assert out.tolist()[:2] == [1.0, 3.0] and np.isnan(out.array[2:]).all()
    out.sum().backward()
    assert a.grad.tolist() == [0.5, 0.0, 1.0, 1.0]
    assert b.grad.tolist() == [0.5, 1.0, 1.0, 1.0]


def test_where(make, check_float32):
    condition = pynet.tensor([[True], [False]])
    a, b = make(2, 3), make(3)
    assert ops.where(condition, a, b).array.tolist() == [a.tolist()[0], b.tolist()]
    assert gradcheck(lambda p, q: ops.where(condition, p, q), (a, b))
    assert gradcheck(lambda p: ops.where(condition, p, 0.0), (a,))
    check_float32(lambda p, q: ops.where(condition, p, q), a, b)
    assert ops.where(condition, 1.0, 0.0).dtype == np.float32
    with pytest.raises(TypeError, match="expected bool"):
        ops.where(a, a, a)


def test_clamp(make, check_float32):
    x = pynet.tensor([-2.0, -1.0, 0.5, 1.0, np.nan], dtype=np.float64, requires_grad=True)
    out = x.clamp(-1, 1)
    np.testing.assert_array_equal(out.array, [-1, -1, 0.5, 1, np.nan])
    out.sum().backward()
    assert x.grad.tolist() == [0.0, 1.0, 1.0, 1.0, 0.0]
    assert gradcheck(lambda t: t.clamp(min=0.1), (make(6),))
    check_float32(lambda t: t.clamp(max=0.1), make(6))
    assert pynet.tensor([1, 5]).clamp(max=3).dtype == np.int64
    with pytest.raises(ValueError, match="min and max are both None"):
        x.clamp()


# --- operands -------------------------------------------------------------------------------------


def test_numbers_take_the_tensors_dtype():
    x = pynet.tensor([1.0, 2.0])
    for number in (2, 2.0, True, np.float64(2), np.int64(2), np.array(2.0)):
        for out in (x + number, number + x, x * number, x - number, number - x, x / number, number / x):
            assert isinstance(out, pynet.Tensor) and out.dtype == np.float32
    assert (pynet.tensor([1, 2]) + 1).dtype == np.int64
    assert (pynet.tensor([1, 2]) + 0.5).tolist() == [1.5, 2.5]
    assert (pynet.tensor([1, 2]) * 0.5).dtype == np.float32
    assert (pynet.tensor([True]) + 1).tolist() == [2]
    with pytest.raises(TypeError, match="complex"):
        x + 1j


def test_arrays_meet_tensors():
    x = pynet.tensor([1.0, 2.0])
    array = np.array([10.0, 20.0], np.float32)
    for out in (array + x, x + array):
        assert isinstance(out, pynet.Tensor) and out.tolist() == [11.0, 22.0]
    assert (array - x).tolist() == [9.0, 18.0]
    assert (array / x).tolist() == [10.0, 10.0]
    assert isinstance(array @ x, pynet.Tensor)
    with pytest.raises(TypeError, match="ufunc"):
        np.exp(x)


def test_single_and_double_do_not_mix():
    single, double = pynet.zeros(2), pynet.zeros(2, dtype=np.float64)
    for operation in (ops.add, ops.subtract, ops.multiply, ops.divide, ops.maximum, ops.pow):
        with pytest.raises(
            TypeError, match=r"float32 and float64 do not mix; convert one of them with .float\(\)"
        ):
            operation(single, double)
    with pytest.raises(TypeError, match="do not mix"):
        single + np.zeros(2)


def test_integers_and_booleans_become_floats_beside_floats():
    x = pynet.tensor([1.5, 2.5], requires_grad=True)
    mask = pynet.tensor([True, False])
    (x * mask).sum().backward()
    assert x.grad.tolist() == [1.0, 0.0]
    assert (pynet.tensor([1, 2]) / 2).tolist() == [0.5, 1.0]
    assert (pynet.tensor([1, 2]) + pynet.tensor([1, 2], dtype=np.int32)).dtype == np.int64


def test_overflowing_int():
    with pytest.raises(OverflowError):
        pynet.tensor([1]) + 2**64


@pytest.mark.parametrize("operation", [ops.add, ops.multiply, ops.maximum, ops.pow, ops.equal])
def test_shapes_that_do_not_broadcast(operation):
    with pytest.raises(ValueError, match=r"shapes \(2, 3\) and \(4,\) do not broadcast"):
        operation(pynet.zeros(2, 3), pynet.zeros(4))


def test_negative_of_booleans():
    with pytest.raises(TypeError, match="use ~"):
        -pynet.tensor([True])
    with pytest.raises(TypeError, match="use \\^"):
        pynet.tensor([True]) - pynet.tensor([True])


def test_memory_order_survives():
    maps = pynet.tensor(np.random.default_rng(0).standard_normal((2, 4, 5, 3)).transpose(0, 3, 1, 2))
    bias = pynet.ones(1, 3, 1, 1, dtype=np.float64)
    for out in (maps + maps, maps * 2.0, maps + bias, maps.exp(), -maps, maps.clamp(0), maps.clone()):
        assert out.array.transpose(0, 2, 3, 1).flags.c_contiguous


def test_zero_strides_and_overlap(make):
    row = make(3)
    spread = row.expand(4, 3)
    np.testing.assert_array_equal((spread + spread).array, np.tile(2 * row.array, (4, 1)))
    assert gradcheck(lambda t: t.expand(4, 3) * t.expand(4, 3), (row,))
