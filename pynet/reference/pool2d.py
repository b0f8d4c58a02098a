"""Max, average and adaptive average pooling: one number for each window of each channel.

A window may stick out of the map: by `padding` on every side, and with ceil_mode also at the far end, where
the last incomplete window counts too. What lies outside is never a maximum; whether it counts in an average
is `count_include_pad`. The gradient of a maximum goes to the element that won (the forward pass remembers its
index), the gradient of an average goes to all elements alike.
"""

from __future__ import annotations

import numpy as np

from .activation import activation_forward
from .layout import (
    Pair,
    add_to_windows,
    crop,
    from_memory_order,
    nhwc_empty,
    nhwc_full,
    pad,
    to_nhwc,
    windows,
)

Shape4 = tuple[int, int, int, int]


def output_size(size: int, kernel: int, stride: int, padding: int, dilation: int, ceil_mode: bool) -> int:
    """Return how many windows fit along one axis; with ceil_mode a window must still start inside."""
    room = size + 2 * padding - dilation * (kernel - 1) - 1
    if not ceil_mode:
        return room // stride + 1
    count = -(-room // stride) + 1
    return count - 1 if (count - 1) * stride >= size + padding else count


def _geometry(
    extent: Pair, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair, ceil_mode: bool
) -> tuple[Pair, Pair]:
    """Return the output's (OH, OW) and a padded (height, width) in which every window lies."""
    out, padded = [], []
    for size, k, s, p, d in zip(extent, kernel, stride, padding, dilation, strict=True):
        count = output_size(size, k, s, p, d, ceil_mode)
        out.append(count)
        padded.append(max(size + 2 * p, (count - 1) * s + d * (k - 1) + 1))
    return (out[0], out[1]), (padded[0], padded[1])


def max_pool2d_forward(
    x: np.ndarray,
    kernel: Pair,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    ceil_mode: bool,
    needs_indices: bool,
    relu: bool,
) -> tuple[np.ndarray, np.ndarray | None]:
    """Take the maximum of every window, after a ReLU where one is asked for.

    The window is scanned row by row: an element replaces the running maximum when it is larger, so that the
    first of equal maxima wins, or when it is NaN, so that a NaN is never lost.

    Args:
        x: (N, C, H, W).
        kernel: height and width of the window.
        stride: vertical and horizontal step.
        padding: how far windows reach over each edge.
        dilation: distance between the elements of a window.
        ceil_mode: also take the last window that starts inside but ends outside.
        needs_indices: whether to return the indices.
        relu: take max(x, 0) first.

    Returns:
        Array (N, C, OH, OW) and int32 indices h * W + w of the same shape, or None. A window without a single
        element of x (possible only with dilation) gives -inf and index -1; where the ReLU's slope is 0 the
        index is -1 too.
    """
    if relu:
        x = activation_forward(x, "relu", 0.0)
    h, w = x.shape[2:]
    (oh, ow), extent = _geometry((h, w), kernel, stride, padding, dilation, ceil_mode)
    values = windows(pad(x, padding, extent, -np.inf), kernel, stride, dilation)
    positions = np.arange(h * w, dtype=np.int32).reshape(1, 1, h, w)
    places = windows(pad(positions, padding, extent, -1), kernel, stride, dilation)

    out = nhwc_full((*x.shape[:2], oh, ow), -np.inf, x.dtype)
    indices = nhwc_full(out.shape, -1, np.int32)
    for i, j in np.ndindex(kernel):
        value, place = values[:, :, :oh, :ow, i, j], places[:, :, :oh, :ow, i, j]
        wins = (place >= 0) & ((indices < 0) | (value > out) | np.isnan(value))
        np.copyto(out, value, where=wins)
        np.copyto(indices, place, where=wins)
    if relu:
        indices[out <= 0] = -1
    return out, indices if needs_indices else None


def max_pool2d_backward(dout: np.ndarray, indices: np.ndarray, x_shape: Shape4) -> np.ndarray:
    """Return dx (N, C, H, W): each gradient of dout is added to the element that its window chose."""
    n, c, h, w = x_shape
    image, channel = np.ogrid[:n, :c]
    # Where each gradient goes in a flat NHWC array.
    target = (image[..., None, None] * (h * w) + indices) * c + channel[..., None, None]
    dx = np.zeros(n * h * w * c, dout.dtype)
    chosen = indices >= 0
    np.add.at(dx, target[chosen], dout[chosen])
    return from_memory_order(dx, x_shape)


def _divisors(
    extent: Pair, out: Pair, kernel: Pair, stride: Pair, padding: Pair, count_include_pad: bool
) -> np.ndarray:
    """Return (OH, OW): how many elements each average counts.

    With count_include_pad those inside the padded map (what ceil_mode adds beyond it never counts), else
    those inside the map.
    """
    lengths = []
    for size, count, k, s, p in zip(extent, out, kernel, stride, padding, strict=True):
        start = np.arange(count) * s - p
        first, last = (-p, size + p) if count_include_pad else (0, size)
        lengths.append(np.minimum(start + k, last) - np.maximum(start, first))
    return np.maximum(lengths[0][:, None] * lengths[1], 1)


def avg_pool2d_forward(
    x: np.ndarray,
    kernel: Pair,
    stride: Pair,
    padding: Pair,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor: int,
) -> np.ndarray:
    """Take the average of every window of x (N, C, H, W).

    Args:
        x: (N, C, H, W).
        kernel: height and width of the window.
        stride: vertical and horizontal step.
        padding: how far windows reach over each edge.
        ceil_mode: also take the last window that starts inside but ends outside.
        count_include_pad: divide by the number of elements including padding, else by those of x alone.
        divisor: divide by this number instead; 0 for none.

    Returns:
        Array (N, C, OH, OW).
    """
    (oh, ow), extent = _geometry(x.shape[2:], kernel, stride, padding, (1, 1), ceil_mode)
    total = nhwc_full((*x.shape[:2], oh, ow), 0, x.dtype)
    view = windows(pad(x, padding, extent, 0), kernel, stride)[:, :, :oh, :ow]
    for i, j in np.ndindex(kernel):
        total += view[..., i, j]
    divisors = divisor or _divisors(x.shape[2:], (oh, ow), kernel, stride, padding, count_include_pad)
    return total / np.asarray(divisors, x.dtype)


def avg_pool2d_backward(
    dout: np.ndarray,
    x_shape: Shape4,
    kernel: Pair,
    stride: Pair,
    padding: Pair,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor: int,
) -> np.ndarray:
    """Return dx (N, C, H, W): each gradient of dout (N, C, OH, OW) is shared equally by its window."""
    n, c, h, w = x_shape
    (oh, ow), extent = _geometry((h, w), kernel, stride, padding, (1, 1), ceil_mode)
    divisors = divisor or _divisors((h, w), (oh, ow), kernel, stride, padding, count_include_pad)
    share = dout / np.asarray(divisors, dout.dtype)
    padded = nhwc_full((n, c, *extent), 0, dout.dtype)
    add_to_windows(padded, np.broadcast_to(share[..., None, None], (n, c, oh, ow, *kernel)), stride)
    return to_nhwc(crop(padded, padding, (h, w)))


def _bins(size: int, count: int) -> list[slice]:
    """Cut `size` elements into `count` slices that cover them all, overlapping where it does not divide."""
    return [slice(i * size // count, -(-(i + 1) * size // count)) for i in range(count)]


def adaptive_avg_pool2d_forward(x: np.ndarray, output_size: Pair) -> np.ndarray:
    """Average x (N, C, H, W) into a map of the given size: bin i spans floor(i*H/OH) to ceil((i+1)*H/OH).

    Returns:
        Array (N, C, *output_size); (1, 1) is global average pooling.
    """
    h, w = x.shape[2:]
    out = nhwc_empty((*x.shape[:2], *output_size), x.dtype)
    for i, rows in enumerate(_bins(h, output_size[0])):
        for j, columns in enumerate(_bins(w, output_size[1])):
            out[:, :, i, j] = x[:, :, rows, columns].mean(axis=(2, 3))
    return out


def adaptive_avg_pool2d_backward(dout: np.ndarray, x_shape: Shape4) -> np.ndarray:
    """Return dx (N, C, H, W) of dout (N, C, OH, OW)."""
    h, w = x_shape[2:]
    dx = nhwc_full(x_shape, 0, dout.dtype)
    for i, rows in enumerate(_bins(h, dout.shape[2])):
        for j, columns in enumerate(_bins(w, dout.shape[3])):
            count = (rows.stop - rows.start) * (columns.stop - columns.start)
            dx[:, :, rows, columns] += (dout[:, :, i, j] / count)[:, :, None, None]
    return dx
