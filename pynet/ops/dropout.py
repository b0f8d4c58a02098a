"""Dropout of elements, channels and samples.

The mask of single elements is never stored: backward draws it again from the same random stream.
"""

from __future__ import annotations

import math

from pynet.autograd import Operation, Tensor, record, wrap
from pynet.ops._backend import Array, backend, dense, require_floats, zeros
from pynet.ops.arithmetic import add, multiply
from pynet.random import Generator, default_generator

# Masks are numbered in memory order, hence `dense`: forward and backward must walk the elements alike.


def _forward(x: Array, p: float, seed: int, offset: int) -> tuple[Array, tuple]:
    if p == 1.0:
        return zeros(x.shape, x.dtype), ()
    return backend(x).dropout_forward(dense(x), p, seed, offset), ()


def _backward(dout: Array, saved: tuple, needs: tuple, p: float, seed: int, offset: int) -> tuple:
    if p == 1.0:
        return (zeros(dout.shape, dout.dtype),)
    return (backend(dout).dropout_backward(dense(dout), p, seed, offset),)


DROPOUT = Operation("dropout", _forward, _backward)


def dropout(
    x: Tensor,
    p: float = 0.5,
    training: bool = True,
    inplace: bool = False,
    generator: Generator | None = None,
) -> Tensor:
    """Zeroes each element with probability p and scales the rest by 1 / (1 - p).

    Args:
        x: float, any shape.
        p: in [0, 1].
        training: False returns x itself.
        inplace: accepted for PyTorch's sake; the result is a new Tensor all the same.
        generator: where the random stream comes from; None for the default generator.
    Raises:
        ValueError: p outside [0, 1].
    Source:
        Srivastava et al. 2014 (the inverted form).
    """
    require_floats("dropout", x=x)
    if not 0.0 <= p <= 1.0:
        raise ValueError(f"dropout: p must be from 0 to 1, got {p}")
    if not training or p == 0.0:
        return x
    source = default_generator if generator is None else generator
    return record(DROPOUT, (x,), p=float(p), seed=source.seed, offset=source.next_offset())


def _checked(name: str, x: Tensor, p: float) -> None:
    require_floats(name, input=x)
    if not 0.0 <= p <= 1.0:
        raise ValueError(f"{name}: p must be from 0 to 1, got {p}")


def _kept(x: Tensor, axes: int, p: float) -> Array:
    """Ones and, with probability p, zeros for each entry of the first axes, shaped to broadcast with x."""
    shape = x.shape[:axes] + (1,) * (x.ndim - axes)
    source = default_generator
    drawn = backend(x.array).random_uniform(shape, 0.0, 1.0, source.seed, source.next_offset())
    return (drawn >= p).astype(x.dtype)


def _scaled(kept: Array, p: float) -> Tensor:
    return wrap(kept if p == 1.0 else kept * kept.dtype.type(1.0 / (1.0 - p)))


def dropout1d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Zeroes whole channels of (N, C, L) or (C, L) with probability p and scales the rest by 1 / (1 - p).

    Args:
        input: float.
        p: in [0, 1].
        training: False returns the input itself.
        inplace: accepted; the result is a new Tensor in any case.
    Raises:
        ValueError: p outside [0, 1], or another number of axes.
    Source:
        Tompson et al. 2015.
    """
    _checked("dropout1d", input, p)
    if input.ndim not in (2, 3):
        raise ValueError(f"dropout1d: expected (N, C, L) or (C, L), got shape {input.shape}")
    if not training or p == 0.0:
        return input
    return multiply(input, _scaled(_kept(input, input.ndim - 1, p), p))


def dropout2d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Zeroes whole maps of (N, C, H, W) with probability p and scales the rest; (N, C, L) as `dropout1d`."""
    _checked("dropout2d", input, p)
    if input.ndim not in (3, 4):
        raise ValueError(f"dropout2d: expected (N, C, H, W) or (N, C, L), got shape {input.shape}")
    if not training or p == 0.0:
        return input
    return multiply(input, _scaled(_kept(input, 2, p), p))


def drop_path(
    input: Tensor, drop_prob: float = 0.0, training: bool = False, scale_by_keep: bool = True
) -> Tensor:
    """Stochastic depth: zeroes whole samples (N, ...), so that only a shortcut around the path remains.

    Args:
        input: float (N, ...).
        drop_prob: the probability, in [0, 1].
        training: False (default) returns the input itself.
        scale_by_keep: scale the rest by 1 / (1 - drop_prob), default True.
    Raises:
        ValueError: a probability outside [0, 1], or no axis of samples.
    Source:
        Huang et al. 2016.
    """
    _checked("drop_path", input, drop_prob)
    if not input.ndim:
        raise ValueError("drop_path: a 0-d tensor has no axis of samples")
    if not training or drop_prob == 0.0:
        return input
    kept = _kept(input, 1, drop_prob)
    return multiply(input, _scaled(kept, drop_prob) if scale_by_keep else wrap(kept))


_SATURATED = -1.7580993408473766  # where SELU ends: -scale * alpha


def alpha_dropout(input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False) -> Tensor:
    """Sets elements to SELU's lowest value with probability p, then restores mean 0 and variance 1.

    Args:
        input: float, any shape.
        p: in [0, 1]; with 1 all is zero.
        training: False (default) returns the input itself.
        inplace: accepted; the result is a new Tensor in any case.
    Raises:
        ValueError: p outside [0, 1].
    Source:
        Klambauer et al. 2017, section 3.
    """
    _checked("alpha_dropout", input, p)
    if not training or p == 0.0:
        return input
    if p == 1.0:
        return multiply(input, 0.0)
    scale = 1.0 / math.sqrt((1.0 - p) * (1.0 + p * _SATURATED**2))
    kept = _kept(input, input.ndim, p)
    number = kept.dtype.type
    shift = (number(1) - kept) * number(_SATURATED * scale) - number(_SATURATED * scale * p)
    return add(multiply(input, wrap(kept * number(scale))), wrap(shift))
