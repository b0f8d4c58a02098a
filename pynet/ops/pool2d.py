"""Max, average and adaptive average pooling over maps."""

from __future__ import annotations

from typing import Any

import numpy as np

from pynet.autograd import Operation, Tensor, is_grad_enabled, record
from pynet.ops._backend import Array, backend, integer, nhwc, pair, require_floats
from pynet.ops.shape import squeeze, unsqueeze

Pair = tuple[int, int]


def _check(name: str, x: Tensor, kernel: Pair, padding: Pair, dilation: Pair) -> None:
    xs = x.shape
    for axis in (0, 1):
        size = xs[2 + axis] + 2 * padding[axis]
        reach = dilation[axis] * (kernel[axis] - 1) + 1
        if padding[axis] > kernel[axis] // 2:
            raise ValueError(
                f"{name}: padding {padding} exceeds half the kernel {kernel}: some windows would hold "
                "padding alone; "
                "use a smaller padding"
            )
        if reach > size:
            raise ValueError(
                f"{name}: the window (size {reach}) exceeds the padded input (size {size}); x is {xs}, "
                f"kernel {kernel}, "
                f"padding {padding}; use a smaller kernel"
            )


def _maps(name: str, x: Tensor) -> Tensor:
    """x as (N, C, H, W)."""
    if type(x) is not Tensor or x.dtype.kind != "f":
        require_floats(name, x=x)
    if len(x.shape) == 3:
        return unsqueeze(x, 0)
    if len(x.shape) != 4:
        raise ValueError(f"{name}: expected x (N, C, H, W) or (C, H, W), got shape {x.shape}")
    return x


# --- max ------------------------------------------------------------------------------------------


def _max_forward(
    x: Array,
    kernel: Pair,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    ceil_mode: bool,
    needs_indices: bool,
    return_indices: bool,
    relu: bool,
) -> tuple[Any, tuple]:
    x = nhwc(x)
    out, indices = backend(x).max_pool2d_forward(
        x, kernel, stride, padding, dilation, ceil_mode, needs_indices, relu
    )
    saved = (indices, x.shape)
    if return_indices:
        return (out, indices.astype(np.int64)), saved
    return out, saved


def _max_backward(dout: Any, saved: tuple, needs: tuple, **attributes: Any) -> tuple:
    indices, x_shape = saved
    if type(dout) is tuple:
        dout = dout[0]
    return (backend(dout).max_pool2d_backward(nhwc(dout), indices, x_shape),)


MAX_POOL2D = Operation("max_pool2d", _max_forward, _max_backward)


