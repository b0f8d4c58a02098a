"""Tensors repeated, laid out as grids and cut to parts; what needs no kernel of its own."""

from __future__ import annotations

from typing import Any

import numpy as np

from pynet.autograd import Operation, Tensor, record
from pynet.ops._backend import Array, axis, integer, tensor_of
from pynet.ops.indexing import getitem
from pynet.ops.shape import expand, permute, reshape, sizes_of


def _tile_forward(x: Array, counts: tuple[int, ...]) -> tuple[Array, tuple]:
    return np.tile(x, counts), (x.shape,)


def _tile_backward(dout: Array, saved: tuple, needs: tuple, counts: tuple[int, ...]) -> tuple:
    shape = saved[0]
    padded = (1,) * (len(counts) - len(shape)) + shape
    split = tuple(n for pair in zip(counts, padded, strict=True) for n in pair)
    summed = dout.reshape(split).sum(axis=tuple(range(0, 2 * len(counts), 2)), dtype=dout.dtype)
    return (np.asarray(summed).reshape(shape),)


TILE = Operation("repeat", _tile_forward, _tile_backward)


def repeat(x: Tensor, *sizes: Any) -> Tensor:
    """x side by side, sizes[i] times along axis i; further axes come first. A copy.

    Args:
        x: any shape.
        sizes: counts, one an axis or more, ints or one tuple.
    Raises:
        ValueError: fewer counts than axes, or a negative one.
    """
    counts = sizes_of("repeat", sizes)
    if len(counts) < x.ndim or any(n < 0 for n in counts):
        raise ValueError(
            f"repeat: {counts} must hold a count >= 0 for each of the {x.ndim} axes of {x.shape}"
        )
    return record(TILE, (x,), counts=counts)


def tile(x: Tensor, *dims: Any) -> Tensor:
    """As `repeat`, but fewer counts than axes belong to the last axes."""
    counts = sizes_of("tile", dims)
    return repeat(x, (1,) * (x.ndim - len(counts)) + counts)


def repeat_interleave(x: Tensor, repeats: Any, dim: int | None = None) -> Tensor:
    """Every entry along an axis several times in a row; without an axis, every element of x as one row.

    Args:
        x: any shape.
        repeats: an int, or one int an entry.
        dim: the axis.
    Raises:
        ValueError: another number of counts than entries.
    """
    x = tensor_of(x)
    if dim is None:
        x, dim = reshape(x, -1), 0
    at = axis("repeat_interleave", dim, x.ndim)
    counts = tensor_of(repeats).array if not isinstance(repeats, int) else np.asarray(repeats)
    if counts.size not in (1, x.shape[at]) or (counts.size and counts.min() < 0):
        raise ValueError(
            f"repeat_interleave: repeats must be one count >= 0 or {x.shape[at]} of them, got {repeats!r}"
        )
    places = np.repeat(np.arange(x.shape[at]), counts if counts.size > 1 else counts.reshape(-1))
    return getitem(x, (*(slice(None),) * at, places))


def broadcast_to(x: Tensor, shape: Any) -> Tensor:
    """x repeated along axes of size 1 to a shape, as a read-only view; as `expand`."""
    return expand(x, *sizes_of("broadcast_to", (shape,)))


def expand_as(x: Tensor, other: Tensor) -> Tensor:
    """x repeated to the other's shape, as `expand`."""
    return expand(x, *other.shape)


def view_as(x: Tensor, other: Tensor) -> Tensor:
    """x in the other's shape, as `reshape`."""
    return reshape(x, other.shape)


def meshgrid(*tensors: Any, indexing: str = "ij") -> tuple[Tensor, ...]:
    """Coordinates of a grid from those of its axes, as read-only views.

    Args:
        tensors: rows (N,) or numbers, or one list of them.
        indexing: "ij" (default): shape (N0, N1, ...); "xy": the first two axes exchanged.
    Raises:
        ValueError: more than one axis in a tensor, or another `indexing`.
    """
    if indexing not in ("ij", "xy"):
        raise ValueError(f'meshgrid: indexing must be "ij" or "xy", got {indexing!r}')
    given = tensors[0] if len(tensors) == 1 and isinstance(tensors[0], (list, tuple)) else tensors
    rows = [tensor_of(t) for t in given]
    if any(t.ndim > 1 for t in rows):
        raise ValueError(f"meshgrid: expected rows, got shapes {[t.shape for t in rows]}")
    count = len(rows)
    order = list(range(count))
    if indexing == "xy" and count > 1:
        order[:2] = [1, 0]
    lengths = [t.numel() for t in rows]
    shape = tuple(lengths[i] for i in order)
    return tuple(
        expand(reshape(t, tuple(-1 if order[j] == i else 1 for j in range(count))), *shape)
        for i, t in enumerate(rows)
    )


