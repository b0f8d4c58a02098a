"""Elementwise arithmetic and functions, with broadcasting.

float32 and float64 run on the backend; integers and booleans on NumPy. A Python number takes the tensor's
dtype; of an integer and a float tensor the integer one is converted, as in PyTorch; float32 and float64 do
not mix.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from pynet import _core, reference
from pynet.autograd import Operation, Tensor, record, use_kernels, wrap
from pynet.ops._backend import FLOAT32, Array, backend, number, refuse_mixed, tensor_of
from pynet.ops.conversion import cast

# --- operands -------------------------------------------------------------------------------------


def _on(a: Array) -> Any:
    """The functions for a dtype; NumPy has the same names for integers."""
    dtype = a.dtype
    if dtype == FLOAT32:
        return _core
    return reference if dtype.kind == "f" else np


def constant(value: Any, like: Tensor) -> Tensor:
    """A Python or NumPy scalar as a 0-d Tensor: in the tensor's dtype where that can hold its kind."""
    dtype = like.dtype
    if dtype.kind != "f" and isinstance(value, (float, np.floating)):
        dtype = FLOAT32
    elif dtype.kind == "b" and not isinstance(value, (bool, np.bool_)):
        dtype = np.dtype(np.int64)
    elif isinstance(value, complex):
        raise TypeError(f"a Tensor has no complex values, got {value!r}; use its real part")
    if dtype.kind in "iu":
        return wrap(np.array(int(value), dtype))  # an int beyond the dtype is an OverflowError
    return wrap(np.array(value, dtype))


_SCALARS = (bool, int, float, np.number, np.bool_)


def is_scalar(value: Any) -> bool:
    """A number that takes the dtype of the tensor it meets; NumPy's 0-d arrays are numbers too."""
    return isinstance(value, _SCALARS) or (isinstance(value, np.ndarray) and value.ndim == 0)


def operands(name: str, a: Any, b: Any) -> tuple[Tensor, Tensor]:
    """Both as Tensors of one dtype."""
    if b.__class__ is float and isinstance(a, Tensor) and a.dtype.kind == "f":  # by far the most frequent
        return a, wrap(np.array(b, a.dtype))
    if is_scalar(b) and isinstance(a, Tensor):
        b = constant(b[()] if isinstance(b, np.ndarray) else b, a)
    elif is_scalar(a) and isinstance(b, Tensor):
        a = constant(a[()] if isinstance(a, np.ndarray) else a, b)
    else:
        a, b = tensor_of(a), tensor_of(b)
    da, db = a.dtype, b.dtype
    if da == db:
        return a, b
    if da.kind == "f" and db.kind == "f":
        refuse_mixed(name, da, db)
    if da.kind == "f" or db.kind == "f":
        common = da if da.kind == "f" else db
    else:
        common = np.promote_types(da, db)
    return cast(a, common), cast(b, common)


def broadcast_shape(name: str, a: tuple[int, ...], b: tuple[int, ...]) -> tuple[int, ...]:
    """The common shape. ValueError when there is none."""
    if not b:
        return a
    try:
        return np.broadcast_shapes(a, b)
    except ValueError:
        raise ValueError(f"{name}: shapes {a} and {b} do not broadcast; make the sizes equal or 1") from None


def unbroadcast(gradient: Array, shape: tuple[int, ...]) -> Array:
    """The gradient summed over the axes that broadcasting added or stretched."""
    if gradient.shape == shape:
        return gradient
    lead = gradient.ndim - len(shape)
    stretched = tuple(i + lead for i, n in enumerate(shape) if n == 1 and gradient.shape[i + lead] != 1)
    summed = backend(gradient).sum(gradient, (*range(lead), *stretched), True)
    return summed.reshape(shape)


def pair_of(name: str, a: Any, b: Any) -> tuple[Tensor, Tensor]:
    """`operands` whose shapes broadcast."""
    if not (isinstance(a, Tensor) and isinstance(b, Tensor) and a.dtype is b.dtype):
        a, b = operands(name, a, b)
    if a.shape != b.shape:
        broadcast_shape(name, a.shape, b.shape)
    return a, b


# --- binary ---------------------------------------------------------------------------------------


