"""Transposed convolution: the map from a convolution's output to its input, with the same weights.

Its forward is the gradient of conv2d by x, its gradient by x is conv2d, and all three run on conv2d's
kernels.
"""

from __future__ import annotations

from typing import Any

from pynet.autograd import Operation, Tensor, record
from pynet.ops._backend import Array, Pair, backend, hwio, integer, nhwc, pair, require_floats
from pynet.ops.pad import pad
from pynet.ops.shape import squeeze, unsqueeze


def _forward(
    x: Array,
    weight: Array,
    bias: Array | None,
    size: Pair,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    groups: int,
) -> tuple[Array, tuple]:
    x, weight = nhwc(x), hwio(weight)
    on = backend(x, weight, bias)
    shape = (x.shape[0], weight.shape[1] * groups, *size)
    out = on.conv2d_backward_data(x, weight, shape, stride, padding, dilation, groups, "auto")
    if bias is not None:
        out = on.add(out, bias.reshape(1, -1, 1, 1))
    return out, (x, weight)


def _backward(
    dout: Array,
    saved: tuple,
    needs: tuple,
    size: Pair,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    groups: int,
) -> tuple:
    x, weight = saved
    on, dout = backend(dout), nhwc(dout)
    geometry = (stride, padding, dilation, groups)
    dx = dweight = dbias = None
    if needs[0]:
        dx = on.conv2d_forward(dout, weight, None, *geometry, "none", 0.0, "auto")
    if needs[1]:
        dweight, _ = on.conv2d_backward_weight(x, dout, weight.shape, *geometry, False, "auto")
    if needs[2]:
        dbias = on.sum(dout, (0, 2, 3), False)
    return dx, dweight, dbias


CONV_TRANSPOSE2D = Operation("conv_transpose2d", _forward, _backward)


def conv_transpose2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | tuple[int, int] = 1,
    padding: int | tuple[int, int] = 0,
    output_padding: int | tuple[int, int] = 0,
    groups: int = 1,
    dilation: int | tuple[int, int] = 1,
) -> Tensor:
    """Every pixel times the filters, laid `stride` apart and added up: the gradient of `conv2d` by its input.

    Args:
        input: float (N, C, H, W) or (C, H, W).
        weight: (C, F // groups, KH, KW).
        bias: (F,) or None.
        stride: distance between the places of neighbouring pixels, int or (height, width), at least 1.
        padding: how much is cut off on each side, int or (height, width).
        output_padding: rows and columns more at the lower and right end, less than stride or dilation.
        groups: into how many independent parts the channels are split; divides C.
        dilation: distance of the taps, int or (height, width), at least 1.
    Returns:
        Tensor (N, F, OH, OW), OH = (H - 1) * stride - 2 * padding + dilation * (KH - 1) + output_padding + 1.
    Raises:
        ValueError: channels differ, groups do not divide, sizes out of range, or nothing is left.
        TypeError: dtypes differ or are no floats.
    Source:
        Zeiler et al. 2010; Dumoulin & Visin 2016, chapter 4.
    """
    require_floats("conv_transpose2d", input=input, weight=weight, bias=bias)
    return _transposed(
        "conv_transpose2d",
        input,
        weight,
        bias,
        pair("conv_transpose2d", "stride", stride, 1),
        pair("conv_transpose2d", "padding", padding, 0),
        pair("conv_transpose2d", "output_padding", output_padding, 0),
        integer("conv_transpose2d", "groups", groups),
        pair("conv_transpose2d", "dilation", dilation, 1),
    )


def _transposed(
    name: str,
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Pair,
    padding: Pair,
    output_padding: Pair,
    groups: int,
    dilation: Pair,
) -> Tensor:
    single = x.ndim == 3
    image = unsqueeze(x, 0) if single else x
    xs, ws = image.shape, weight.shape
    if len(xs) != 4 or len(ws) != 4:
        raise ValueError(
            f"{name}: expected input (N, C, H, W) or (C, H, W) and weight (C, F // groups, KH, KW); input is "
            f"{x.shape}, weight {ws}"
        )
    if groups < 1 or ws[0] % groups:
        raise ValueError(
            f"{name}: groups={groups} must be at least 1 and divide the {ws[0]} channels of weight {ws}"
        )
    if xs[1] != ws[0]:
        raise ValueError(
            f"{name}: input has {xs[1]} channels but weight expects {ws[0]}; input is {xs}, weight {ws}"
        )
    if bias is not None and bias.shape != (ws[1] * groups,):
        raise ValueError(
            f"{name}: bias is {bias.shape}, weight {ws} with groups={groups} needs ({ws[1] * groups},)"
        )
    if min(ws) < 1 or min(xs[2:]) < 1:
        raise ValueError(f"{name}: sizes must be at least 1; input is {xs}, weight {ws}")
    for extra, s, d in zip(output_padding, stride, dilation, strict=True):
        if extra >= max(s, d):
            raise ValueError(
                f"{name}: output_padding must be smaller than stride or dilation, got output_padding "
                f"{output_padding}, "
                f"stride {stride} and dilation {dilation}"
            )
    size = tuple(
        (n - 1) * s - 2 * p + d * (k - 1) + extra + 1
        for n, s, p, d, k, extra in zip(
            xs[2:], stride, padding, dilation, ws[2:], output_padding, strict=True
        )
    )
    if min(size) < 1:
        raise ValueError(f"{name}: the output would be {size}; use less padding, or a larger input than {xs}")
    # From a stride on, more output stands for more zeros of input.
    more = tuple(extra // s for extra, s in zip(output_padding, stride, strict=True))
    if any(more):
        image = pad(image, (0, more[1], 0, more[0]))
    attributes: dict[str, Any] = {
        "stride": stride,
        "padding": padding,
        "dilation": dilation,
        "groups": groups,
    }
    out = record(CONV_TRANSPOSE2D, (image, weight, bias), size=size, **attributes)
    return squeeze(out, 0) if single else out
