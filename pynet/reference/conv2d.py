"""2-D convolution (cross-correlation, as everywhere in deep learning) by im2col.

Each output pixel is the inner product of a window of x with a filter. Writing the windows as the rows of a
matrix turns the whole layer into one matrix product a group:

    columns (N*OH*OW, KH*KW*C/g)  @  matrix (KH*KW*C/g, F/g)  =  rows (N*OH*OW, F/g)

The gradients are those of a matrix product: dmatrix = columns^T drows, dcolumns = drows matrix^T; and since
building the columns copies elements, its adjoint adds them back where they came from (col2im).

Source:
    Chellapilla, Puri and Simard 2006, High Performance Convolutional Neural Networks for Document Processing.
"""

from __future__ import annotations

import numpy as np

from .activation import activation_forward
from .layout import Pair, add_to_windows, crop, nhwc_full, pad, to_hwio, to_nhwc, windows
from .norm import batch_norm_statistics

Shape4 = tuple[int, int, int, int]


def _padded_extent(x_shape: Shape4, padding: Pair) -> Pair:
    return x_shape[2] + 2 * padding[0], x_shape[3] + 2 * padding[1]


def _columns(
    x: np.ndarray, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair, groups: int
) -> tuple[np.ndarray, Pair]:
    """im2col: return the windows of x as (groups, N*OH*OW, KH*KW*C/groups), and (OH, OW)."""
    padded = pad(x, padding, _padded_extent(x.shape, padding), 0)
    view = windows(padded, kernel, stride, dilation)
    n, c, oh, ow, kh, kw = view.shape
    per_group = view.reshape(n, groups, c // groups, oh, ow, kh, kw).transpose(1, 0, 3, 4, 5, 6, 2)
    return per_group.reshape(groups, n * oh * ow, kh * kw * (c // groups)), (oh, ow)


def _matrix(weight: np.ndarray, groups: int) -> np.ndarray:
    """Return weight (F, C/groups, KH, KW) as (groups, KH*KW*C/groups, F/groups)."""
    f, c, kh, kw = weight.shape
    per_group = weight.reshape(groups, f // groups, c, kh, kw).transpose(0, 3, 4, 2, 1)
    return per_group.reshape(groups, kh * kw * c, f // groups)


def _rows(out: np.ndarray, groups: int) -> np.ndarray:
    """Return an output-sized array (N, F, OH, OW) as (groups, N*OH*OW, F/groups)."""
    n, f, oh, ow = out.shape
    per_group = out.reshape(n, groups, f // groups, oh, ow).transpose(1, 0, 3, 4, 2)
    return per_group.reshape(groups, n * oh * ow, f // groups)


def conv2d_forward(
    x: np.ndarray,
    weight: np.ndarray,
    bias: np.ndarray | None,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    groups: int,
    activation: str,
    alpha: float,
    algorithm: str,
) -> np.ndarray:
    """Convolve x with weight, add the bias, apply the activation.

    Args:
        x: (N, C, H, W).
        weight: (F, C // groups, KH, KW).
        bias: (F,) or None.
        stride: vertical and horizontal step.
        padding: rows and columns of zeros added on either side.
        dilation: distance between the elements of the kernel.
        groups: channel group i of x is seen by filter group i alone; groups = C is a depthwise convolution.
        activation: "none" or one of `activation.ACTIVATIONS`.
        alpha: its parameter.
        algorithm: ignored; every algorithm gives these values.

    Returns:
        Array (N, F, OH, OW), OH = (H + 2*padding - dilation*(KH - 1) - 1) // stride + 1.
    """
    n, (f, _, kh, kw) = x.shape[0], weight.shape
    columns, (oh, ow) = _columns(x, (kh, kw), stride, padding, dilation, groups)
    rows = columns @ _matrix(weight, groups)
    per_pixel = rows.reshape(groups, n, oh, ow, f // groups).transpose(1, 2, 3, 0, 4).reshape(n, oh, ow, f)
    if bias is not None:
        per_pixel = per_pixel + bias
    return activation_forward(to_nhwc(per_pixel.transpose(0, 3, 1, 2)), activation, alpha)


def conv2d_forward_statistics(
    x: np.ndarray,
    weight: np.ndarray,
    bias: np.ndarray | None,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    groups: int,
    algorithm: str,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return `conv2d_forward` without an activation, and mean (F,) and biased variance (F,) of its channels:
    what a batch norm asks for next. Kernels take them while the values are in cache.
    """
    out = conv2d_forward(x, weight, bias, stride, padding, dilation, groups, "none", 0.0, algorithm)
    return out, *batch_norm_statistics(out)


def conv2d_backward_data(
    dout: np.ndarray,
    weight: np.ndarray,
    x_shape: Shape4,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    groups: int,
    algorithm: str,
) -> np.ndarray:
    """Return dx (N, C, H, W) of dout (N, F, OH, OW), the gradient before the activation."""
    (n, c, h, w), (oh, ow), (kh, kw) = x_shape, dout.shape[2:], weight.shape[2:]
    dcolumns = _rows(dout, groups) @ _matrix(weight, groups).transpose(0, 2, 1)
    per_group = dcolumns.reshape(groups, n, oh, ow, kh, kw, c // groups).transpose(1, 0, 6, 2, 3, 4, 5)
    padded = nhwc_full((n, c, *_padded_extent(x_shape, padding)), 0, dout.dtype)
    add_to_windows(padded, per_group.reshape(n, c, oh, ow, kh, kw), stride, dilation)
    return to_nhwc(crop(padded, padding, (h, w)))


def conv2d_backward_weight(
    dout: np.ndarray,
    x: np.ndarray,
    weight_shape: Shape4,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    groups: int,
    needs_bias: bool,
    algorithm: str,
) -> tuple[np.ndarray, np.ndarray | None]:
    """Return dweight (F, C/groups, KH, KW), HWIO-dense, and dbias (F,), or None unless it is needed."""
    f, c, kh, kw = weight_shape
    columns, _ = _columns(x, (kh, kw), stride, padding, dilation, groups)
    dmatrix = columns.transpose(0, 2, 1) @ _rows(dout, groups)
    per_group = dmatrix.reshape(groups, kh, kw, c, f // groups).transpose(0, 4, 3, 1, 2)
    dbias = dout.sum(axis=(0, 2, 3)) if needs_bias else None
    return to_hwio(per_group.reshape(f, c, kh, kw)), dbias