def movedim(x: Tensor, source: Any, destination: Any) -> Tensor:
    """Axes moved to other places, the rest in order, as a view.

    Raises:
        ValueError: different counts, or an axis named twice.
    """
    many = [tuple(v) if isinstance(v, (tuple, list)) else (v,) for v in (source, destination)]
    here, there = (tuple(axis("movedim", d, x.ndim) for d in v) for v in many)
    if len(here) != len(there) or len(set(here)) != len(here) or len(set(there)) != len(there):
        raise ValueError(f"movedim: {source} and {destination} must name as many different axes")
    order = [i for i in range(x.ndim) if i not in here]
    for to, at in sorted(zip(there, here, strict=True)):
        order.insert(to, at)
    return permute(x, *order)


def narrow(x: Tensor, dim: int, start: int, length: int) -> Tensor:
    """`length` entries along an axis from `start` on, as a view.

    Raises:
        ValueError: they reach beyond the axis.
    """
    at = axis("narrow", dim, x.ndim)
    start, length = integer("narrow", "start", start), integer("narrow", "length", length)
    size = x.shape[at]
    start = start + size if start < 0 else start
    if not (start >= 0 and length >= 0 and start + length <= size):
        raise ValueError(f"narrow: {length} entries from {start} on exceed axis {at} of size {size}")
    return getitem(x, (*(slice(None),) * at, slice(start, start + length)))


def select(x: Tensor, dim: int, index: int) -> Tensor:
    """The entry of an axis at one position, as a view without that axis."""
    return getitem(x, (*(slice(None),) * axis("select", dim, x.ndim), integer("select", "index", index)))


def _diagonal_forward(x: Array, offset: int, dim1: int, dim2: int) -> tuple[Array, tuple]:
    return np.diagonal(x, offset, dim1, dim2).copy(), (x.shape,)


def _diagonal_backward(dout: Array, saved: tuple, needs: tuple, offset: int, dim1: int, dim2: int) -> tuple:
    dx = np.zeros(saved[0], dout.dtype)
    inner = np.diagonal(dx, offset, dim1, dim2)
    inner.flags.writeable = True  # NumPy hands out a view that forbids what is meant here
    inner[...] = dout
    return (dx,)


DIAGONAL = Operation("diagonal", _diagonal_forward, _diagonal_backward)


def diagonal(x: Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Tensor:
    """The diagonal of two axes as a new last axis, copied; offset 1 is one higher.

    Raises:
        ValueError: both are one axis.
    """
    first, second = axis("diagonal", dim1, x.ndim), axis("diagonal", dim2, x.ndim)
    if first == second or x.ndim < 2:
        raise ValueError(f"diagonal: expected two different axes, got {dim1} and {dim2} of {x.shape}")
    return record(DIAGONAL, (x,), offset=integer("diagonal", "offset", offset), dim1=first, dim2=second)


def _spread_forward(x: Array, offset: int) -> tuple[Array, tuple]:
    return np.diag(x, offset), ()


def _spread_backward(dout: Array, saved: tuple, needs: tuple, offset: int) -> tuple:
    return (np.diagonal(dout, offset).copy(),)


DIAG = Operation("diag", _spread_forward, _spread_backward)


def diag(x: Tensor, diagonal: int = 0) -> Tensor:
    """A row as the diagonal of a matrix of zeros; of a matrix, its diagonal."""
    x = tensor_of(x)
    if x.ndim == 1:
        return record(DIAG, (x,), offset=integer("diag", "diagonal", diagonal))
    if x.ndim != 2:
        raise ValueError(f"diag: expected a row or a matrix, got shape {x.shape}")
    return _diagonal(x, diagonal)


_diagonal = diagonal
