"""The length of vectors, by any p-norm."""

from __future__ import annotations

import math

import numpy as np

from pynet.autograd import Operation, Tensor, record, wrap
from pynet.ops import arithmetic as a
from pynet.ops import reduction as r
from pynet.ops._backend import Array, axes, backend, require_floats


def _length_forward(x: Array, over: tuple[int, ...], keepdim: bool) -> tuple[Array, tuple]:
    on = backend(x)
    squares = on.sum(on.square(x), over, True)
    length = np.sqrt(squares)
    return length if keepdim else length.reshape(_kept(x.shape, over)), (x, length)


def _length_backward(dout: Array, saved: tuple, needs: tuple, over: tuple[int, ...], keepdim: bool) -> tuple:
    x, length = saved
    # The slope at length 0 is taken to be 0, as everywhere in the field.
    share = np.divide(dout.reshape(length.shape), length, out=np.zeros_like(length), where=length != 0)
    return (x * share,)


def _kept(shape: tuple[int, ...], over: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(n for i, n in enumerate(shape) if i not in over)


LENGTH = Operation("norm", _length_forward, _length_backward)


def norm(x: Tensor, p: float | str = 2, dim: r.Dims = None, keepdim: bool = False) -> Tensor:
    """The length of x, or of the vectors along axes.

    Args:
        x: float, any shape.
        p: the order: 2 or "fro" (default), 1, any other number, infinity (largest absolute value), -infinity
            (smallest) or 0 (how many are not zero).
        dim: None for all axes, one axis or several.
        keepdim: keep the reduced axes with size 1.
    Raises:
        IndexError: an axis out of range. ValueError: an unknown order.
    """
    require_floats("norm", x=x)
    over = axes("norm", dim, x.ndim)
    if isinstance(p, str) and p != "fro":
        raise ValueError(f'norm: p must be a number or "fro", got {p!r}')
    if p in (2, "fro"):
        return record(LENGTH, (x,), over=over, keepdim=keepdim)
    size = a.abs(x)
    if p == math.inf:
        return r.amax(size, dim, keepdim)
    if p == -math.inf:
        return r.amin(size, dim, keepdim)
    if p == 0:
        return r.sum(wrap((x.array != 0).astype(x.dtype)), dim, keepdim)
    return r.sum(size, dim, keepdim) if p == 1 else a.pow(r.sum(a.pow(size, p), dim, keepdim), 1.0 / float(p))
