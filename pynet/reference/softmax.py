"""Softmax and log-softmax of rows.

    softmax(x)_i = e^(x_i - m) / s        log_softmax(x)_i = x_i - m - log(s)
    m = max_j x_j                         s = sum_j e^(x_j - m)

Subtracting the maximum changes nothing in exact arithmetic, and in floating point keeps every exponential
within [0, 1], so that huge logits neither overflow nor vanish altogether.
"""

from __future__ import annotations

import numpy as np


@np.errstate(all="ignore")
def softmax_forward(x: np.ndarray) -> np.ndarray:
    """Return the softmax (M, C) of each row of x (M, C); a row of -inf alone, or with +inf, gives NaN."""
    exponentials = np.exp(x - x.max(axis=1, keepdims=True, initial=-np.inf))
    return exponentials / exponentials.sum(axis=1, keepdims=True)


@np.errstate(all="ignore")
def softmax_backward(dout: np.ndarray, out: np.ndarray) -> np.ndarray:
    """Return dx (M, C): dx_i = out_i * (dout_i - sum_j dout_j out_j)."""
    return out * (dout - (dout * out).sum(axis=1, keepdims=True))


@np.errstate(all="ignore")
def log_softmax_forward(x: np.ndarray) -> np.ndarray:
    """Return the logarithm of the softmax (M, C) of each row of x (M, C), exact where the softmax is tiny."""
    shifted = x - x.max(axis=1, keepdims=True, initial=-np.inf)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


@np.errstate(all="ignore")
def log_softmax_backward(dout: np.ndarray, out: np.ndarray) -> np.ndarray:
    """Return dx (M, C): dx_i = dout_i - softmax_i * sum_j dout_j."""
    return dout - np.exp(out) * dout.sum(axis=1, keepdims=True)
