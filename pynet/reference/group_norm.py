"""Group normalisation: each sample standardised over groups of its channels.

    out = (x - mean) * rstd * weight + bias        rstd = 1 / sqrt(var + eps)

with mean and variance over the pixels and the channels of one group of one sample. Backward, with
xhat = (x - mean) rstd and g = dout * weight, the two statistics take away what they cannot see:

    dx = rstd * (g - mean(g) - xhat * mean(g * xhat))

Source: Wu & He 2018, "Group Normalization".
"""

from __future__ import annotations

import numpy as np

from .layout import to_nhwc


def _grouped(x: np.ndarray, groups: int) -> np.ndarray:
    """x (N, C, H, W) as (N, groups, values of a group)."""
    n, c, h, w = x.shape
    return x.reshape(n, groups, c // groups * h * w)


def _channels(v: np.ndarray | None) -> np.ndarray | float:
    return 1.0 if v is None else v[:, None, None]


@np.errstate(all="ignore")
def group_norm_forward(
    x: np.ndarray, groups: int, weight: np.ndarray | None, bias: np.ndarray | None, eps: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (out (N, C, H, W), mean (N, groups), rstd (N, groups))."""
    values = _grouped(x, groups)
    count = max(values.shape[2], 1)
    mean = values.sum(axis=2) / x.dtype.type(count)
    centered = values - mean[:, :, None]
    rstd = 1 / np.sqrt((centered**2).sum(axis=2) / x.dtype.type(count) + x.dtype.type(eps))
    out = (centered * rstd[:, :, None]).reshape(x.shape) * _channels(weight)
    return to_nhwc(out if bias is None else out + _channels(bias)), mean, rstd


@np.errstate(all="ignore")
def group_norm_backward(
    dout: np.ndarray,
    x: np.ndarray,
    mean: np.ndarray,
    rstd: np.ndarray,
    groups: int,
    weight: np.ndarray | None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (dx (N, C, H, W), dweight (C,), dbias (C,))."""
    xhat = (_grouped(x, groups) - mean[:, :, None]) * rstd[:, :, None]
    dweight = (dout * xhat.reshape(x.shape)).sum(axis=(0, 2, 3))
    g = _grouped(dout * _channels(weight), groups)
    count = x.dtype.type(max(g.shape[2], 1))
    constant, slope = g.sum(axis=2, keepdims=True) / count, (g * xhat).sum(axis=2, keepdims=True) / count
    dx = (rstd[:, :, None] * (g - constant - xhat * slope)).reshape(x.shape)
    return to_nhwc(dx), dweight, dout.sum(axis=(0, 2, 3))
