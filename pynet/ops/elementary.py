"""Elementary functions that networks rarely need, element by element on NumPy; integers count as float32."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from pynet.autograd import Operation, Tensor, record
from pynet.ops._backend import FLOAT32, Array, tensor_of
from pynet.ops.conversion import cast


def _function(
    name: str, text: str, value: Callable[[Array], Any], slope: Callable[[Array, Array], Any]
) -> Callable[[Tensor], Tensor]:
    """A function with its `value(x)` and its `slope(x, value)`."""

    def forward(x: Array) -> tuple[Array, tuple]:
        with np.errstate(all="ignore"):
            out = np.asarray(value(x), x.dtype)
        return out, (x, out)

    def backward(dout: Array, saved: tuple, needs: tuple) -> tuple:
        with np.errstate(all="ignore"):
            return (np.asarray(dout * slope(*saved), dout.dtype),)

    operation = Operation(name, forward, backward)

    def apply(x: Tensor) -> Tensor:
        x = tensor_of(x)
        return record(operation, (x if x.dtype.kind == "f" else cast(x, FLOAT32),))

    apply.__name__ = apply.__qualname__ = name
    apply.__doc__ = text
    return apply


rsqrt = _function(
    "rsqrt", "1 / sqrt(x): inf at 0, NaN below.", lambda x: 1 / np.sqrt(x), lambda x, y: -0.5 * y / x
)
log1p = _function("log1p", "log(1 + x), accurate near 0.", np.log1p, lambda x, y: 1 / (1 + x))
expm1 = _function("expm1", "e^x - 1, accurate near 0.", np.expm1, lambda x, y: y + 1)
log2 = _function("log2", "The logarithm to base 2.", np.log2, lambda x, y: 1 / (x * np.log(2.0)))
log10 = _function("log10", "The logarithm to base 10.", np.log10, lambda x, y: 1 / (x * np.log(10.0)))
exp2 = _function("exp2", "2^x.", np.exp2, lambda x, y: y * np.log(2.0))
tan = _function("tan", "The tangent of x in radians.", np.tan, lambda x, y: 1 + y * y)
asin = _function("asin", "The angle whose sine is x.", np.arcsin, lambda x, y: 1 / np.sqrt(1 - x * x))
acos = _function("acos", "The angle whose cosine is x.", np.arccos, lambda x, y: -1 / np.sqrt(1 - x * x))
atan = _function("atan", "The angle whose tangent is x.", np.arctan, lambda x, y: 1 / (1 + x * x))
sinh = _function("sinh", "The hyperbolic sine.", np.sinh, lambda x, y: np.cosh(x))
cosh = _function("cosh", "The hyperbolic cosine.", np.cosh, lambda x, y: np.sinh(x))
