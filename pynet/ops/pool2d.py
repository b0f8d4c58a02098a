"""Pooling of maps: maxima with their places, means, p-norms, over given windows or to a given size.

The windows of one axis that `pool1d` needs are windows of one row here.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pynet.autograd import Operation, Tensor, is_grad_enabled, record
from pynet.ops._backend import Array, backend, dense, empty, integer, nhwc, pair, require_floats
from pynet.ops.activation import relu
from pynet.ops.arithmetic import abs as absolute
from pynet.ops.arithmetic import multiply, pow
from pynet.ops.rounding import sign
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
                "padding alone; use a smaller padding"
            )
        if reach > size:
            raise ValueError(
                f"{name}: the window (size {reach}) exceeds the padded input (size {size}); x is {xs}, "
                f"kernel {kernel}, padding {padding}; use a smaller kernel"
            )


def maps_of(name: str, x: Tensor, axes: str = "H, W") -> Tensor:
    """x as (N, C, H, W): maps, or (`axes` "L") rows as maps of one row."""
    if type(x) is not Tensor or x.dtype.kind != "f":
        require_floats(name, x=x)
    wanted = 3 if axes == "L" else 4
    if len(x.shape) not in (wanted - 1, wanted):
        raise ValueError(f"{name}: expected x (N, C, {axes}) or (C, {axes}), got shape {x.shape}")
    rows = unsqueeze(x, -2) if axes == "L" else x
    return unsqueeze(rows, 0) if len(x.shape) < wanted else rows


def like_input(out: Any, x: Tensor, axes: str = "H, W") -> Any:
    """The axes that `maps_of` gave x taken away again; of each of several results."""
    if type(out) is tuple:
        return tuple(like_input(part, x, axes) for part in out)
    if axes == "L":
        out = squeeze(out, 2)
    return squeeze(out, 0) if len(x.shape) < (3 if axes == "L" else 4) else out


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
    name = "max_pool2d"
    kernel = pair(name, "kernel_size", kernel_size, 1)
    steps = kernel if stride is None else pair(name, "stride", stride, 1)
    padding, dilation = pair(name, "padding", padding, 0), pair(name, "dilation", dilation, 1)
    if type(x) is Tensor and len(x.shape) == 4:  # nearly always: spares the calls of maps_of
        return max_over(name, x, kernel, steps, padding, dilation, ceil_mode, return_indices)
    pooled = max_over(name, maps_of(name, x), kernel, steps, padding, dilation, ceil_mode, return_indices)
    return like_input(pooled, x)


def max_over(
    name: str,
    x: Tensor,
    kernel: Pair,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    ceil_mode: bool,
    return_indices: bool,
) -> Any:
    """`max_pool2d` of maps (N, C, H, W) with all pairs given; `name` begins the errors."""
    if type(x) is not Tensor or x.dtype.kind != "f":
        require_floats(name, x=x)
    _check(name, x, kernel, padding, dilation)
    return record(
        MAX_POOL2D,
        (x,),
        kernel=kernel,
        stride=stride,
        padding=padding,
        dilation=dilation,
        ceil_mode=bool(ceil_mode),
        needs_indices=return_indices or (x._requires_grad and is_grad_enabled()),
        return_indices=bool(return_indices),
        relu=False,
    )


# --- average --------------------------------------------------------------------------------------


def _avg_forward(
    x: Array,
    kernel: Pair,
    stride: Pair,
    padding: Pair,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor: int,
) -> tuple[Array, tuple]:
    x = nhwc(x)
    window = (kernel, stride, padding, ceil_mode, count_include_pad, divisor)
    return backend(x).avg_pool2d_forward(x, *window), (x.shape,)


def _avg_backward(
    dout: Array,
    saved: tuple,
    needs: tuple,
    kernel: Pair,
    stride: Pair,
    padding: Pair,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor: int,
) -> tuple:
    window = (kernel, stride, padding, ceil_mode, count_include_pad, divisor)
    return (backend(dout).avg_pool2d_backward(nhwc(dout), saved[0], *window),)


AVG_POOL2D = Operation("avg_pool2d", _avg_forward, _avg_backward)


def avg_pool2d(
    x: Tensor,
    kernel_size: int | Pair,
    stride: int | Pair | None = None,
    padding: int | Pair = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """The mean of every window.

    Args:
        x: float (N, C, H, W) or (C, H, W).
        kernel_size: size of the window, int or (height, width).
        stride: step; default the window's size.
        padding: zeros on each side, at most half the window.
        ceil_mode: as for `max_pool2d`.
        count_include_pad: divide by the number of elements with the padding, else without.
        divisor_override: divide every window's sum by this number instead, not 0; default None.
    Returns:
        Tensor (N, C, OH, OW), as `max_pool2d`.
    Raises:
        ValueError: sizes out of range, the window exceeds the padded input, or a divisor of 0.
    """
    name = "avg_pool2d"
    kernel = pair(name, "kernel_size", kernel_size, 1)
    steps = kernel if stride is None else pair(name, "stride", stride, 1)
    padding = pair(name, "padding", padding, 0)
    maps = maps_of(name, x)
    pooled = mean_over(name, maps, kernel, steps, padding, ceil_mode, count_include_pad, divisor_override)
    return like_input(pooled, x)


def mean_over(
    name: str,
    x: Tensor,
    kernel: Pair,
    stride: Pair,
    padding: Pair,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor: int | None = None,
) -> Tensor:
    """`avg_pool2d` of maps (N, C, H, W) with all pairs given; `name` begins the errors."""
    _check(name, x, kernel, padding, (1, 1))
    if divisor is not None and integer(name, "divisor_override", divisor) == 0:
        raise ValueError(f"{name}: divisor_override must not be 0")
    return record(
        AVG_POOL2D,
        (x,),
        kernel=kernel,
        stride=stride,
        padding=padding,
        ceil_mode=bool(ceil_mode),
        count_include_pad=bool(count_include_pad),
        divisor=0 if divisor is None else integer(name, "divisor_override", divisor),
    )


def lp_pool2d(
    input: Tensor,
    norm_type: float,
    kernel_size: int | Pair,
    stride: int | Pair | None = None,
    ceil_mode: bool = False,
) -> Tensor:
    """The p-th root of the sum of p-th powers of every window: its p-norm where nothing is negative.

    Args:
        input: float (N, C, H, W) or (C, H, W).
        norm_type: p, not 0; 1 is the sum, large p nears the maximum.
        kernel_size, stride, ceil_mode: as for `avg_pool2d`; a last window that is cut off counts as if its
            mean held for the whole.
    Returns:
        Tensor (N, C, OH, OW). NaN where a sum of odd powers is negative; the slope at 0 is 0.
    Raises:
        ValueError: p is 0, sizes out of range, or the window exceeds the input.
    """
    name = "lp_pool2d"
    kernel = pair(name, "kernel_size", kernel_size, 1)
    steps = kernel if stride is None else pair(name, "stride", stride, 1)
    return like_input(norm_over(name, maps_of(name, input), norm_type, kernel, steps, ceil_mode), input)


def norm_over(name: str, x: Tensor, norm_type: float, kernel: Pair, stride: Pair, ceil_mode: bool) -> Tensor:
    """`lp_pool2d` of maps (N, C, H, W) with all pairs given; `name` begins the errors."""
    if not norm_type:
        raise ValueError(f"{name}: norm_type must not be 0")
    means = mean_over(name, pow(x, float(norm_type)), kernel, stride, (0, 0), ceil_mode, True)
    # Itself, but for the slope at 0, where the root's is infinite.
    means = multiply(sign(means), relu(absolute(means)))
    return pow(multiply(means, float(kernel[0] * kernel[1])), 1.0 / float(norm_type))


# --- to a given size ------------------------------------------------------------------------------


def _output_size(name: str, x: Tensor, output_size: Any) -> Pair:
    if isinstance(output_size, (tuple, list)) and len(output_size) == 2:
        output_size = tuple(x.shape[2 + i] if v is None else v for i, v in enumerate(output_size))
    elif output_size is None:
        output_size = x.shape[2:]
    size = pair(name, "output_size", output_size, 1)
    if x.shape[2] < 1 or x.shape[3] < 1:
        raise ValueError(f"{name}: x of shape {x.shape} has an empty map, which has nothing to pool")
    return size


def _adaptive_forward(x: Array, output_size: Pair) -> tuple[Array, tuple]:
    x = nhwc(x)
    return backend(x).adaptive_avg_pool2d_forward(x, output_size), (x.shape,)


def _adaptive_backward(dout: Array, saved: tuple, needs: tuple, output_size: Pair) -> tuple:
    return (backend(dout).adaptive_avg_pool2d_backward(nhwc(dout), saved[0]),)


ADAPTIVE_AVG_POOL2D = Operation("adaptive_avg_pool2d", _adaptive_forward, _adaptive_backward)


def adaptive_avg_pool2d(x: Tensor, output_size: int | tuple[int | None, int | None] | None) -> Tensor:
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
    maps = maps_of(name, x)
    return like_input(
        record(ADAPTIVE_AVG_POOL2D, (maps,), output_size=_output_size(name, maps, output_size)), x
    )


def _adaptive_max_forward(
    x: Array, output_size: Pair, needs_indices: bool, return_indices: bool
) -> tuple[Any, tuple]:
    x = nhwc(x)
    n, c, h, w = x.shape
    out = empty((n, c, *output_size), x.dtype)
    indices = empty(out.shape, np.int32)
    for i, j in np.ndindex(*output_size):
        top, left = i * h // output_size[0], j * w // output_size[1]
        bottom, right = -(-(i + 1) * h // output_size[0]), -(-(j + 1) * w // output_size[1])
        window = (bottom - top, right - left)
        part = nhwc(x[:, :, top:bottom, left:right])
        largest, at = backend(x).max_pool2d_forward(
            part, window, window, (0, 0), (1, 1), False, needs_indices, False
        )
        out[:, :, i, j] = largest[:, :, 0, 0]
        if needs_indices:
            at = at[:, :, 0, 0]
            indices[:, :, i, j] = (at // window[1] + top) * w + at % window[1] + left
    saved = (indices if needs_indices else None, x.shape)
    return ((out, dense(indices.astype(np.int64))) if return_indices else out), saved


def _adaptive_max_backward(dout: Any, saved: tuple, needs: tuple, **attributes: Any) -> tuple:
    return _max_backward(dout, saved, needs)


ADAPTIVE_MAX_POOL2D = Operation("adaptive_max_pool2d", _adaptive_max_forward, _adaptive_max_backward)


def adaptive_max_pool2d(
    input: Tensor, output_size: int | tuple[int | None, int | None] | None, return_indices: bool = False
) -> Any:
    """Maxima over the windows of `adaptive_avg_pool2d`, ties and NaN as in `max_pool2d`.

    Args:
        input: float (N, C, H, W) or (C, H, W).
        output_size: int or (height, width); None keeps the input's size.
        return_indices: also give the flat position h * W + w of each maximum, int64.
    Returns:
        Tensor (N, C, *output_size); or (that, indices).
    Raises:
        ValueError: a size below 1, or an empty map.
    """
    name = "adaptive_max_pool2d"
    maps = maps_of(name, input)
    return like_input(adaptive_max_over(maps, _output_size(name, maps, output_size), return_indices), input)


def adaptive_max_over(x: Tensor, size: Pair, return_indices: bool) -> Any:
    """`adaptive_max_pool2d` of maps (N, C, H, W); windows that all have one size are a plain max pooling."""
    h, w = x.shape[2:]
    if h % size[0] == 0 and w % size[1] == 0:
        kernel = (h // size[0], w // size[1])
        return max_over("adaptive_max_pool2d", x, kernel, kernel, (0, 0), (1, 1), False, return_indices)
    return record(
        ADAPTIVE_MAX_POOL2D,
        (x,),
        output_size=size,
        needs_indices=return_indices or (x._requires_grad and is_grad_enabled()),
        return_indices=bool(return_indices),
    )
