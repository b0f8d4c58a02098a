"""Copies, other dtypes, and memory of other libraries."""

from __future__ import annotations

from typing import Any

import numpy as np

from pynet.autograd import Operation, Tensor, record
from pynet.devices import names_device, on_cpu
from pynet.ops._backend import FLOAT32, FLOAT64, Array


def _cast_forward(x: Array, dtype: np.dtype) -> tuple[Array, tuple]:
    return x.astype(dtype), (x.dtype,)


def _cast_backward(dout: Array, saved: tuple, needs: tuple, dtype: np.dtype) -> tuple:
    return (dout.astype(saved[0]),)


CAST = Operation("cast", _cast_forward, _cast_backward)


def cast(x: Tensor, dtype: Any) -> Tensor:
    """The tensor in another dtype; itself when it has that dtype. Integers carry no gradient.

    Args:
        x: any shape.
        dtype: float32, float64, an integer type or bool, as NumPy takes them.
    """
    try:
        dtype = np.dtype(dtype)
    except TypeError:
        raise TypeError(
            f"cast: {dtype!r} is no dtype; use pynet.float32, pynet.float64 or a NumPy dtype"
        ) from None
    if dtype == x.dtype:
        return x
    if dtype.kind not in "biuf" or (dtype.kind == "f" and dtype.itemsize not in (4, 8)):
        raise TypeError(f"cast: a Tensor is float32, float64, integer or bool, not {dtype}; use float32")
    if dtype.kind != "f":
        x = x.detach()
    return record(CAST, (x,), dtype=dtype)


def _clone_forward(x: Array) -> tuple[Array, tuple]:
    return x.copy(order="K"), ()


def _clone_backward(dout: Array, saved: tuple, needs: tuple) -> tuple:
    return (dout,)


CLONE = Operation("clone", _clone_forward, _clone_backward)


def clone(x: Tensor) -> Tensor:
    """A copy in the same memory order, through which gradients flow."""
    return record(CLONE, (x,))


def to(x: Tensor, *args: Any, dtype: Any = None, device: Any = None, copy: bool = False) -> Tensor:
    """The tensor in another dtype, as `cast`; the CPU, the only device, changes nothing.

    Args:
        x: any shape.
        args: a dtype, the device "cpu", or a Tensor whose dtype is taken, in any order.
        dtype, device: the same as keywords.
        copy: copy even where nothing changes.
    Raises:
        ValueError: another device. TypeError: no dtype that a Tensor can have.
    """
    for argument in args:
        if isinstance(argument, Tensor):
            dtype = argument.dtype
        elif names_device(argument):
            device = argument
        elif argument is not None and not isinstance(argument, bool):  # a bool is `non_blocking`
            dtype = argument
    on_cpu("to", device)
    result = x if dtype is None else cast(x, dtype)
    return clone(x) if copy and result is x else result


def cpu(x: Tensor) -> Tensor:
    """The tensor itself: it is on the CPU."""
    return x


def cuda(x: Tensor, device: Any = None) -> Tensor:
    """Always a ValueError: there is no GPU."""
    raise ValueError("cuda: pynet runs on the CPU alone; ask pynet.cuda.is_available() first")


def contiguous(x: Tensor) -> Tensor:
    """The tensor itself: memory order is the library's business."""
    return x


def type_as(x: Tensor, other: Tensor) -> Tensor:
    """The tensor in the other's dtype, as `cast`."""
    return cast(x, other.dtype)


def integers(x: Tensor) -> Tensor:
    """The tensor in int32, fractions cut off."""
    return cast(x, np.int32)


def booleans(x: Tensor) -> Tensor:
    """Where the elements are not zero: a bool Tensor."""
    return cast(x, np.bool_)


def single(x: Tensor) -> Tensor:
    """The tensor in float32."""
    return cast(x, FLOAT32)


def double(x: Tensor) -> Tensor:
    """The tensor in float64."""
    return cast(x, FLOAT64)


def long(x: Tensor) -> Tensor:
    """The tensor in int64, fractions cut off."""
    return cast(x, np.int64)


def from_dlpack(source: Any) -> Tensor:
    """A Tensor that shares the memory of another library's array, given through its `__dlpack__`.

    Raises:
        TypeError: no DLPack source, or a dtype that a Tensor cannot have.
    """
    if not hasattr(source, "__dlpack__"):
        raise TypeError(
            f"from_dlpack: {type(source).__name__} has no __dlpack__ method; convert it to an ndarray"
        )
    return Tensor(np.from_dlpack(source))
