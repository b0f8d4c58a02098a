"""Along one axis: running sums and products, sorting, the largest few, rolling round. All on NumPy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from pynet.autograd import Operation, Tensor, record, wrap
from pynet.ops._backend import Array, axis, integer, tensor_of, zeros
from pynet.ops.indexing import gather
from pynet.ops.shape import reshape, squeeze


class Sorted(NamedTuple):
    """What `sort` and `topk` return."""

    values: Tensor
    indices: Tensor


# --- running sums ---------------------------------------------------------------------------------


def _cumsum_forward(x: Array, dim: int) -> tuple[Array, tuple]:
    if not x.ndim:
        return x.copy(), ()
    return np.cumsum(x, axis=dim, dtype=x.dtype if x.dtype.kind == "f" else np.int64), ()


def _cumsum_backward(dout: Array, saved: tuple, needs: tuple, dim: int) -> tuple:
    if not dout.ndim:
        return (dout,)
    return (np.flip(np.cumsum(np.flip(dout, dim), axis=dim), dim),)


CUMSUM = Operation("cumsum", _cumsum_forward, _cumsum_backward)


def cumsum(x: Tensor, dim: int) -> Tensor:
    """The sums of the first one, two, three, ... elements along an axis; integers give int64.

    Raises:
        IndexError: the axis is out of range.
    """
    x = tensor_of(x)
    return record(CUMSUM, (x,), dim=axis("cumsum", dim, x.ndim))


def _cumprod_forward(x: Array, dim: int) -> tuple[Array, tuple]:
    if not x.ndim:
        return x.copy(), (x,)
    return np.cumprod(x, axis=dim, dtype=x.dtype if x.dtype.kind == "f" else np.int64), (x,)


def _cumprod_backward(dout: Array, saved: tuple, needs: tuple, dim: int) -> tuple:
    x = np.moveaxis(saved[0], dim, 0) if dout.ndim else saved[0]
    if not dout.ndim:
        return (dout,)
    gradient = np.moveaxis(dout, dim, 0)
    dx = np.empty_like(x)
    # dx[i] = before[i] * (g[i] + x[i+1] * (g[i+1] + x[i+2] * ...)), which no zero spoils.
    before = np.ones_like(x)
    np.cumprod(x[:-1], axis=0, out=before[1:])
    tail = np.zeros(x.shape[1:], x.dtype)
    for i in range(len(x) - 1, -1, -1):
        tail = gradient[i] + tail
        dx[i] = before[i] * tail
        tail = x[i] * tail
    return (np.moveaxis(dx, 0, dim),)


CUMPROD = Operation("cumprod", _cumprod_forward, _cumprod_backward)


def cumprod(x: Tensor, dim: int) -> Tensor:
    """The products of the first one, two, three, ... elements along an axis; integers give int64.

    Raises:
        IndexError: the axis is out of range.
    """
    x = tensor_of(x)
    return record(CUMPROD, (x,), dim=axis("cumprod", dim, x.ndim))


# --- order ----------------------------------------------------------------------------------------


def _order(x: Array, dim: int, descending: bool) -> Array:
    """Positions in order, equal elements as they came; NaN counts as the largest."""
    if not descending:
        return np.argsort(x, axis=dim, kind="stable")
    # Sorting the flipped axis upwards and flipping the result keeps equal elements as they came.
    flipped = np.flip(np.argsort(np.flip(x, dim), axis=dim, kind="stable"), dim)
    return x.shape[dim] - 1 - flipped


def _select_forward(x: Array, dim: int, descending: bool, count: int) -> tuple[tuple[Array, Array], tuple]:
    if not x.ndim:
        return (x.copy(), np.zeros((), np.int64)), (None, ())
    if count < x.shape[dim] // 8:  # a few: only they are sorted
        border = x.shape[dim] - count if descending else count
        parts = np.split(np.argpartition(x, border, axis=dim), [border], axis=dim)
        some = np.sort(parts[1 if descending else 0], axis=dim)
        order = _order(np.take_along_axis(x, some, dim), dim, descending)
        indices = np.take_along_axis(some, order, dim)
    else:
        order = _order(x, dim, descending)
        indices = np.ascontiguousarray(np.moveaxis(np.moveaxis(order, dim, 0)[:count], 0, dim))
    return (np.take_along_axis(x, indices, dim), indices), (indices, x.shape)


def _select_backward(
    dout: tuple, saved: tuple, needs: tuple, dim: int, descending: bool, count: int
) -> tuple:
    indices, shape = saved
    if not shape:
        return (dout[0],)
    dx = zeros(shape, dout[0].dtype)
    np.put_along_axis(dx, indices, dout[0], dim)
    return (dx,)


SELECT = Operation("select_ordered", _select_forward, _select_backward)


def sort(x: Tensor, dim: int = -1, descending: bool = False, stable: bool = False) -> Sorted:
    """The elements along an axis in order, and where they stood; NaN counts as the largest.

    Args:
        x: any shape.
        dim: default the last axis.
        descending: largest first; default False.
        stable: accepted; equal elements always stay as they came.
    Raises:
        IndexError: the axis is out of range.
    """
    x = tensor_of(x)
    at = axis("sort", dim, x.ndim)
    count = x.shape[at] if x.ndim else 1
    return Sorted(*record(SELECT, (x,), dim=at, descending=bool(descending), count=count))


def argsort(x: Tensor, dim: int = -1, descending: bool = False, stable: bool = False) -> Tensor:
    """The indices of `sort`."""
    x = tensor_of(x)
    at = axis("argsort", dim, x.ndim)
    return wrap(_order(x.array, at, descending) if x.ndim else np.zeros((), np.int64))


def topk(x: Tensor, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> Sorted:
    """The k largest (or smallest) elements along an axis, in order, and where they stood.

    Args:
        x: any shape.
        k: how many, at most the axis's size.
        dim: default the last axis.
        largest: False for the smallest.
        sorted: accepted; the elements are always in order. Which of several equal ones are chosen is open.
    Raises:
        IndexError: the axis is out of range. ValueError: k does not fit.
    """
    x = tensor_of(x)
    at = axis("topk", dim, x.ndim)
    size = x.shape[at] if x.ndim else 1
    k = integer("topk", "k", k)
    if not 0 <= k <= size:
        raise ValueError(f"topk: k must be from 0 to {size}, the size of axis {dim}, got {k}")
    return Sorted(*record(SELECT, (x,), dim=at, descending=bool(largest), count=k))


def median(x: Tensor, dim: int | None = None, keepdim: bool = False) -> Any:
    """The middle element, the lower one of two; with an axis, (values, indices). NaN wins.

    Raises:
        ValueError: nothing to choose from. IndexError: the axis is out of range.
    """
    x = tensor_of(x)
    row = reshape(x, -1) if dim is None else x
    at = axis("median", -1 if dim is None else dim, row.ndim)
    size = row.shape[at] if row.ndim else 1
    if not size:
        raise ValueError(f"median: a tensor of shape {x.shape} has no elements to choose from")
    values, indices = sort(row, at)
    unknown = values.array.take([size - 1], at) if row.ndim else values.array
    # NaN stands last: where there is one, it is the median.
    place = np.where(unknown != unknown, size - 1, (size - 1) // 2)
    if not row.ndim:
        return Sorted(values, indices)
    found = Sorted(gather(values, at, wrap(place)), gather(indices, at, wrap(place)))
    if dim is None:
        return squeeze(found.values, 0)
    return found if keepdim else Sorted(squeeze(found.values, at), squeeze(found.indices, at))


# --- rolling --------------------------------------------------------------------------------------


def _roll_forward(x: Array, shifts: tuple[int, ...], dims: tuple[int, ...]) -> tuple[Array, tuple]:
    return np.roll(x, shifts, dims), ()


def _roll_backward(
    dout: Array, saved: tuple, needs: tuple, shifts: tuple[int, ...], dims: tuple[int, ...]
) -> tuple:
    return (np.roll(dout, tuple(-s for s in shifts), dims),)


ROLL = Operation("roll", _roll_forward, _roll_backward)


def roll(x: Tensor, shifts: int | Sequence[int], dims: int | Sequence[int] | None = None) -> Tensor:
    """The elements moved along axes; what leaves at one end comes in at the other.

    Args:
        x: any shape.
        shifts: how far, one number or one an axis.
        dims: the axes; None: x is rolled as one row.
    Raises:
        ValueError: other numbers of shifts than of axes. IndexError: an axis out of range.
    """
    x = tensor_of(x)
    by: Any = tuple(shifts) if isinstance(shifts, (tuple, list)) else (shifts,)
    by = tuple(integer("roll", "a shift", s) for s in by)
    if dims is None:
        if len(by) != 1:
            raise ValueError(f"roll: {len(by)} shifts need as many dims, got none")
        return record(ROLL, (x.reshape(-1),), shifts=by, dims=(0,)).reshape(x.shape)  # type: ignore[attr-defined]
    at = tuple(dims) if isinstance(dims, (tuple, list)) else (dims,)
    if len(at) != len(by):
        raise ValueError(f"roll: {len(by)} shifts were given for {len(at)} dims")
    return record(ROLL, (x,), shifts=by, dims=tuple(axis("roll", d, x.ndim) for d in at))
