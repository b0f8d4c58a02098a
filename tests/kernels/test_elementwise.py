"""Elementwise arithmetic with broadcasting, sums and addition in place, against NumPy in float64."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pynet import _core, reference

EPS = np.finfo(np.float32).eps
BINARY = ["add", "subtract", "multiply", "divide", "maximum", "minimum", "power"]
UNARY = ["negative", "exp", "log", "sqrt", "abs", "square", "reciprocal", "sin", "cos"]
SIZES = [0, 1, 2, 3, 5, 15, 16, 17, 33, 67]


def normal(shape, seed: int = 0) -> np.ndarray:
    return np.asarray(np.random.default_rng(seed).standard_normal(shape), np.float32)


def nhwc(x: np.ndarray) -> np.ndarray:
    return reference.layout.to_nhwc(x)


def is_nhwc(x: np.ndarray) -> bool:
    return x.transpose(0, 2, 3, 1).flags.c_contiguous


@np.errstate(all="ignore")
def check_binary(name: str, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    got = getattr(_core, name)(a, b)
    want = getattr(np, name)(a.astype(np.float64), b.astype(np.float64))
    assert got.shape == want.shape
    np.testing.assert_allclose(got, want.astype(np.float32), rtol=4 * EPS, atol=1e-37)
    return got


# --- two operands ---


@pytest.mark.parametrize("name", BINARY)
@pytest.mark.parametrize(
    "a_shape, b_shape",
    [
        ((), ()),
        ((0,), (1,)),
        ((37,), (37,)),
        ((37,), ()),
        ((), (1, 1)),
        ((50_000,), (50_000,)),
        ((7, 3), (3,)),
        ((3,), (700, 3)),
        ((70, 10), (70, 1)),
        ((2, 40_000), (2, 1)),
        ((5, 1), (1, 6)),
        ((4, 1, 5), (3, 1)),
    ],
    ids=str,
)
def test_binary(isa, same_bits, name, a_shape, b_shape):
    a, b = normal(a_shape), normal(b_shape, 1)
    if name == "power":
        a = np.asarray(np.abs(a))
    same_bits(lambda: check_binary(name, a, b))


@pytest.mark.parametrize(
    "b_shape", [(5, 20, 9, 7), (1, 20, 1, 1), (20, 1, 1), (5, 1, 9, 7), (5, 20, 1, 1), (7,), ()], ids=str
)
def test_nhwc_operands_give_an_nhwc_result(isa, same_bits, b_shape):
    a, b = nhwc(normal((5, 20, 9, 7))), normal(b_shape, 1)
    for left, right in ((a, b), (b, a)):
        assert is_nhwc(same_bits(lambda left=left, right=right: check_binary("subtract", left, right)))


def test_other_orders_are_kept():
    hwio = normal((3, 3, 5, 6)).transpose(3, 2, 0, 1)
    assert _core.multiply(hwio, hwio).strides == hwio.strides
    assert _core.multiply(hwio, np.full((), 2, np.float32)).strides == hwio.strides
    io = normal((8, 4)).T
    assert _core.add(io, np.ascontiguousarray(io)).strides == io.strides


@st.composite
def operand(draw, shape: tuple[int, ...]):
    """A view of some kind that broadcasts to `shape`."""
    dropped = draw(st.integers(0, len(shape))) if draw(st.booleans()) else 0
    own = [1 if draw(st.integers(0, 3)) == 0 else n for n in shape[dropped:]]
    order = draw(st.permutations(range(len(own))))
    steps = [draw(st.sampled_from([1, 1, 1, 2, -1])) for _ in own]
    base = normal([own[i] * abs(steps[i]) for i in order], draw(st.integers(0, 9)))
    view = np.asarray(base.transpose(np.argsort(order)) if own else base)
    view = np.asarray(view[tuple(slice(None, None, step) for step in steps)])
    return np.broadcast_to(view, shape) if draw(st.integers(0, 4)) == 0 else view


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_views(isa, data):
    shape = tuple(
        data.draw(st.lists(st.sampled_from(SIZES), max_size=4).filter(lambda s: math.prod(s) <= 40_000))
    )
    a, b = data.draw(operand(shape)), data.draw(operand(shape))
    check_binary(data.draw(st.sampled_from(BINARY[:-1])), a, b)
    axes = tuple(i for i in range(a.ndim) if data.draw(st.booleans()))
    check_sum(a, axes, data.draw(st.booleans()))


@np.errstate(all="ignore")
@pytest.mark.parametrize("exponent", [-2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0, 3.0, 2.7, 31.0, np.inf, np.nan])
def test_power_special_values(isa, exponent):
    base = np.array(
        [0.0, -0.0, 1.0, -1.0, 2.5, -2.5, 0.3, -0.3, np.inf, -np.inf, np.nan, 7.0] * 3, np.float32
    )
    for b in (np.array(exponent, np.float32), np.full_like(base, exponent)):
        want = np.power(base.astype(np.float64), b.astype(np.float64)).astype(np.float32)
        got = _core.power(base, b)
        np.testing.assert_allclose(got, want, rtol=4 * EPS)
        assert np.array_equal(np.signbit(got[~np.isnan(want)]), np.signbit(want[~np.isnan(want)]))


def test_maximum_and_minimum_let_nan_win(isa):
    a = np.array([np.nan, 1, np.nan, 2] * 5, np.float32)
    b = np.array([1, np.nan, np.nan, 3] * 5, np.float32)
    np.testing.assert_array_equal(_core.maximum(a, b), np.maximum(a, b))
    np.testing.assert_array_equal(_core.minimum(a, b), np.minimum(a, b))


def test_binary_errors():
    with pytest.raises(ValueError, match=r"add: shapes \(2, 3\) and \(4,\) do not broadcast"):
        _core.add(normal((2, 3)), normal((4,)))
    with pytest.raises(TypeError, match="float64"):
        _core.multiply(normal((2,)), np.zeros(2))
    with pytest.raises(TypeError, match=">f4"):
        _core.add(normal((2,)), normal((2,)).astype(">f4"))
    unaligned = np.frombuffer(b"\0" * 41, np.uint8)[1:].view(np.float32)
    with pytest.raises(ValueError, match="not aligned"):
        _core.add(unaligned, unaligned)


# --- one operand ---


@np.errstate(all="ignore")
@pytest.mark.parametrize("name", UNARY)
@pytest.mark.parametrize("shape", [(), (0,), (1,), (15,), (16,), (67,), (3, 5, 7, 9), (60_001,)], ids=str)
def test_unary(isa, same_bits, name, shape):
    x = normal(shape)
    views = [x, x[..., ::-1], nhwc(x)] if x.ndim == 4 else [x, np.asarray(x[..., ::-1] if x.ndim else x)]
    for view in views:
        view.flags.writeable = False
        got = same_bits(lambda view=view: getattr(_core, name)(view))
        want = getattr(np, "absolute" if name == "abs" else name)(view.astype(np.float64))
        np.testing.assert_allclose(got, want, rtol=4 * EPS, atol=1e-37)
    if x.ndim == 4:
        assert is_nhwc(getattr(_core, name)(nhwc(x)))


# --- sums ---


def check_sum(x: np.ndarray, axes: tuple[int, ...], keepdims: bool) -> np.ndarray:
    got = _core.sum(x, axes, keepdims)
    want = np.sum(x.astype(np.float64), axis=axes, keepdims=keepdims)
    terms = math.prod(x.shape[i] for i in axes)
    assert got.shape == want.shape
    assert got.flags.c_contiguous and got.flags.writeable and not np.shares_memory(got, x)
    scale = np.sum(np.abs(x), axis=axes, keepdims=keepdims, dtype=np.float64)
    assert np.all(np.abs(got - want) <= scale * EPS * (1 + math.log2(1 + terms)))
    return got


ALL_AXES = [
    (),
    (0,),
    (1,),
    (2,),
    (3,),
    (0, 1),
    (0, 2),
    (1, 3),
    (2, 3),
    (0, 2, 3),
    (1, 2, 3),
    (0, 1, 3),
    (0, 1, 2, 3),
    (-1,),
]


@pytest.mark.parametrize("axes", ALL_AXES, ids=str)
@pytest.mark.parametrize("order", ["c", "nhwc"])
@pytest.mark.parametrize(
    "shape", [(3, 5, 7, 9), (4, 64, 9, 8), (1, 17, 1, 3), (0, 3, 2, 2), (2, 0, 3, 1)], ids=str
)
def test_sum_of_maps(isa, same_bits, shape, order, axes):
    x = normal(shape)
    x = nhwc(x) if order == "nhwc" else x
    for keepdims in (False, True):
        same_bits(lambda keepdims=keepdims: check_sum(x, axes, keepdims))


@pytest.mark.parametrize("columns", [1, 2, 3, 10, 15, 16, 17, 31, 32, 63, 64, 65, 5000])
@pytest.mark.parametrize("rows", [1, 2, 7, 8, 9, 100, 6000])
def test_sum_of_matrices(isa, same_bits, rows, columns):
    x = normal((rows, min(columns, 5000 if rows <= 100 else 65)))
    same_bits(lambda: check_sum(x, (0,), False))
    same_bits(lambda: check_sum(x, (1,), False))


def test_long_sums_stay_accurate(isa, same_bits):
    x = np.full(3_000_001, 0.1, np.float32)
    total = same_bits(lambda: _core.sum(x, (0,), False))
    assert abs(float(total) / (float(x[0]) * x.size) - 1) < 16 * EPS
    columns = same_bits(lambda: _core.sum(x[:-1].reshape(-1, 3), (0,), False))
    np.testing.assert_allclose(columns, float(x[0]) * 1e6, rtol=16 * EPS)


def test_sum_keeps_nan_where_it_is(isa):
    x = normal((40, 21))
    x[7, 20] = np.nan
    assert np.flatnonzero(np.isnan(_core.sum(x, (0,), False))).tolist() == [20]
    assert np.flatnonzero(np.isnan(_core.sum(x, (1,), False))).tolist() == [7]


def check_reduction(name: str, x: np.ndarray, axes: tuple[int, ...], keepdims: bool) -> np.ndarray:
    got = getattr(_core, name)(x, axes, keepdims)
    want = getattr(reference, name)(x.astype(np.float64), axes, keepdims)
    assert got.shape == want.shape
    assert got.flags.c_contiguous and got.flags.writeable and not np.shares_memory(got, x)
    terms = math.prod(x.shape[i] for i in axes)
    np.testing.assert_allclose(got, want, rtol=EPS * terms if name == "prod" else 0)
    return got


@pytest.mark.parametrize("axes", ALL_AXES, ids=str)
@pytest.mark.parametrize("order", ["c", "nhwc"])
@pytest.mark.parametrize("name", ["prod", "amax", "amin"])
@pytest.mark.parametrize("shape", [(3, 5, 7, 9), (4, 64, 9, 8), (0, 3, 2, 2)], ids=str)
def test_reductions_of_maps(isa, same_bits, name, shape, order, axes):
    x = normal(shape) if name != "prod" else np.exp(normal(shape) / 16)
    x = nhwc(x) if order == "nhwc" else x
    for keepdims in (False, True):
        same_bits(lambda keepdims=keepdims: check_reduction(name, x, axes, keepdims))


@pytest.mark.parametrize("columns", [1, 3, 16, 17, 63, 64, 65, 257, 5000])
@pytest.mark.parametrize("rows", [1, 2, 9, 100, 6000])
@pytest.mark.parametrize("name", ["amax", "amin"])
def test_extrema_of_matrices(isa, same_bits, name, rows, columns):
    x = normal((rows, min(columns, 5000 if rows <= 100 else 65)))
    for axes in ((0,), (1,), (0, 1)):
        same_bits(lambda axes=axes: check_reduction(name, x, axes, False))


@pytest.mark.parametrize("name", ["prod", "amax", "amin"])
@pytest.mark.parametrize("shape", [(40, 21), (3000, 64), (300, 5), (20, 700)])
def test_reductions_keep_nan_where_it_is(isa, name, shape):
    reduce = getattr(_core, name)
    for place in ((0, 0), (7, 3), (shape[0] - 1, shape[1] - 1)):
        x = np.ones(shape, np.float32)
        x[place] = np.nan
        assert np.flatnonzero(np.isnan(reduce(x, (0,), False))).tolist() == [place[1]]
        assert np.flatnonzero(np.isnan(reduce(x, (1,), False))).tolist() == [place[0]]
        assert np.isnan(reduce(x, (0, 1), False))


def test_sum_errors():
    x = normal((2, 3))
    with pytest.raises(IndexError, match="axis 2 is out of range for 2 axes"):
        _core.sum(x, (2,), False)
    with pytest.raises(ValueError, match="axis -1 is named twice"):
        _core.sum(x, (1, -1), False)
    with pytest.raises(IndexError, match="amax: axis 2 is out of range"):
        _core.amax(x, (2,), False)


# --- in place ---


@pytest.mark.parametrize("shape", [(), (0,), (17,), (3, 5, 7, 9), (50_003,)], ids=str)
def test_accumulate(isa, same_bits, shape):
    def run(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        a = a.copy(order="K")
        assert _core.accumulate(a, b) is None
        return a

    a, b = normal(shape), normal(shape, 1)
    np.testing.assert_array_equal(same_bits(lambda: run(a, b)), a + b)
    if a.ndim == 4:  # other orders on either side, and a gradient that is one value seen many times
        np.testing.assert_array_equal(run(nhwc(a), b), a + b)
        np.testing.assert_array_equal(run(a, nhwc(b)), a + b)
        np.testing.assert_array_equal(run(nhwc(a), np.broadcast_to(b[:, :1], shape)), a + b[:, :1])


def test_accumulate_errors():
    a = normal((2, 3))
    with pytest.raises(ValueError, match=r"accumulate: b has shape \(3,\), expected \(2, 3\)"):
        _core.accumulate(a, a[0])
    a.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        _core.accumulate(a, a)
    with pytest.raises(ValueError, match="not dense"):
        _core.accumulate(normal((4, 6))[:, ::2], normal((4, 3)))
