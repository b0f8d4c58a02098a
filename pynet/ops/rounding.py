"""Signs, whole numbers and remainders. What is constant between its steps has the gradient zero."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from pynet.autograd import Operation, Tensor, record
from pynet.ops._backend import Array, backend, integer, tensor_of, zeros
from pynet.ops.arithmetic import pair_of, unbroadcast


def _flat_backward(dout: Array, saved: tuple, needs: tuple, **attributes: Any) -> tuple:
    return (zeros(dout.shape, dout.dtype),)


def _sign(x: Array) -> Array:
    return np.subtract(x > 0, x < 0, dtype=x.dtype)


def _whole(function: Callable[[Array], Array]) -> Callable[[Array], Array]:
    """`function` for floats; integers are whole already."""
    return lambda x: np.asarray(function(x)) if x.dtype.kind == "f" else x.copy(order="K")


def _steps(name: str, function: Callable[[Array], Array], text: str) -> Callable[[Tensor], Tensor]:
    def forward(x: Array) -> tuple[Array, tuple]:
        return function(x), ()

    operation = Operation(name, forward, _flat_backward)

    def apply(x: Tensor) -> Tensor:
        x = tensor_of(x)
        if x.dtype.kind == "b":
            raise TypeError(f"{name}: expected numbers, got bool; convert them with .to(np.int64)")
        return record(operation, (x,))

    apply.__name__ = apply.__qualname__ = name
    apply.__doc__ = text + " The gradient is zero."
    return apply


sign = _steps("sign", _sign, "-1, 0 or 1 as x is negative, zero (or NaN) or positive.")
floor = _steps("floor", _whole(np.floor), "The largest whole number not above x.")
ceil = _steps("ceil", _whole(np.ceil), "The smallest whole number not below x.")
trunc = _steps("trunc", _whole(np.trunc), "x without its fraction.")


def _round_forward(x: Array, decimals: int) -> tuple[Array, tuple]:
    return np.asarray(np.round(x, decimals)), ()


ROUND = Operation("round", _round_forward, _flat_backward)


def round(x: Tensor, decimals: int = 0) -> Tensor:
    """x to the nearest number with so many decimals, halves to the even one. The gradient is zero."""
    return record(ROUND, (tensor_of(x),), decimals=integer("round", "decimals", decimals))


def _quotient(a: Array, b: Array) -> Array:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.floor_divide(a, b)


def _remainder_forward(a: Array, b: Array) -> tuple[Array, tuple]:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.remainder(a, b)), (a, b)


def _remainder_backward(dout: Array, saved: tuple, needs: tuple) -> tuple:
    a, b = saved
    da = unbroadcast(dout, a.shape) if needs[0] else None
    # The remainder is a - b * q with a quotient q that does not change.
    db = unbroadcast(backend(dout).multiply(dout, -_quotient(a, b)), b.shape) if needs[1] else None
    return da, db


REMAINDER = Operation("remainder", _remainder_forward, _remainder_backward)
FLOOR_DIVIDE = Operation("floor_divide", lambda a, b: (np.asarray(_quotient(a, b)), ()), None)


def _integers_by_zero(name: str, a: Tensor, b: Tensor) -> None:
    if b.dtype.kind != "f" and not np.all(b.array):
        raise ZeroDivisionError(f"{name}: an integer divided by 0; convert to floats to get inf or NaN")


def remainder(a: Any, b: Any) -> Tensor:
    """a - b * floor(a / b), with the sign of b, elementwise with broadcasting; `a % b`.

    Raises:
        ZeroDivisionError: integers divided by 0. Other errors as `add`.
    """
    a, b = pair_of("remainder", a, b)
    _integers_by_zero("remainder", a, b)
    return record(REMAINDER, (a, b))


def floor_divide(a: Any, b: Any) -> Tensor:
    """floor(a / b), elementwise with broadcasting; `a // b`. It carries no gradient.

    Raises:
        ZeroDivisionError: integers divided by 0. Other errors as `add`.
    """
    a, b = pair_of("floor_divide", a, b)
    _integers_by_zero("floor_divide", a, b)
    return record(FLOOR_DIVIDE, (a, b))
