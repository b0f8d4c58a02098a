"""Comparisons and logic: results carry no gradient."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from pynet.autograd import Operation, Tensor, record, wrap
from pynet.ops._backend import tensor_of
from pynet.ops.arithmetic import is_scalar, pair_of


def _comparison(name: str) -> Callable[[Any, Any], Tensor]:
    function = getattr(np, name)
    operation = Operation(name, lambda a, b: (function(a, b), ()), None)

    def compare(a: Any, b: Any) -> Tensor:
        if not (isinstance(b, Tensor) or is_scalar(b) or isinstance(b, (np.ndarray, list, tuple))):
            return NotImplemented
        if type(b) is int and isinstance(a, Tensor) and a.dtype.kind in "iu":
            b = np.asarray(b)  # an int that the dtype cannot hold compares all the same
            return record(operation, (a, wrap(b)))
        return record(operation, pair_of(name, a, b))

    compare.__name__ = name
    compare.__doc__ = (
        f"{name.replace('_', ' ')}, elementwise with broadcasting: a bool Tensor without gradient."
    )
    return compare


equal, not_equal = _comparison("equal"), _comparison("not_equal")
less, less_equal = _comparison("less"), _comparison("less_equal")
greater, greater_equal = _comparison("greater"), _comparison("greater_equal")


def _logic(name: str) -> Callable[[Any, Any], Tensor]:
    function = getattr(np, name)
    operation = Operation(name, lambda a, b: (function(a, b), ()), None)

    def combine(a: Any, b: Any) -> Tensor:
        a, b = pair_of(name, a, b)
        if a.dtype.kind == "f":
            raise TypeError(
                f"{name}: {a.dtype} has no bits to combine; compare first, or convert to integers"
            )
        return record(operation, (a, b))

    combine.__name__ = name
    combine.__doc__ = f"{name.replace('_', ' ')} of booleans or integers, with broadcasting."
    return combine


bitwise_and, bitwise_or, bitwise_xor = _logic("bitwise_and"), _logic("bitwise_or"), _logic("bitwise_xor")
_NOT = Operation("bitwise_not", lambda x: (np.invert(x), ()), None)


def bitwise_not(x: Tensor) -> Tensor:
    """Not, for booleans and integers."""
    if x.dtype.kind == "f":
        raise TypeError(
            f"bitwise_not: {x.dtype} has no bits to invert; compare first, or convert to integers"
        )
    return record(_NOT, (x,))


def _test(name: str, text: str) -> Callable[[Tensor], Tensor]:
    function = getattr(np, name)
    operation = Operation(name, lambda x: (np.asarray(function(x)), ()), None)

    def test(x: Tensor) -> Tensor:
        return record(operation, (tensor_of(x),))

    test.__name__ = test.__qualname__ = name
    test.__doc__ = f"{text}: a bool Tensor."
    return test


isnan = _test("isnan", "Where x is NaN")
isinf = _test("isinf", "Where x is infinite")
isfinite = _test("isfinite", "Where x is neither infinite nor NaN")
logical_not = _test("logical_not", "Where x is zero or false")


def _truth(name: str) -> Callable[[Any, Any], Tensor]:
    function = getattr(np, name)
    operation = Operation(name, lambda a, b: (np.asarray(function(a, b)), ()), None)

    def combine(a: Any, b: Any) -> Tensor:
        return record(operation, pair_of(name, a, b))

    combine.__name__ = combine.__qualname__ = name
    combine.__doc__ = f"{name.replace('_', ' ')} of whether elements are not zero, with broadcasting."
    return combine


logical_and, logical_or, logical_xor = _truth("logical_and"), _truth("logical_or"), _truth("logical_xor")


def same(a: Tensor, b: Tensor) -> bool:
    """Whether two tensors have one shape and equal elements: `pynet.equal`.

    Raises:
        TypeError: no Tensors.
    """
    if not (isinstance(a, Tensor) and isinstance(b, Tensor)):
        raise TypeError(f"equal: expected two Tensors, got {type(a).__name__} and {type(b).__name__}; use ==")
    return a.shape == b.shape and bool(np.array_equal(a.array, b.array))


def isclose(a: Any, b: Any, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> Tensor:
    """Where |a - b| <= atol + rtol * |b|: a bool Tensor."""
    a, b = pair_of("isclose", a, b)
    return wrap(np.asarray(np.isclose(a.array, b.array, rtol=rtol, atol=atol, equal_nan=equal_nan)))


def allclose(a: Any, b: Any, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> bool:
    """Whether |a - b| <= atol + rtol * |b| everywhere."""
    a, b = pair_of("allclose", a, b)
    return bool(np.allclose(a.array, b.array, rtol=rtol, atol=atol, equal_nan=equal_nan))