def _add_forward(a: Array, b: Array) -> tuple[Array, tuple]:
    return _on(a).add(a, b), (a.shape, b.shape)


def _add_backward(dout: Array, saved: tuple, needs: tuple) -> tuple:
    return (
        unbroadcast(dout, saved[0]) if needs[0] else None,
        unbroadcast(dout, saved[1]) if needs[1] else None,
    )


ADD = Operation("add", _add_forward, _add_backward)


def add(a: Any, b: Any) -> Tensor:
    """a + b, elementwise with broadcasting.

    Args:
        a, b: Tensors, arrays or numbers, at least one a Tensor or array.
    Raises:
        ValueError: the shapes do not broadcast. TypeError: float32 meets float64.
    """
    return record(ADD, pair_of("add", a, b))


def _subtract_forward(a: Array, b: Array) -> tuple[Array, tuple]:
    return _on(a).subtract(a, b), (a.shape, b.shape)


def _subtract_backward(dout: Array, saved: tuple, needs: tuple) -> tuple:
    da = unbroadcast(dout, saved[0]) if needs[0] else None
    db = backend(dout).negative(unbroadcast(dout, saved[1])) if needs[1] else None
    return da, db


SUBTRACT = Operation("subtract", _subtract_forward, _subtract_backward)


def subtract(a: Any, b: Any) -> Tensor:
    """a - b, elementwise with broadcasting; arguments and errors as `add`."""
    a, b = pair_of("subtract", a, b)
    if a.dtype.kind == "b":
        raise TypeError("subtract: booleans have no difference; use ^ or convert them with .to(np.int64)")
    return record(SUBTRACT, (a, b))


def _multiply_forward(a: Array, b: Array) -> tuple[Array, tuple]:
    return _on(a).multiply(a, b), (a, b)


def _multiply_backward(dout: Array, saved: tuple, needs: tuple) -> tuple:
    a, b = saved
    on = backend(dout)
    da = unbroadcast(on.multiply(dout, b), a.shape) if needs[0] else None
    db = unbroadcast(on.multiply(dout, a), b.shape) if needs[1] else None
    return da, db


MULTIPLY = Operation("multiply", _multiply_forward, _multiply_backward)


def multiply(a: Any, b: Any) -> Tensor:
    """a * b, elementwise with broadcasting; arguments and errors as `add`."""
    return record(MULTIPLY, pair_of("multiply", a, b))


def _divide_forward(a: Array, b: Array) -> tuple[Array, tuple]:
    return backend(a).divide(a, b), (a, b)


def _divide_backward(dout: Array, saved: tuple, needs: tuple) -> tuple:
    a, b = saved
    on = backend(dout)
    over = on.divide(dout, b)
    da = unbroadcast(over, a.shape) if needs[0] else None
    db = None
    if needs[1]:
        db = on.negative(unbroadcast(on.multiply(over, on.divide(a, b)), b.shape))
    return da, db


DIVIDE = Operation("divide", _divide_forward, _divide_backward)


def divide(a: Any, b: Any) -> Tensor:
    """a / b, elementwise with broadcasting; integers are divided as float32.

    Arguments and errors as `add`.
    """
    a, b = pair_of("divide", a, b)
    if a.dtype.kind != "f":
        a, b = cast(a, FLOAT32), cast(b, FLOAT32)
    return record(DIVIDE, (a, b))


def _extremum(name: str) -> Operation:
    sign = 1 if name == "maximum" else -1

    def forward(a: Array, b: Array) -> tuple[Array, tuple]:
        return getattr(_on(a), name)(a, b), (a, b)

    def backward(dout: Array, saved: tuple, needs: tuple) -> tuple:
        a, b = saved
        # A tie shares the gradient; NaN sends it to both, as PyTorch does.
        loses = np.less(a, b) if sign == 1 else np.greater(a, b)
        wins = np.greater(a, b) if sign == 1 else np.less(a, b)
        half = np.where(a == b, dout * dout.dtype.type(0.5), dout)
        zero = dout.dtype.type(0)
        da = unbroadcast(np.where(loses, zero, half), a.shape) if needs[0] else None
        db = unbroadcast(np.where(wins, zero, half), b.shape) if needs[1] else None
        return da, db

    return Operation(name, forward, backward)


