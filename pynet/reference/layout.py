"""How arrays lie in memory, and how a sliding window sees them.

Shapes are always (N, C, H, W), (F, C, KH, KW) and (out, in). What differs is the order in which the
numbers follow each other in memory: activations are NHWC-dense (the channels of one pixel are neighbours),
convolution weights HWIO-dense, linear weights (in, out)-dense. Such an array is an ordinary C-contiguous
array seen through a transpose, so the mathematics of the other files never has to mention it.

Source:
    Windows as strided views: `numpy.lib.stride_tricks.sliding_window_view`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import DTypeLike

Pair = tuple[int, int]


def is_nhwc(x: np.ndarray) -> bool:
    """Tell whether a 4-D array is NHWC-dense; strides of unit and empty axes are arbitrary and ignored."""
    return x.ndim == 4 and x.transpose(0, 2, 3, 1).flags.c_contiguous


def to_nhwc(x: np.ndarray) -> np.ndarray:
    """Return x (N, C, H, W) NHWC-dense: x itself where it already is, else a copy."""
    return np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)


def to_hwio(weight: np.ndarray) -> np.ndarray:
    """Return a convolution weight (F, C, KH, KW) HWIO-dense: itself where it already is, else a copy."""
    return np.ascontiguousarray(weight.transpose(2, 3, 1, 0)).transpose(3, 2, 0, 1)


def to_io(weight: np.ndarray) -> np.ndarray:
    """Return a linear weight (out, in) (in, out)-dense: itself where it already is, else a copy."""
    return np.ascontiguousarray(weight.T).T


def nhwc_empty(shape: tuple[int, int, int, int], dtype: DTypeLike) -> np.ndarray:
    """Return an uninitialised NHWC-dense array of shape (N, C, H, W)."""
    n, c, h, w = shape
    return np.empty((n, h, w, c), dtype).transpose(0, 3, 1, 2)


def nhwc_full(shape: tuple[int, int, int, int], value: float, dtype: DTypeLike) -> np.ndarray:
    """Return an NHWC-dense array of shape (N, C, H, W) filled with value."""
    out = nhwc_empty(shape, dtype)
    out[...] = value
    return out


def keep_order(result: np.ndarray, *operands: np.ndarray) -> np.ndarray:
    """Return result as an ndarray, NHWC-dense where an operand of its shape is.

    NumPy keeps the operands' common order by itself, but falls back to C order where they disagree, and
    hands out scalars instead of 0-d arrays.
    """
    result = np.asarray(result)
    if any(operand.shape == result.shape and is_nhwc(operand) for operand in operands):
        return to_nhwc(result)
    return result


def from_memory_order(values: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Lay out a flat array of values as an array of the given shape: NHWC for 4-D, C order otherwise."""
    if len(shape) != 4:
        return values.reshape(shape)
    n, c, h, w = shape
    return values.reshape(n, h, w, c).transpose(0, 3, 1, 2)


def pad(x: np.ndarray, before: Pair, extent: Pair, value: float) -> np.ndarray:
    """Place x (N, C, H, W) into a larger NHWC-dense map.

    Args:
        x: (N, C, H, W).
        before: rows above and columns left of x.
        extent: height and width of the result.
        value: what surrounds x.

    Returns:
        Array (N, C, *extent).
    """
    n, c, h, w = x.shape
    out = nhwc_full((n, c, *extent), value, x.dtype)
    crop(out, before, (h, w))[...] = x
    return out


def crop(x: np.ndarray, before: Pair, extent: Pair) -> np.ndarray:
    """Return the view of x (N, C, H, W) that `pad` wrote into: extent rows and columns after `before`."""
    top, left = before
    return x[:, :, top : top + extent[0], left : left + extent[1]]


def windows(x: np.ndarray, kernel: Pair, stride: Pair, dilation: Pair = (1, 1)) -> np.ndarray:
    """See x (N, C, H, W) through a sliding window, without copying.

    Returns:
        Writeable view v (N, C, OH, OW, KH, KW) with
        v[n, c, oh, ow, kh, kw] = x[n, c, oh * stride_h + kh * dilation_h, ow * stride_w + kw * dilation_w].
        For one (kh, kw) all elements are distinct; over several (kh, kw) windows overlap.
    """
    (dh, dw), (sh, sw) = dilation, stride
    spans = (dh * (kernel[0] - 1) + 1, dw * (kernel[1] - 1) + 1)
    dense = np.lib.stride_tricks.sliding_window_view(x, spans, axis=(2, 3), writeable=True)
    return dense[:, :, ::sh, ::sw, ::dh, ::dw]


def add_to_windows(x: np.ndarray, values: np.ndarray, stride: Pair, dilation: Pair = (1, 1)) -> None:
    """Add values (N, C, OH, OW, KH, KW) to the windows of x in place: the adjoint of `windows`.

    Where windows overlap, the contributions add up. One position of the kernel at a time, since the elements
    of overlapping windows are the same memory.
    """
    oh, ow, kh, kw = values.shape[2:]
    view = windows(x, (kh, kw), stride, dilation)[:, :, :oh, :ow]
    for i, j in np.ndindex(kh, kw):
        view[..., i, j] += values[..., i, j]
