"""Rows of a table looked up by number."""

from __future__ import annotations

from typing import Any

import numpy as np

from pynet.autograd import Operation, Tensor, before_write, record, wrote
from pynet.ops._backend import Array, integer, require_floats, tensor_of


def _forward(weight: Array, index: Array, padding: int | None, by_frequency: bool) -> tuple[Array, tuple]:
    order = "F" if weight.flags.f_contiguous and not weight.flags.c_contiguous else "C"
    return weight[index], (weight.shape, order)


def _backward(
    dout: Array, saved: tuple, needs: tuple, index: Array, padding: int | None, by_frequency: bool
) -> tuple:
    shape, order = saved
    dweight = np.zeros(shape, dout.dtype, order=order)
    rows, places = dout.reshape(-1, shape[1]), index.reshape(-1)
    if padding is not None:
        rows, places = rows[places != padding], places[places != padding]
    if places.size:
        # Equal numbers side by side, in the order in which they came: one sum for each.
        sorting = np.argsort(places, kind="stable")
        found, starts, counts = np.unique(places[sorting], return_index=True, return_counts=True)
        sums = np.add.reduceat(rows[sorting], starts, axis=0)
        dweight[found] = sums / counts[:, None].astype(dout.dtype) if by_frequency else sums
    return (dweight,)


EMBEDDING = Operation("embedding", _forward, _backward)


def embedding(
    input: Any,
    weight: Tensor,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Tensor:
    """weight[input]: a row of the table for every number.

    Args:
        input: integers, any shape.
        weight: float (count, size).
        padding_idx: a row that gets no gradient; negative counts from the end.
        max_norm: rows that are read and longer are scaled down to this norm first, in the table itself.
        norm_type: p of that norm.
        scale_grad_by_freq: divide each row's gradient by how often it was read.
        sparse: only False.
    Returns:
        Tensor (*input.shape, size).
    Raises:
        IndexError: a number out of range. TypeError: no integers. NotImplementedError: sparse.
    """
    require_floats("embedding", weight=weight)
    if sparse:
        raise NotImplementedError("embedding: there are no sparse gradients; leave sparse=False")
    index = tensor_of(input).array
    if index.dtype.kind not in "iu":
        raise TypeError(f"embedding: input is {index.dtype}, expected integers; convert it with .long()")
    if weight.ndim != 2:
        raise ValueError(f"embedding: weight must be (count, size), got shape {weight.shape}")
    count = weight.shape[0]
    if index.size and not (index.min() >= 0 and index.max() < count):
        raise IndexError(
            f"embedding: numbers from {index.min()} to {index.max()} are out of range for {count} rows"
        )
    padding = padding_of("embedding", padding_idx, count)
    if max_norm is not None:
        _shorten(weight, index, float(max_norm), float(norm_type))
    return record(
        EMBEDDING,
        (weight,),
        index=index.astype(np.int64),
        padding=padding,
        by_frequency=bool(scale_grad_by_freq),
    )


def padding_of(name: str, padding_idx: int | None, count: int) -> int | None:
    """The padding row's number, counted from the start."""
    if padding_idx is None:
        return None
    number = integer(name, "padding_idx", padding_idx)
    if not -count <= number < count:
        raise ValueError(f"{name}: padding_idx {number} is out of range for {count} rows")
    return number % count


def _shorten(weight: Tensor, index: Array, max_norm: float, norm_type: float) -> None:
    rows = np.unique(index)
    norms = np.linalg.norm(weight.array[rows], norm_type, axis=1)
    long = norms > max_norm
    if long.any():
        before_write()
        weight.array[rows[long]] *= (max_norm / (norms[long] + 1e-7))[:, None].astype(weight.dtype)
        wrote(weight)