MAXIMUM, MINIMUM = _extremum("maximum"), _extremum("minimum")


def maximum(a: Any, b: Any) -> Tensor:
    """The larger of a and b, elementwise with broadcasting; NaN wins. Arguments and errors as `add`."""
    return record(MAXIMUM, pair_of("maximum", a, b))


def minimum(a: Any, b: Any) -> Tensor:
    """The smaller of a and b, elementwise with broadcasting; NaN wins. Arguments and errors as `add`."""
    return record(MINIMUM, pair_of("minimum", a, b))


def _power_forward(a: Array, b: Array) -> tuple[Array, tuple]:
    if b.ndim == 0 and b == 2 and a.dtype.kind == "f":
        return backend(a).square(a), (a, b, None)
    out = _on(a).power(a, b)
    return out, (a, b, out)


def _power_backward(dout: Array, saved: tuple, needs: tuple) -> tuple:
    a, b, out = saved
    on = backend(dout)
    da = db = None
    if needs[0]:
        if out is None:
            slope = on.multiply(a, b)
        else:
            slope = on.multiply(b, on.power(a, on.subtract(b, np.ones((), b.dtype))))
            slope = np.where(b == 0, slope.dtype.type(0), slope)  # 0 * 0**-1
        da = unbroadcast(on.multiply(dout, slope), a.shape)
    if needs[1]:
        if out is None:
            out = on.square(a)
        with np.errstate(divide="ignore", invalid="ignore"):
            # d/db a**b = a**b ln a; at a = 0 the limit for b >= 0 is 0.
            slope = np.where((a == 0) & (b >= 0), out.dtype.type(0), out * np.log(a))
        db = unbroadcast(on.multiply(dout, slope), b.shape)
    return da, db


POWER = Operation("power", _power_forward, _power_backward)


def pow(a: Any, b: Any) -> Tensor:
    """a ** b, elementwise with broadcasting; arguments and errors as `add`.

    Raises:
        ValueError: integers to a negative integer power.
    """
    a, b = pair_of("pow", a, b)
    return record(POWER, (a, b))


def _where_forward(condition: Array, a: Array, b: Array) -> tuple[Array, tuple]:
    return np.where(condition, a, b), (condition, a.shape, b.shape)


def _where_backward(dout: Array, saved: tuple, needs: tuple) -> tuple:
    condition, a_shape, b_shape = saved
    zero = dout.dtype.type(0)
    da = unbroadcast(np.where(condition, dout, zero), a_shape) if needs[1] else None
    db = unbroadcast(np.where(condition, zero, dout), b_shape) if needs[2] else None
    return None, da, db


WHERE = Operation("where", _where_forward, _where_backward)


def where(condition: Any, a: Any, b: Any) -> Tensor:
    """a where the condition holds, b elsewhere, with broadcasting.

    Args:
        condition: bool Tensor or array.
        a, b: as for `add`.
    Raises:
        TypeError: the condition is not boolean, or float32 meets float64.
    """
    condition = tensor_of(condition)
    if condition.dtype.kind != "b":
        raise TypeError(
            f"where: the condition is {condition.dtype}, expected bool; compare it with something first"
        )
    if is_scalar(a) and is_scalar(b):
        a = constant(a, wrap(np.zeros((), FLOAT32)))
    a, b = operands("where", a, b)
    broadcast_shape("where", condition.shape, broadcast_shape("where", a.shape, b.shape))
    return record(WHERE, (condition, a, b))


# --- unary ----------------------------------------------------------------------------------------


def _unary(name: str, slope: Callable[[Any, Array, Array, Array], Array], saves: str) -> Operation:
    """An elementwise function; `slope(on, dout, x, out)` is dx.

    `saves` names the one array that the slope reads.
    """

    def forward(x: Array) -> tuple[Array, tuple]:
        out = getattr(_on(x), name)(x)
        return out, (x if saves == "x" else out if saves == "out" else None,)

    def backward(dout: Array, saved: tuple, needs: tuple) -> tuple:
        return (slope(backend(dout), dout, saved[0], saved[0]),)

    return Operation(name, forward, backward)


