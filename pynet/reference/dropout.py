"""Dropout: each element is set to zero with probability p, the others are scaled by 1 / (1 - p), so that the
expectation stays. The mask is never stored: the backward pass draws the same numbers again.

Source:
    Srivastava et al. 2014, Dropout: a simple way to prevent neural networks from overfitting.
"""

from __future__ import annotations

import numpy as np

from .layout import from_memory_order, keep_order
from .random import unit_uniforms


def _factors(shape: tuple[int, ...], p: float, seed: int, offset: int, dtype: np.dtype) -> np.ndarray:
    """Return what each element is multiplied by: 0 or 1 / (1 - p)."""
    count = int(np.prod(shape, dtype=np.int64))
    # In float32, so that both precisions drop the same elements.
    keep = unit_uniforms(count, seed, offset).reshape(-1)[:count].astype(np.float32) >= np.float32(p)
    scale = 1.0 / (1.0 - p) if p < 1 else 0.0
    return from_memory_order(keep * dtype.type(scale), shape)


@np.errstate(all="ignore")
def dropout_forward(x: np.ndarray, p: float, seed: int, offset: int) -> np.ndarray:
    """Drop elements of x.

    Args:
        x: any shape.
        p: probability of being dropped, 0 to 1.
        seed: 64 bits.
        offset: number of the draw, 64 bits.

    Returns:
        Array of x's shape; element i (in NHWC order for 4-D, else C order) is kept where uniform i >= p.
    """
    return keep_order(x * _factors(x.shape, p, seed, offset, x.dtype), x)


def dropout_backward(dout: np.ndarray, p: float, seed: int, offset: int) -> np.ndarray:
    """Return dx of dout; dropout is linear, so that this is the forward pass with the same numbers."""
    return dropout_forward(dout, p, seed, offset)
