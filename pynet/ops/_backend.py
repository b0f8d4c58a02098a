"""Which implementation an operation runs on, and the memory orders that the kernels want.

float32 runs on the kernels of `pynet._core`, float64 on `pynet.reference`; both have the same functions.
Arrays that are not in kernel order are converted here once, so that forward and backward share the converted
array.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np

from pynet import _core, reference
from pynet.autograd import Tensor, checked

Array = np.ndarray
Pair = tuple[int, int]

FLOAT32 = np.dtype(np.float32)
FLOAT64 = np.dtype(np.float64)


def backend(*arrays: Array | None) -> Any:
    """`pynet._core` for float32, `pynet.reference` for float64; None among the arrays is skipped.

    Raises:
        TypeError: mixed or other dtypes.
    """
    for a in arrays:
        if a is not None and a.dtype is not FLOAT32:
            break
    else:
        return _core
    dtypes = [a.dtype for a in arrays if a is not None]
    found = dtypes[0]
    for dtype in dtypes:
        if dtype != found:
            refuse_mixed("an operation", found, dtype)
    if found == FLOAT32:  # an equal object that NumPy did not make
        return _core
    if found == FLOAT64:
        return reference
    raise TypeError(f"operations on floats need float32 or float64, got {found}; convert with .float()")


def refuse_mixed(name: str, first: Any, second: Any) -> NoReturn:
    """The TypeError for two dtypes in one operation."""
    if {str(first), str(second)} == {"float32", "float64"}:
        raise TypeError(
            f"{name}: float32 and float64 do not mix; convert one of them with .float() or .double()"
            " (NumPy arrays are float64 by default)"
        )
    raise TypeError(f"{name}: {first} and {second} do not mix; convert one of them with .to(dtype)")


def tensor_of(value: Any) -> Tensor:
    """A Tensor as it is, an array or nested lists as a Tensor that shares memory where possible."""
    return value if isinstance(value, Tensor) else Tensor(checked(value))


def require_floats(name: str, **operands: Tensor | None) -> None:
    """TypeError unless all operands are float Tensors of one dtype; after the first None is skipped."""
    first = None
    for position, (argument, t) in enumerate(operands.items()):
        if t is None and position:
            continue
        if not isinstance(t, Tensor):
            raise TypeError(
                f"{name}: {argument} must be a Tensor, got {type(t).__name__}; wrap it with pynet.tensor()"
            )
        dtype = t.dtype
        if dtype.kind != "f":
            raise TypeError(
                f"{name}: {argument} is {dtype}, expected float32 or float64; convert it with .float()"
            )
        if first is not None and dtype != first:
            refuse_mixed(name, first, dtype)
        first = dtype


def require_constant(name: str, argument: str, t: Tensor) -> None:
    """RuntimeError where a gradient is asked for that the operation does not compute."""
    if t.requires_grad:
        raise RuntimeError(f"{name}: no gradient is computed for {argument}; pass {argument}.detach()")


# --- memory order ---------------------------------------------------------------------------------


c_order: Callable[[Array], Array] = _core._c
"""An array in C order, the last axis innermost: itself where it is, else a copy."""

nhwc: Callable[[Array], Array] = _core._nhwc
"""A (N, C, H, W) array in kernel order, channels innermost: itself where it is, else a copy."""

hwio: Callable[[Array], Array] = _core._hwio
"""A (F, C, KH, KW) weight in kernel order, filters innermost: itself where it is, else a copy."""

io: Callable[[Array], Array] = _core._io
"""A (out, in) weight in kernel order, outputs innermost: itself where it is, else a copy."""


def dense(a: Array) -> Array:
    """The array in the one order that its rank has: NHWC for four axes, C order else."""
    if a.ndim == 4:
        return nhwc(a)
    return a if a.flags.c_contiguous else np.ascontiguousarray(a)


def empty(shape: tuple[int, ...], dtype: Any) -> Array:
    """An uninitialised array in the order of its rank."""
    if dtype == FLOAT32:
        return _core.empty(shape, "nhwc" if len(shape) == 4 else "c")  # from the pool
    if len(shape) == 4:
        n, c, h, w = shape
        return np.empty((n, h, w, c), dtype).transpose(0, 3, 1, 2)
    return np.empty(shape, dtype)


def zeros(shape: tuple[int, ...], dtype: Any) -> Array:
    """Zeros in the order of its rank."""
    found = empty(shape, dtype)
    found.fill(0)
    return found


# --- arguments ------------------------------------------------------------------------------------


def integer(name: str, argument: str, value: Any) -> int:
    """A size given by the user. TypeError for bool, float and the rest."""
    if type(value) is int:
        return value
    if isinstance(value, (np.integer, Tensor)) and not isinstance(value, np.bool_):
        return value.__index__()
    raise TypeError(f"{name}: {argument} must be an int, got {type(value).__name__} {value!r}")


def number(name: str, argument: str, value: Any) -> float:
    """A real number given by the user. TypeError for the rest."""
    if isinstance(value, (int, float, np.number)) and not isinstance(value, np.complexfloating):
        return value  # type: ignore[return-value]
    if isinstance(value, Tensor) and value.numel() == 1:
        return value.item()
    raise TypeError(f"{name}: {argument} must be a number, got {type(value).__name__} {value!r}")


def pair(name: str, argument: str, value: Any, least: int) -> tuple[int, int]:
    """An int or two ints as (height, width), each at least `least`."""
    if type(value) is int:
        found = (value, value)
    elif type(value) is tuple and len(value) == 2 and type(value[0]) is int and type(value[1]) is int:
        found = value
    elif isinstance(value, (tuple, list)):
        if len(value) != 2:
            raise ValueError(f"{name}: {argument} takes one int or two, (height, width), got {value!r}")
        found = (integer(name, argument, value[0]), integer(name, argument, value[1]))
    else:
        both = integer(name, argument, value)
        found = (both, both)
    if found[0] < least or found[1] < least:
        raise ValueError(f"{name}: {argument} must be at least {least}, got {value!r}")
    return found


def window_counts(shape: tuple[int, ...], kernel: Any, stride: Pair, padding: Pair, dilation: Pair) -> Pair:
    """How many windows fit into padded maps (N, C, H, W), down and across."""
    return (
        (shape[2] + 2 * padding[0] - dilation[0] * (kernel[0] - 1) - 1) // stride[0] + 1,
        (shape[3] + 2 * padding[1] - dilation[1] * (kernel[1] - 1) - 1) // stride[1] + 1,
    )


def axis(name: str, value: Any, ndim: int) -> int:
    """An axis as a number from 0 on.

    IndexError when out of range (a 0-d tensor counts as having one axis).
    """
    number = integer(name, "dim", value)
    count = max(ndim, 1)
    if not -count <= number < count:
        raise IndexError(
            f"{name}: dim {number} is out of range for {ndim} axes; expected {-count} to {count - 1}"
        )
    return number % count


def axes(name: str, value: Any, ndim: int) -> tuple[int, ...]:
    """None (all), an axis or several as a sorted tuple. ValueError for doubled ones."""
    if value is None:
        return tuple(range(ndim))
    found = (
        tuple(axis(name, v, ndim) for v in value)
        if isinstance(value, (tuple, list))
        else (axis(name, value, ndim),)
    )
    if len(set(found)) != len(found):
        raise ValueError(f"{name}: dim {value!r} names an axis twice; give each once")
    if isinstance(value, (tuple, list)) and not value:
        return tuple(range(ndim))
    return tuple(sorted(found)) if ndim else ()


def reduction_of(name: str, reduction: Any) -> str:
    """One of "none", "mean", "sum", else a ValueError."""
    if reduction not in ("none", "mean", "sum"):
        raise ValueError(f'{name}: reduction must be "none", "mean" or "sum", got {reduction!r}')
    return reduction