def _abs_slope(on: Any, dout: Array, x: Array, out: Array) -> Array:
    return on.multiply(dout, np.sign(x))


def _sqrt_slope(on: Any, dout: Array, x: Array, out: Array) -> Array:
    return on.divide(dout, on.add(out, out))


NEGATIVE = _unary("negative", lambda on, dout, x, out: on.negative(dout), "")
EXP = _unary("exp", lambda on, dout, x, out: on.multiply(dout, out), "out")
LOG = _unary("log", lambda on, dout, x, out: on.divide(dout, x), "x")
SQRT = _unary("sqrt", _sqrt_slope, "out")
ABS = _unary("abs", _abs_slope, "x")
SQUARE = _unary("square", lambda on, dout, x, out: on.multiply(dout, on.add(x, x)), "x")
RECIPROCAL = _unary(
    "reciprocal", lambda on, dout, x, out: on.negative(on.multiply(dout, on.square(out))), "out"
)
SIN = _unary("sin", lambda on, dout, x, out: on.multiply(dout, on.cos(x)), "x")
COS = _unary("cos", lambda on, dout, x, out: on.negative(on.multiply(dout, on.sin(x))), "x")


def _floats(x: Any) -> Tensor:
    x = tensor_of(x)
    return x if x.dtype.kind == "f" else cast(x, FLOAT32)


def negative(x: Tensor) -> Tensor:
    """-x."""
    if x.dtype.kind == "b":
        raise TypeError("negative: booleans have no negative; use ~ for not")
    return record(NEGATIVE, (x,))


def exp(x: Tensor) -> Tensor:
    """e ** x; integers as float32."""
    return record(EXP, (_floats(x),))


def log(x: Tensor) -> Tensor:
    """The natural logarithm: -inf at 0, NaN below; integers as float32."""
    return record(LOG, (_floats(x),))


def sqrt(x: Tensor) -> Tensor:
    """The square root: NaN below 0; integers as float32."""
    return record(SQRT, (_floats(x),))


def abs(x: Tensor) -> Tensor:
    """The absolute value; its slope at 0 counts as 0."""
    return record(ABS, (x,))


def square(x: Tensor) -> Tensor:
    """x * x."""
    return record(SQUARE, (x,))


def reciprocal(x: Tensor) -> Tensor:
    """1 / x; integers as float32."""
    return record(RECIPROCAL, (_floats(x),))


def sin(x: Tensor) -> Tensor:
    """The sine of x in radians; integers as float32."""
    return record(SIN, (_floats(x),))


def cos(x: Tensor) -> Tensor:
    """The cosine of x in radians; integers as float32."""
    return record(COS, (_floats(x),))


def _clamp_forward(x: Array, low: float | None, high: float | None) -> tuple[Array, tuple]:
    return np.clip(x, low, high), (x,)


def _clamp_backward(dout: Array, saved: tuple, needs: tuple, low: float | None, high: float | None) -> tuple:
    x = saved[0]
    inside = np.ones(x.shape, bool) if low is None else x >= low
    if high is not None:
        inside &= x <= high
    return (np.where(inside, dout, dout.dtype.type(0)),)


CLAMP = Operation("clamp", _clamp_forward, _clamp_backward)


def clamp(x: Tensor, min: float | None = None, max: float | None = None) -> Tensor:
    """x limited to [min, max]; NaN stays. The gradient passes inside the limits, ends included.

    Args:
        x: any shape.
        min, max: numbers or None for no limit.
    Raises:
        ValueError: both are None.
    """
    if min is None and max is None:
        raise ValueError("clamp: min and max are both None; give at least one")
    for name, limit in (("min", min), ("max", max)):
        if limit is not None:
            number("clamp", name, limit)
    cast_to = x.dtype.type
    return record(
        CLAMP, (x,), low=None if min is None else cast_to(min), high=None if max is None else cast_to(max)
    )


# --- the tape's sums ------------------------------------------------------------------------------


def _sum_of_gradients(a: Array, b: Array) -> Array:
    return _on(a).add(a, b)


def _accumulate_gradient(a: Array, b: Array) -> None:
    _on(a).accumulate(a, b)


use_kernels(_sum_of_gradients, _accumulate_gradient)
