"""Tensors from data: copied by `tensor`, shared by `from_numpy`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from pynet.autograd.tape import Array
from pynet.autograd.tensors import Tensor, checked, wrap
from pynet.devices import on_cpu


def _plain(data: Any) -> Any:
    """Nested lists with Tensors in them as nested lists of arrays."""
    if isinstance(data, Tensor):
        return data.array
    if isinstance(data, (list, tuple)):
        return [_plain(d) for d in data]
    return data


def _leaves(data: Any) -> Iterator[Any]:
    if isinstance(data, (list, tuple)):
        for d in data:
            yield from _leaves(d)
    else:
        yield data


def _first_leaf(data: Any) -> Any:
    while isinstance(data, (list, tuple)) and len(data) > 0:
        data = data[0]
    return data


def tensor(data: Any, dtype: Any = None, requires_grad: bool = False, *, device: Any = None) -> Tensor:
    """A Tensor with a copy of the data.

    Args:
        data: number, nested lists, ndarray or Tensor. Python floats become float32, ints int64, bools bool;
            arrays keep their dtype and memory order.
        dtype: float32, float64, an integer type or bool; default as above.
        requires_grad: as for `Tensor`.
        device: None or "cpu".
    Raises:
        TypeError: a dtype that a Tensor cannot have. OverflowError: an int beyond 64 bits. ValueError:
            ragged lists.
    """
    on_cpu("tensor", device)
    if isinstance(data, Tensor):
        data = data.array
    if isinstance(data, (np.ndarray, np.generic)):
        array = checked(data)
        return wrap(_converted(array, array.dtype if dtype is None else dtype), requires_grad)
    data = _plain(data)
    try:
        array = np.array(data)
    except ValueError:
        raise ValueError("tensor: the rows have different lengths; give all rows of an axis one") from None
    first = _first_leaf(data)
    if (
        array.dtype.kind in "Ouf"
        and isinstance(first, int)
        and all(isinstance(d, int) for d in _leaves(data))
    ):
        array = np.array(
            data, np.int64
        )  # an OverflowError, where NumPy chose a type that does not count exactly
    if dtype is None and array.dtype == np.float64 and not isinstance(first, (np.ndarray, np.generic)):
        dtype = np.float32
    array = checked(array)
    return wrap(array if dtype is None else _converted(array, dtype), requires_grad)


def _converted(array: Array, dtype: Any) -> Array:
    """A copy in another dtype that a Tensor may have."""
    try:
        found = np.dtype(dtype)
    except TypeError:
        raise TypeError(
            f"tensor: {dtype!r} is no dtype; use pynet.float32, pynet.float64 or a NumPy dtype"
        ) from None
    checked(np.empty(0, found))
    return array.astype(found, order="K", copy=True)


def as_tensor(data: Any, dtype: Any = None, device: Any = None) -> Tensor:
    """The data as a Tensor, without a copy where it is a Tensor or array of that dtype; else as `tensor`."""
    on_cpu("as_tensor", device)
    if isinstance(data, (Tensor, np.ndarray)) and (dtype is None or data.dtype == np.dtype(dtype)):
        return data if isinstance(data, Tensor) else Tensor(data)
    return tensor(data, dtype)


def from_numpy(array: Array) -> Tensor:
    """A Tensor that shares the ndarray's memory (a big-endian array is converted, hence copied).

    Writes through NumPy are not seen by the tape: change the array only when no `backward` needs the old
    values.

    Raises:
        TypeError: not an ndarray, or a dtype that a Tensor cannot have.
    """
    if not isinstance(array, np.ndarray):
        raise TypeError(
            f"from_numpy: expected an ndarray, got {type(array).__name__}; use tensor() for other data"
        )
    return Tensor(array)
