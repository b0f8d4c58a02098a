"""Pooling of rows (N, C, L): that of maps which are one row high."""

from __future__ import annotations

from typing import Any

from pynet.autograd import Tensor, record
from pynet.ops._backend import integer
from pynet.ops.pool2d import (
    ADAPTIVE_AVG_POOL2D,
    adaptive_max_over,
    like_input,
    maps_of,
    max_over,
    mean_over,
    norm_over,
)

One = int | tuple[int]


def single(name: str, argument: str, value: Any, least: int) -> int:
    """An int, or the one in a tuple or list, at least `least`."""
    if isinstance(value, (tuple, list)):
        if len(value) != 1:
            raise ValueError(f"{name}: {argument} takes one int, got {value!r}")
        value = value[0]
    found = integer(name, argument, value)
    if found < least:
        raise ValueError(f"{name}: {argument} must be at least {least}, got {value!r}")
    return found


def _window(name: str, kernel_size: Any, stride: Any, padding: Any) -> tuple[Any, Any, Any]:
    """Kernel, step and padding as pairs over one row."""
    kernel = single(name, "kernel_size", kernel_size, 1)
    step = kernel if stride is None else single(name, "stride", stride, 1)
    return (1, kernel), (1, step), (0, single(name, "padding", padding, 0))


def max_pool1d(
    input: Tensor,
    kernel_size: One,
    stride: One | None = None,
    padding: One = 0,
    dilation: One = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """The largest value of every window, as `max_pool2d`.

    Args:
        input: float (N, C, L) or (C, L).
        kernel_size: size of the window.
        stride: step; default the window's size.
        padding: of minus infinity on both sides, at most half the kernel.
        dilation: distance of the window's elements.
        ceil_mode: count a last window that starts inside the input or its leading padding but reaches beyond.
        return_indices: also give the position of each maximum, int64.
    Returns:
        Tensor (N, C, OL); or (that, indices).
    Raises:
        ValueError: sizes out of range, or the window exceeds the padded input.
    """
    name = "max_pool1d"
    window = _window(name, kernel_size, stride, padding)
    dilated = (1, single(name, "dilation", dilation, 1))
    pooled = max_over(name, maps_of(name, input, "L"), *window, dilated, ceil_mode, return_indices)
    return like_input(pooled, input, "L")


def avg_pool1d(
    input: Tensor,
    kernel_size: One,
    stride: One | None = None,
    padding: One = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Tensor:
    """The mean of every window, as `avg_pool2d`.

    Args:
        input: float (N, C, L) or (C, L).
        kernel_size, stride, ceil_mode: as for `max_pool1d`.
        padding: zeros on both sides, at most half the kernel.
        count_include_pad: divide by the number of elements with the padding, else without.
    Returns:
        Tensor (N, C, OL).
    Raises:
        ValueError: sizes out of range, or the window exceeds the padded input.
    """
    name = "avg_pool1d"
    window = _window(name, kernel_size, stride, padding)
    pooled = mean_over(name, maps_of(name, input, "L"), *window, ceil_mode, count_include_pad)
    return like_input(pooled, input, "L")


def lp_pool1d(
    input: Tensor,
    norm_type: float,
    kernel_size: One,
    stride: One | None = None,
    ceil_mode: bool = False,
) -> Tensor:
    """The p-th root of the sum of p-th powers of every window of (N, C, L) or (C, L), as `lp_pool2d`."""
    name = "lp_pool1d"
    kernel, step, _ = _window(name, kernel_size, stride, 0)
    return like_input(
        norm_over(name, maps_of(name, input, "L"), norm_type, kernel, step, ceil_mode), input, "L"
    )


def _to_size(name: str, input: Tensor, output_size: Any) -> tuple[Tensor, tuple[int, int]]:
    """The input as maps of one row, and the maps' size after pooling."""
    maps = maps_of(name, input, "L")
    if maps.shape[3] < 1:
        raise ValueError(f"{name}: input of shape {input.shape} has an empty row, which has nothing to pool")
    return maps, (1, single(name, "output_size", output_size, 1))


def adaptive_avg_pool1d(input: Tensor, output_size: One) -> Tensor:
    """Means over windows that cut (N, C, L) or (C, L) into `output_size` parts, as `adaptive_avg_pool2d`."""
    maps, size = _to_size("adaptive_avg_pool1d", input, output_size)
    return like_input(record(ADAPTIVE_AVG_POOL2D, (maps,), output_size=size), input, "L")


def adaptive_max_pool1d(input: Tensor, output_size: One, return_indices: bool = False) -> Any:
    """Maxima over windows that cut (N, C, L) or (C, L) into `output_size` parts; or (those, positions)."""
    maps, size = _to_size("adaptive_max_pool1d", input, output_size)
    return like_input(adaptive_max_over(maps, size, return_indices), input, "L")
