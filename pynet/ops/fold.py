"""Sliding windows as columns (unfold), and their sum back into images (fold): each is the other's
gradient."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from pynet.autograd import Operation, Tensor, record
from pynet.ops._backend import Array, Pair, pair, require_floats, window_counts
from pynet.ops.shape import squeeze, unsqueeze


def view_of(padded: Array, kernel: Pair, stride: Pair, dilation: Pair, counts: Pair) -> Array:
    """(N, C, H, W) seen as (N, C, KH, KW, OH, OW), writeable where the image is."""
    n, c, h, w = padded.strides
    strides = (n, c, h * dilation[0], w * dilation[1], h * stride[0], w * stride[1])
    return np.lib.stride_tricks.as_strided(padded, (*padded.shape[:2], *kernel, *counts), strides)


def _padded(shape: tuple[int, ...], padding: Pair, dtype: np.dtype) -> tuple[Array, Array]:
    """Zeros with room for the padding, planes in C order as the columns are, and the view of the image in
    them."""
    n, c, h, w = shape
    whole = np.zeros((n, c, h + 2 * padding[0], w + 2 * padding[1]), dtype)
    return whole, whole[:, :, padding[0] : padding[0] + h, padding[1] : padding[1] + w]


def _unfold(x: Array, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair) -> Array:
    counts = window_counts(x.shape, kernel, stride, padding, dilation)
    whole, image = _padded(x.shape, padding, x.dtype)
    image[...] = x
    n, c = x.shape[:2]
    return view_of(whole, kernel, stride, dilation, counts).reshape(
        n, c * math.prod(kernel), math.prod(counts)
    )


def _fold(columns: Array, size: Pair, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair) -> Array:
    n, c = columns.shape[0], columns.shape[1] // math.prod(kernel)
    shape = (n, c, *size)
    counts = window_counts(shape, kernel, stride, padding, dilation)
    whole, image = _padded(shape, padding, columns.dtype)
    windows = view_of(whole, kernel, stride, dilation, counts)
    values = columns.reshape(n, c, *kernel, *counts)
    for i, j in np.ndindex(*kernel):  # windows overlap, elements at one tap do not
        windows[:, :, i, j] += values[:, :, i, j]
    return image


UNFOLD = Operation(
    "unfold",
    lambda x, **window: (_unfold(x, **window), (x.shape[2:],)),
    lambda dout, saved, needs, **window: (_fold(dout, saved[0], **window),),
)
FOLD = Operation(
    "fold",
    lambda x, size, **window: (_fold(x, size, **window), ()),
    lambda dout, saved, needs, size, **window: (_unfold(dout, **window),),
)


def _window(name: str, kernel_size: Any, dilation: Any, padding: Any, stride: Any) -> dict[str, Pair]:
    return {
        "kernel": pair(name, "kernel_size", kernel_size, 1),
        "dilation": pair(name, "dilation", dilation, 1),
        "padding": pair(name, "padding", padding, 0),
        "stride": pair(name, "stride", stride, 1),
    }


def unfold(
    input: Tensor,
    kernel_size: int | tuple[int, int],
    dilation: int | tuple[int, int] = 1,
    padding: int | tuple[int, int] = 0,
    stride: int | tuple[int, int] = 1,
) -> Tensor:
    """The windows of images as columns (im2col).

    Args:
        input: float (N, C, H, W) or (C, H, W).
        kernel_size, dilation, stride: int or (height, width), at least 1.
        padding: zeros on each side, int or (height, width).
    Returns:
        Tensor (N, C * KH * KW, L), one column for each of the L windows, row by row.
    Raises:
        ValueError: the window exceeds the padded input, or a size is out of range.
    """
    require_floats("unfold", input=input)
    window = _window("unfold", kernel_size, dilation, padding, stride)
    if input.ndim == 3:
        return squeeze(unfold(unsqueeze(input, 0), kernel_size, dilation, padding, stride), 0)
    if input.ndim != 4 or min(input.shape[1:]) < 1:
        raise ValueError(
            f"unfold: input must be (N, C, H, W) or (C, H, W) with no empty axis, got {input.shape}"
        )
    counts = window_counts(input.shape, **window)
    if min(counts) < 1:
        raise ValueError(
            f"unfold: kernel_size {window['kernel']} with dilation {window['dilation']} exceeds the "
            f"padded input; input "
            f"is {input.shape}, padding {window['padding']}"
        )
    return record(UNFOLD, (input,), **window)


def fold(
    input: Tensor,
    output_size: int | tuple[int, int],
    kernel_size: int | tuple[int, int],
    dilation: int | tuple[int, int] = 1,
    padding: int | tuple[int, int] = 0,
    stride: int | tuple[int, int] = 1,
) -> Tensor:
    """The sum of columns at their places in images (col2im): what `unfold` spread is added up.

    Args:
        input: float (N, C * KH * KW, L) or (C * KH * KW, L).
        output_size: (H, W) of the images, or one int for both.
        kernel_size, dilation, padding, stride: as for `unfold`.
    Returns:
        Tensor (N, C, H, W).
    Raises:
        ValueError: the columns do not fit the windows, or a size is out of range.
    """
    require_floats("fold", input=input)
    window = _window("fold", kernel_size, dilation, padding, stride)
    size = pair("fold", "output_size", output_size, 1)
    if input.ndim == 2:
        return squeeze(fold(unsqueeze(input, 0), output_size, kernel_size, dilation, padding, stride), 0)
    taps = math.prod(window["kernel"])
    if input.ndim != 3 or input.shape[1] < 1 or input.shape[1] % taps:
        raise ValueError(
            f"fold: input must be (N, C * {taps}, L) or (C * {taps}, L) for kernel_size "
            f"{window['kernel']}, got "
            f"{input.shape}"
        )
    counts = window_counts((0, 0, *size), **window)
    if min(counts) < 1 or input.shape[2] != math.prod(counts):
        raise ValueError(
            f"fold: output_size {size} has {counts[0]} x {counts[1]} windows, input of {input.shape} has "
            f"{input.shape[2]} columns; they must agree"
        )
    return record(FOLD, (input,), size=size, **window)
