"""Dropout. The mask is never stored: backward draws it again from the same random stream."""

from __future__ import annotations

from pynet.autograd import Operation, Tensor, record
from pynet.ops._backend import Array, backend, dense, require_floats, zeros
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
