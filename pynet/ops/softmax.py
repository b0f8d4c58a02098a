"""Softmax and log-softmax along an axis."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from pynet.autograd import Operation, Tensor, record
from pynet.ops._backend import Array, axis, backend, require_floats
from pynet.ops.arithmetic import negative


def rows_of(x: Array, dim: int) -> Array:
    """x as (M, C) with axis `dim` last; a view where memory allows, as it does for the channels of maps."""
    if not x.ndim:
        return x.reshape(1, 1)
    moved = x if dim == x.ndim - 1 else np.moveaxis(x, dim, -1)
    return moved.reshape(-1, moved.shape[-1]) if moved.shape[-1] else moved.reshape(0, 0)


def from_rows(rows: Array, shape: tuple[int, ...], dim: int) -> Array:
    """The inverse of `rows_of`."""
    if dim >= len(shape) - 1:
        return rows.reshape(shape)
    moved = (*shape[:dim], *shape[dim + 1 :], shape[dim])
    return np.moveaxis(rows.reshape(moved), -1, dim)


def _operation(
    name: str, forward_rows: Callable[..., Array], backward_rows: Callable[..., Array]
) -> Operation:
    """An operation on any axis from a pair on rows."""

    def forward(x: Array, dim: int) -> tuple[Array, tuple]:
        rows = forward_rows(backend(x), rows_of(x, dim))
        return from_rows(rows, x.shape, dim), (rows, x.shape)

    def backward(dout: Array, saved: tuple, needs: tuple, dim: int) -> tuple:
        rows, shape = saved
        return (from_rows(backward_rows(backend(dout), rows_of(dout, dim), rows), shape, dim),)

    return Operation(name, forward, backward)


SOFTMAX = _operation(
    "softmax",
    lambda core, x: core.softmax_forward(x),
    lambda core, dout, out: core.softmax_backward(dout, out),
)
LOG_SOFTMAX = _operation(
    "log_softmax",
    lambda core, x: core.log_softmax_forward(x),
    lambda core, dout, out: core.log_softmax_backward(dout, out),
)


def _apply(operation: Operation, x: Tensor, dim: int) -> Tensor:
    if type(x) is not Tensor or x.dtype.kind != "f":
        require_floats(operation.name, x=x)
    at = axis(operation.name, dim, x.ndim)
    return record(operation, (x,), dim=at)


def softmax(x: Tensor, dim: int) -> Tensor:
    """exp(x) / sum of exp(x) along an axis, without overflow.

    Args:
        x: float, any shape.
        dim: the axis whose entries add up to one.
    """
    return _apply(SOFTMAX, x, dim)


def log_softmax(x: Tensor, dim: int) -> Tensor:
    """The logarithm of `softmax`, computed without overflow or underflow; arguments as there."""
    return _apply(LOG_SOFTMAX, x, dim)


def softmin(x: Tensor, dim: int) -> Tensor:
    """The softmax of -x along an axis: the smallest element gets the largest share."""
    return softmax(negative(x), dim)
