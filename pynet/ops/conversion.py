"""Copies, other dtypes, and memory of other libraries."""

from __future__ import annotations

from typing import Any

import numpy as np

from pynet.autograd import Operation, Tensor, record
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


def to(x: Tensor, target: Any, dtype: Any = None) -> Tensor:
    """The tensor in another dtype, as `cast`, or of another Tensor's; "cpu", the only device, changes
    nothing.

    Raises:
        ValueError: another device.
    """
    if isinstance(target, Tensor):
        return cast(x, target.dtype)
    if isinstance(target, str) and (target == "cpu" or target.split(":")[0] in ("cuda", "gpu", "mps", "xpu")):
        if target != "cpu":
            raise ValueError(f'to: pynet runs on the CPU alone, got {target!r}; use "cpu"')
        return x if dtype is None else cast(x, dtype)
    return cast(x, target)


def cpu(x: Tensor) -> Tensor:
    """The tensor itself: it is on the CPU."""
    return x


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
