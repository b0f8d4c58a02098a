"""Reading by index.

Basic indices (ints, slices, None, ...) give views, arrays and masks copies, as in NumPy.
"""

from __future__ import annotations

import builtins
from collections.abc import Iterator
from typing import Any

import numpy as np

from pynet.autograd import Operation, Tensor, record
from pynet.ops._backend import Array, axis, tensor_of, zeros
from pynet.ops.shape import reshape


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


SLICE = Operation("slice", _basic_forward, _basic_backward, view=True)
GATHER = Operation("gather", _gather_forward, _gather_backward)


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
    return getitem(x, (*(builtins.slice(None),) * at, reshape(positions, -1)))


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
    grid: list[Array] = list(np.indices(positions.shape, sparse=True))
    grid[at] = positions
    return getitem(x, tuple(grid))
