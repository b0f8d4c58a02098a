"""Max pooling undone: values put back where their maxima lay, zeros elsewhere. On NumPy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pynet.autograd import Operation, Tensor, record, wrap
from pynet.ops._backend import Array, nhwc, pair, tensor_of
from pynet.ops.pool1d import single
from pynet.ops.pool2d import like_input, maps_of
from pynet.ops.shape import unsqueeze

Pair = tuple[int, int]


def _rows(a: Array) -> Array:
    """(N, C, H, W) as (N, H * W, C)."""
    n, c, h, w = a.shape
    return nhwc(a).transpose(0, 2, 3, 1).reshape(n, h * w, c)


def _forward(x: Array, indices: Array, size: Pair) -> tuple[Array, tuple]:
    n, c = x.shape[:2]
    places = _rows(indices)
    out = np.zeros((n, size[0] * size[1], c), x.dtype)
    np.put_along_axis(out, places, _rows(x), 1)  # of values for one place the last one stays
    return out.reshape(n, *size, c).transpose(0, 3, 1, 2), (places, x.shape)


def _backward(dout: Array, saved: tuple, needs: tuple, size: Pair) -> tuple:
    places, (n, c, h, w) = saved
    dx = np.take_along_axis(_rows(dout), places, 1)
    return dx.reshape(n, h, w, c).transpose(0, 3, 1, 2), None


MAX_UNPOOL2D = Operation("max_unpool2d", _forward, _backward)


def _size(name: str, pooled: Sequence[int], window: tuple[Any, Any, Any], given: Any) -> tuple[int, ...]:
    """The size before pooling: the smallest that the windows fill, or a given one within a step of that."""
    default = tuple((n - 1) * s - 2 * p + k for n, k, s, p in zip(pooled, *window, strict=True))
    if given is None:
        return default
    sizes = tuple(int(n) for n in given)[-len(default) :]
    if len(sizes) != len(default) or any(
        not d - s < n < d + s for n, d, s in zip(sizes, default, window[1], strict=True)
    ):
        raise ValueError(f"{name}: output_size {tuple(given)} must lie within a stride of {default}")
    return sizes


def _unpool(name: str, x: Tensor, indices: Any, size: Pair) -> Tensor:
    places = tensor_of(indices)
    if places.dtype.kind not in "iu":
        raise TypeError(f"{name}: indices are {places.dtype}, expected the int64 of max pooling")
    if places.shape != x.shape:
        raise ValueError(f"{name}: indices {places.shape} and input {x.shape} must have one shape")
    if x.shape[0] * x.shape[1] and min(size) < 1:
        raise ValueError(f"{name}: the output would have the size {size}; enlarge output_size or the kernel")
    found = places.array
    if found.size and not (found.min() >= 0 and found.max() < size[0] * size[1]):
        raise IndexError(
            f"{name}: indices from {found.min()} to {found.max()} do not fit into maps of {size}; pass the "
            "output_size that was pooled"
        )
    return record(MAX_UNPOOL2D, (x, wrap(found.astype(np.int64, copy=False))), size=size)


def max_unpool2d(
    input: Tensor,
    indices: Any,
    kernel_size: int | Pair,
    stride: int | Pair | None = None,
    padding: int | Pair = 0,
    output_size: Sequence[int] | None = None,
) -> Tensor:
    """Puts pooled values back to their `max_pool2d(..., return_indices=True)` places; zeros elsewhere.

    Args:
        input: float (N, C, H, W) or (C, H, W).
        indices: of the same shape; where two name one place, the last value stays.
        kernel_size, stride, padding: those of the pooling.
        output_size: (..., height, width), since several sizes pool to one; default the smallest.
    Returns:
        Tensor (N, C, (H - 1) * stride - 2 * padding + kernel, ...), or of `output_size`.
    Raises:
        ValueError: shapes differ, or the size is not one that pools to the input's. IndexError: an index
            outside the output.
    """
    name = "max_unpool2d"
    kernel = pair(name, "kernel_size", kernel_size, 1)
    steps = kernel if stride is None else pair(name, "stride", stride, 1)
    window = (kernel, steps, pair(name, "padding", padding, 0))
    maps = maps_of(name, input)
    places = tensor_of(indices)
    height, width = _size(name, maps.shape[2:], window, output_size)
    at = unsqueeze(places, 0) if len(places.shape) == 3 else places
    return like_input(_unpool(name, maps, at, (height, width)), input)


def max_unpool1d(
    input: Tensor,
    indices: Any,
    kernel_size: int | tuple[int],
    stride: int | tuple[int] | None = None,
    padding: int | tuple[int] = 0,
    output_size: Sequence[int] | None = None,
) -> Tensor:
    """Puts pooled values of (N, C, L) or (C, L) back to their places, as `max_unpool2d`."""
    name = "max_unpool1d"
    kernel = single(name, "kernel_size", kernel_size, 1)
    step = kernel if stride is None else single(name, "stride", stride, 1)
    window = ((kernel,), (step,), (single(name, "padding", padding, 0),))
    maps = maps_of(name, input, "L")
    places = unsqueeze(tensor_of(indices), -2)
    (length,) = _size(name, maps.shape[3:], window, output_size)
    at = unsqueeze(places, 0) if len(places.shape) == 3 else places
    return like_input(_unpool(name, maps, at, (1, length)), input, "L")
