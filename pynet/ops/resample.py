"""Sparse matrices along one axis of an image, and what applies them: the ground of interpolation and padding.

A matrix is (starts, positions, weights), as in `pynet.reference.resample`; it comes with its transpose,
which is the
gradient. Matrices depend on sizes alone and are kept.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from pynet.ops._backend import Array, backend, nhwc

Taps = tuple[Array, Array, Array]


class Matrix(NamedTuple):
    """A map of one axis, by its rows and by its columns."""

    forward: Taps
    backward: Taps


def matrix(size: int, rows: Array, positions: Array, weights: Array | float, dtype: np.dtype) -> Matrix:
    """The matrix with `weights` at (rows, positions), for an axis of `size`; entries of a row stay in order.

    Args:
        size: number of columns.
        rows: row of each entry, not falling, from 0 to the last row; every row has at least one.
        positions: column of each entry.
        weights: one an entry, or one for all.
        dtype: of the images.
    """
    outputs = int(rows[-1]) + 1 if len(rows) else 0
    values = np.broadcast_to(np.asarray(weights, dtype), rows.shape)
    order = np.argsort(positions, kind="stable")
    return Matrix(
        _by_rows(outputs, rows, positions, values),
        _by_rows(size, positions[order], rows[order], values[order]),
    )


def gather(size: int, positions: Array, dtype: np.dtype) -> Matrix:
    """The matrix that copies: output i is the input at positions[i]."""
    return matrix(size, np.arange(len(positions)), positions, 1.0, dtype)


def _by_rows(outputs: int, rows: Array, positions: Array, weights: Array) -> Taps:
    starts = np.zeros(outputs + 1, np.int64)
    np.cumsum(np.bincount(rows, minlength=outputs), out=starts[1:])
    taps = starts, positions.astype(np.int64), np.ascontiguousarray(weights)
    for a in taps:
        a.flags.writeable = False
    return taps


def apply(x: Array, down: Taps, across: Taps) -> Array:
    """Rows and columns of (N, C, H, W) maps through a matrix each."""
    x = nhwc(x)
    return backend(x).resample(x, down, across)
