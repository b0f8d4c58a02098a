"""Gathering samples of an array into a batch, in the memory order of the array.

A batch of N samples is one `np.take` along the first axis. NumPy's `take` returns C order whatever it reads,
so a data set in kernel order (shape (N, C, H, W), NHWC in memory) is gathered through the view in which it is
C-contiguous.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence

import numpy as np

from pynet import _core


def memory_axes(array: np.ndarray) -> tuple[int, ...]:
    """The axes of one sample of `array` (all but the first), slowest in memory first, after axis 0."""
    # Stable: axes of equal stride (size 1) stay as they are. Zero and negative strides count by their size.
    return (0, *sorted(range(1, array.ndim), key=lambda axis: -abs(array.strides[axis])))


def empty_batch(shape: Sequence[int], dtype: np.dtype | type, axes: Sequence[int]) -> np.ndarray:
    """An uninitialised array of `shape` that is C-contiguous when transposed by `axes`; float32 ones come
    from the pool."""
    stored = tuple(shape[axis] for axis in axes)
    dtype = np.dtype(dtype)
    flat = _core.empty(stored, "c") if dtype == np.float32 else np.empty(stored, dtype)
    return flat.transpose(np.argsort(axes))


def check_indices(indices: Sequence[int] | np.ndarray, length: int, owner: str) -> np.ndarray:
    """`indices` as int64 in [0, length); negative ones count from the end.

    Raises:
        TypeError: they are no integers.
        IndexError: one of them lies outside [-length, length).
    """
    array = np.asarray(indices)
    if array.size == 0:
        return np.empty(array.shape, np.int64)
    if array.dtype.kind not in "iu":
        raise TypeError(f"{owner}: indices must be integers, got dtype {array.dtype}")
    outside = (array < -length) | (array >= length)
    if outside.any():
        first = array[outside].flat[0]
        raise IndexError(f"{owner}: index {first} is out of range for {length} samples")
    array = array.astype(np.int64, copy=False)
    return np.where(array < 0, array + length, array) if (array < 0).any() else array


def check_index(index: int | np.integer, length: int, owner: str) -> int:
    """One index, as `check_indices`."""
    if isinstance(index, (bool, np.bool_)):
        raise TypeError(f"{owner}: an index must be an integer, got {index!r}")
    try:
        position = operator.index(index)
    except TypeError:
        raise TypeError(f"{owner}: an index must be an integer, got {index!r}") from None
    if not -length <= position < length:
        raise IndexError(f"{owner}: index {position} is out of range for {length} samples")
    return position + length if position < 0 else position


def take(array: np.ndarray, indices: np.ndarray) -> np.ndarray:
    """The samples `array[indices]`, in the memory order of `array`.

    Args:
        array: (N, ...), any strides.
        indices: int64 (B,), each in [0, N): the caller has checked them.
    Returns:
        (B, ...), a fresh array of the same dtype.
    """
    axes = memory_axes(array)
    batch = empty_batch((len(indices), *array.shape[1:]), array.dtype, axes)
    # mode="clip" lets NumPy write into `out` without a buffer; nothing is clipped, the indices are checked.
    np.take(array.transpose(axes), indices, axis=0, out=batch.transpose(axes), mode="clip")
    return batch