def max_pool2d(
    x: Tensor,
    kernel_size: int | Pair,
    stride: int | Pair | None = None,
    padding: int | Pair = 0,
    dilation: int | Pair = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """The largest value of every window. NaN wins; of equal values the first takes the gradient.

    Args:
        x: float (N, C, H, W) or (C, H, W).
        kernel_size: size of the window, int or (height, width).
        stride: step; default the window's size.
        padding: of minus infinity on each side, at most half the window.
        dilation: distance of the window's elements.
        ceil_mode: count a last window that starts inside the input or its leading padding but reaches beyond.
        return_indices: also give the flat position h * W + w of each maximum, int64.
    Returns:
        Tensor (N, C, OH, OW), OH = (H + 2*padding - dilation*(KH - 1) - 1) // stride + 1; or (that, indices).
    Raises:
        ValueError: sizes out of range, or the window exceeds the padded input.
    """
    if len(x.shape) == 3:
        pooled = max_pool2d(
            _maps("max_pool2d", x), kernel_size, stride, padding, dilation, ceil_mode, return_indices
        )
        return tuple(squeeze(t, 0) for t in pooled) if return_indices else squeeze(pooled, 0)
    x = _maps("max_pool2d", x)
    kernel = pair("max_pool2d", "kernel_size", kernel_size, 1)
    stride = kernel if stride is None else pair("max_pool2d", "stride", stride, 1)
    padding = pair("max_pool2d", "padding", padding, 0)
    dilation = pair("max_pool2d", "dilation", dilation, 1)
    _check("max_pool2d", x, kernel, padding, dilation)
    return record(
        MAX_POOL2D,
        (x,),
        kernel=kernel,
        stride=stride,
        padding=padding,
        dilation=dilation,
        ceil_mode=bool(ceil_mode),
        needs_indices=return_indices or (x._requires_grad and is_grad_enabled()),
        return_indices=return_indices,
        relu=False,
    )


# --- average --------------------------------------------------------------------------------------


def _avg_forward(
    x: Array, kernel: Pair, stride: Pair, padding: Pair, ceil_mode: bool, count_include_pad: bool
) -> tuple[Array, tuple]:
    x = nhwc(x)
    return backend(x).avg_pool2d_forward(x, kernel, stride, padding, ceil_mode, count_include_pad), (x.shape,)


def _avg_backward(
    dout: Array,
    saved: tuple,
    needs: tuple,
    kernel: Pair,
    stride: Pair,
    padding: Pair,
    ceil_mode: bool,
    count_include_pad: bool,
) -> tuple:
    on = backend(dout)
    return (
        on.avg_pool2d_backward(nhwc(dout), saved[0], kernel, stride, padding, ceil_mode, count_include_pad),
    )


AVG_POOL2D = Operation("avg_pool2d", _avg_forward, _avg_backward)


def avg_pool2d(
    x: Tensor,
    kernel_size: int | Pair,
    stride: int | Pair | None = None,
    padding: int | Pair = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Tensor:
    """The mean of every window.

    Args:
        x: float (N, C, H, W) or (C, H, W).
        kernel_size: size of the window, int or (height, width).
        stride: step; default the window's size.
        padding: zeros on each side, at most half the window.
        ceil_mode: as for `max_pool2d`.
        count_include_pad: divide by the number of elements with the padding, else without.
    Returns:
        Tensor (N, C, OH, OW), as `max_pool2d`.
    Raises:
        ValueError: sizes out of range, or the window exceeds the padded input.
    """
    if len(x.shape) == 3:
        maps = _maps("avg_pool2d", x)
        return squeeze(avg_pool2d(maps, kernel_size, stride, padding, ceil_mode, count_include_pad), 0)
    x = _maps("avg_pool2d", x)
    kernel = pair("avg_pool2d", "kernel_size", kernel_size, 1)
    stride = kernel if stride is None else pair("avg_pool2d", "stride", stride, 1)
    padding = pair("avg_pool2d", "padding", padding, 0)
    _check("avg_pool2d", x, kernel, padding, (1, 1))
    return record(
        AVG_POOL2D,
        (x,),
        kernel=kernel,
        stride=stride,
        padding=padding,
        ceil_mode=bool(ceil_mode),
        count_include_pad=bool(count_include_pad),
    )


def _adaptive_forward(x: Array, output_size: Pair) -> tuple[Array, tuple]:
    x = nhwc(x)
    return backend(x).adaptive_avg_pool2d_forward(x, output_size), (x.shape,)


def _adaptive_backward(dout: Array, saved: tuple, needs: tuple, output_size: Pair) -> tuple:
    return (backend(dout).adaptive_avg_pool2d_backward(nhwc(dout), saved[0]),)


ADAPTIVE_AVG_POOL2D = Operation("adaptive_avg_pool2d", _adaptive_forward, _adaptive_backward)


def adaptive_avg_pool2d(x: Tensor, output_size: int | tuple[int | None, int | None]) -> Tensor:
    """Means over windows that are chosen so that the output has a given size; 1 is global average pooling.

    Args:
        x: float (N, C, H, W) or (C, H, W).
        output_size: int or (height, width); None keeps the input's size.
    Returns:
        Tensor (N, C, *output_size). Window i covers rows floor(i*H/OH) to ceil((i+1)*H/OH).
    Raises:
        ValueError: a size below 1, or an empty map.
    """
    name = "adaptive_avg_pool2d"
    if len(x.shape) == 3:
        return squeeze(adaptive_avg_pool2d(_maps(name, x), output_size), 0)
    x = _maps(name, x)
    if isinstance(output_size, (tuple, list)) and len(output_size) == 2:
        h, w = (
            x.shape[2 + i] if v is None else integer(name, "output_size", v)
            for i, v in enumerate(output_size)
        )
        output_size = (h, w)
    size = pair(name, "output_size", output_size, 1)
    if x.shape[2] < 1 or x.shape[3] < 1:
        raise ValueError(f"{name}: x of shape {x.shape} has an empty map, which has no mean")
    return record(ADAPTIVE_AVG_POOL2D, (x,), output_size=size)
