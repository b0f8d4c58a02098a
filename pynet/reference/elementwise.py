"""Arithmetic element by element, with NumPy's broadcasting, and sums.

Results keep the order of their operands in memory. Invalid operations give NaN or infinity without a warning,
as the kernels do. The names are those of the operations, some of which hide Python's own inside this file.
"""

from __future__ import annotations

import numpy as np

from .layout import keep_order


@np.errstate(all="ignore")
def _binary(ufunc: np.ufunc, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return keep_order(ufunc(a, b), a, b)


@np.errstate(all="ignore")
def _unary(ufunc: np.ufunc, x: np.ndarray) -> np.ndarray:
    return keep_order(ufunc(x), x)


def add(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return a + b."""
    return _binary(np.add, a, b)


def subtract(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return a - b."""
    return _binary(np.subtract, a, b)


def multiply(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return a * b."""
    return _binary(np.multiply, a, b)


def divide(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return a / b."""
    return _binary(np.divide, a, b)


def maximum(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the larger of a and b; NaN where either is."""
    return _binary(np.maximum, a, b)


def minimum(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the smaller of a and b; NaN where either is."""
    return _binary(np.minimum, a, b)


def power(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return a to the power of b; NaN for a negative a and a broken b."""
    return _binary(np.power, a, b)


def negative(x: np.ndarray) -> np.ndarray:
    """Return -x."""
    return _unary(np.negative, x)


def exp(x: np.ndarray) -> np.ndarray:
    """Return e^x."""
    return _unary(np.exp, x)


def log(x: np.ndarray) -> np.ndarray:
    """Return the natural logarithm of x."""
    return _unary(np.log, x)


def sqrt(x: np.ndarray) -> np.ndarray:
    """Return the square root of x."""
    return _unary(np.sqrt, x)


def abs(x: np.ndarray) -> np.ndarray:
    """Return |x|."""
    return _unary(np.absolute, x)


def square(x: np.ndarray) -> np.ndarray:
    """Return x * x."""
    return _unary(np.square, x)


def reciprocal(x: np.ndarray) -> np.ndarray:
    """Return 1 / x."""
    return _unary(np.reciprocal, x)


def sin(x: np.ndarray) -> np.ndarray:
    """Return the sine of x, in radians."""
    return _unary(np.sin, x)


def cos(x: np.ndarray) -> np.ndarray:
    """Return the cosine of x, in radians."""
    return _unary(np.cos, x)


@np.errstate(all="ignore")
def sum(x: np.ndarray, axes: tuple[int, ...], keepdims: bool) -> np.ndarray:
    """Sum x over axes; no axes give a copy. With keepdims the summed axes stay, with length 1."""
    return np.asarray(np.sum(x, axis=axes, keepdims=keepdims, dtype=x.dtype))


@np.errstate(all="ignore")
def prod(x: np.ndarray, axes: tuple[int, ...], keepdims: bool) -> np.ndarray:
    """Multiply the values of x over axes; as `sum`."""
    return np.asarray(np.prod(x, axis=axes, keepdims=keepdims, dtype=x.dtype))


@np.errstate(all="ignore")
def amax(x: np.ndarray, axes: tuple[int, ...], keepdims: bool) -> np.ndarray:
    """Return the largest values of x over axes: NaN wins, of nothing -inf; as `sum`."""
    return np.asarray(np.max(x, axis=axes, keepdims=keepdims, initial=-np.inf))


@np.errstate(all="ignore")
def amin(x: np.ndarray, axes: tuple[int, ...], keepdims: bool) -> np.ndarray:
    """Return the smallest values of x over axes: NaN wins, of nothing inf; as `sum`."""
    return np.asarray(np.min(x, axis=axes, keepdims=keepdims, initial=np.inf))


@np.errstate(all="ignore")
def accumulate(a: np.ndarray, b: np.ndarray) -> None:
    """Add b to a in place; they have one shape."""
    np.add(a, b, out=a)
