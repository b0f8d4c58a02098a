"""Reading by index.

Basic indices (ints, slices, None, ...) give views, arrays and masks copies, as in NumPy.
"""

from __future__ import annotations

import builtins
import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from pynet.autograd import Operation, Tensor, record
from pynet.ops._backend import Array, axis, tensor_of, zeros


def plain_index(index: Any) -> tuple[Any, bool]:
    """The index with Tensors and lists as arrays, and whether it is basic.

    Raises:
        IndexError: an index that is neither integer nor boolean.
    """
    parts = index if isinstance(index, tuple) else (index,)
    found: list[Any] = []
    basic = True
    for part in parts:
        if isinstance(part, Tensor):
            part = part.array
        elif isinstance(part, (list, range)):
            part = np.asarray(part, dtype=None if len(part) else np.int64)
        if isinstance(part, np.ndarray):
            if part.dtype.kind not in "biu":
                raise IndexError(
                    f"an index must be integer, boolean, a slice, None or ..., got an array of {part.dtype}"
                )
            if part.ndim == 0 and part.dtype.kind in "iu":
                part = int(part)
            else:
                basic = False
        elif isinstance(part, slice):
            part = slice(
                *(v.__index__() if isinstance(v, Tensor) else v for v in (part.start, part.stop, part.step))
            )
        elif isinstance(part, (bool, np.bool_)):
            basic = False
        elif isinstance(part, (int, np.integer)):
            part = int(part)
        elif part is not None and part is not Ellipsis:
            raise IndexError(
                f"an index must be an int, a slice, an array, None or ..., got {type(part).__name__} {part!r}"
            )
        found.append(part)
    return tuple(found), basic


def _basic_forward(x: Array, index: tuple) -> tuple[Array, tuple]:
    # With an ellipsis a single element is a 0-d view, not a scalar.
    return x[index if Ellipsis in index else (*index, ...)], (x.shape,)


def _basic_backward(dout: Array, saved: tuple, needs: tuple, index: tuple) -> tuple:
    dx = zeros(saved[0], dout.dtype)
    dx[index] = dout
    return (dx,)


def _gather_forward(x: Array, index: tuple) -> tuple[Array, tuple]:
    return np.asarray(x[index]), (x.shape,)


def _gather_backward(dout: Array, saved: tuple, needs: tuple, index: tuple) -> tuple:
    dx = zeros(saved[0], dout.dtype)
    np.add.at(dx, index, dout)  # an element read twice gets both gradients
    return (dx,)


def _take_forward(x: Array, places: Array) -> tuple[Array, tuple]:
    return x.reshape(-1).take(places, mode="clip"), (x.shape,)  # they fit; clip is the fastest mode


def _take_backward(dout: Array, saved: tuple, needs: tuple, places: Array) -> tuple:
    dx = zeros(saved[0], dout.dtype)
    np.add.at(dx.reshape(-1), places.reshape(-1), dout.reshape(-1))
    return (dx,)


def _entries_forward(x: Array, positions: Array, dim: int) -> tuple[Array, tuple]:
    return x.take(positions, dim), (x.shape,)


def _entries_backward(dout: Array, saved: tuple, needs: tuple, positions: Array, dim: int) -> tuple:
    return _gather_backward(dout, saved, needs, (builtins.slice(None),) * dim + (positions,))


SLICE = Operation("slice", _basic_forward, _basic_backward, view=True)
GATHER = Operation("gather", _gather_forward, _gather_backward)
TAKE = Operation("take", _take_forward, _take_backward)
ENTRIES = Operation("index_select", _entries_forward, _entries_backward)


def getitem(x: Tensor, index: Any) -> Tensor:
    """x[index] as in NumPy.

    Raises:
        IndexError: out of range, too many indices, or an index of another type.
    """
    plain, basic = plain_index(index)
    if not basic:
        # The tape keeps the index: later changes of the caller's array must not reach it.
        plain = tuple(p.copy() if isinstance(p, np.ndarray) else p for p in plain)
    try:
        return record(SLICE if basic else GATHER, (x,), index=plain)
    except IndexError as error:
        raise IndexError(f"{error}; the tensor has shape {x.shape}") from None


def iterate(x: Tensor) -> Iterator[Tensor]:
    """The entries along the first axis."""
    if not x.ndim:
        raise TypeError("a 0-d tensor cannot be iterated; use item() for its value")
    return (getitem(x, i) for i in range(x.shape[0]))


def index_select(x: Tensor, dim: int, index: Any) -> Tensor:
    """The entries of an axis at the given positions (1-D integers)."""
    at = axis("index_select", dim, x.ndim)
    positions = tensor_of(index)
    if positions.ndim > 1 or positions.dtype.kind not in "iu":
        raise IndexError(
            f"index_select: index must be 1-D integers, got {positions.dtype} of shape {positions.shape}"
        )
    wanted = _within("index_select", positions.array.reshape(-1), x.shape[at])
    return record(ENTRIES, (x,), positions=wanted, dim=at)


def gather(x: Tensor, dim: int, index: Any) -> Tensor:
    """out[i][j] = x[index[i][j]][j] for dim 0, and so on.

    Args:
        x: any shape.
        dim: the axis that the index picks from.
        index: integers with as many axes as x and no larger elsewhere than at `dim`.
    Raises:
        ValueError: ranks differ. IndexError: out of range.
    """
    at = axis("gather", dim, x.ndim)
    positions = tensor_of(index).array
    if positions.ndim != x.ndim or positions.dtype.kind not in "iu":
        raise ValueError(
            f"gather: index must be integers with {x.ndim} axes, got {positions.dtype} {positions.shape}"
        )
    if any(n > m for i, (n, m) in enumerate(zip(positions.shape, x.shape, strict=True)) if i != at):
        raise IndexError(f"gather: the index {positions.shape} is larger than x {x.shape} beside axis {at}")
    positions = _within("gather", positions, x.shape[at])
    places = np.zeros((), np.int64)
    grid: list[Array] = list(np.indices(positions.shape, sparse=True))
    grid[at] = positions
    for i, along in enumerate(grid):
        places = places + along * math.prod(x.shape[i + 1 :])
    return record(TAKE, (x,), places=places)


def _within(name: str, positions: Array, size: int) -> Array:
    """A copy of the positions, which the tape keeps; IndexError where one is out of range."""
    if positions.size and not (positions.min() >= 0 and positions.max() < size):
        raise IndexError(
            f"{name}: positions from {positions.min()} to {positions.max()} do not fit into an axis of {size}"
        )
    return positions.astype(np.int64)
