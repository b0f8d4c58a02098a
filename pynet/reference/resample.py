"""Separable linear maps of images: interpolation, padding, and their gradients.

Interpolation along one axis is a matrix A with few entries in a row: out[i] = sum over j of A[i, j] x[j]. On
an
image the rows and the columns have a matrix each, out = A x B^T, and the gradient is dx = A^T dout B: the
same
operation with transposed matrices. A matrix is given by its rows, (starts, positions, weights): row i has
the entries
weights[k] in the columns positions[k], starts[i] <= k < starts[i + 1].
"""

from __future__ import annotations

import numpy as np

from .layout import to_nhwc

Taps = tuple[np.ndarray, np.ndarray, np.ndarray]


def _apply(x: np.ndarray, taps: Taps, axis: int) -> np.ndarray:
    starts, positions, weights = taps
    across = [1] * x.ndim
    across[axis] = -1
    terms = x.take(positions, axis) * weights.reshape(across)
    out = np.zeros((*x.shape[:axis], len(starts) - 1, *x.shape[axis + 1 :]), x.dtype)
    filled = np.flatnonzero(starts[1:] > starts[:-1])
    if filled.size:
        sums = np.add.reduceat(terms, starts[filled], axis)
        np.moveaxis(out, axis, 0)[filled] = np.moveaxis(sums, axis, 0)
    return out


def resample(x: np.ndarray, down: Taps, across: Taps) -> np.ndarray:
    """Apply one matrix to the rows and one to the columns.

    Args:
        x: (N, C, H, W).
        down: the matrix (OH, H), as (starts, positions, weights).
        across: the matrix (OW, W), likewise.

    Returns:
        Array (N, C, OH, OW).
    """
    return to_nhwc(_apply(_apply(x, down, 2), across, 3))
