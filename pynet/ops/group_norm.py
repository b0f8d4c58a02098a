"""Normalisation within each sample: over groups of channels, single channels, or trailing axes; LRN."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from pynet.autograd import Operation, Tensor, record, wrote
from pynet.ops._backend import Array, backend, integer, nhwc, require_floats
from pynet.ops.arithmetic import add, divide, multiply, pow, square
from pynet.ops.indexing import getitem
from pynet.ops.norm import batch_norm
from pynet.ops.pad import pad
from pynet.ops.shape import reshape


def _maps(x: Array) -> Array:
    """(N, C, ...) as (N, C, H, W) in kernel order."""
    return nhwc(x if x.ndim == 4 else x.reshape(*x.shape[:2], -1, 1))


def _forward(
    x: Array, weight: Array | None, bias: Array | None, groups: int, eps: float
) -> tuple[Array, tuple]:
    maps = _maps(x)
    out, mean, rstd = backend(x, weight, bias).group_norm_forward(maps, groups, weight, bias, eps)
    return out.reshape(x.shape), (maps, mean, rstd, weight)


def _backward(dout: Array, saved: tuple, needs: tuple, groups: int, eps: float) -> tuple:
    maps, mean, rstd, weight = saved
    dx, dweight, dbias = backend(dout).group_norm_backward(_maps(dout), maps, mean, rstd, groups, weight)
    return dx.reshape(dout.shape), dweight if needs[1] else None, dbias if needs[2] else None


GROUP_NORM = Operation("group_norm", _forward, _backward)


def group_norm(
    input: Tensor,
    num_groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """Each sample standardised over groups of channels, then scaled and shifted channel by channel.

    Args:
        input: float (N, C, ...).
        num_groups: divides C.
        weight, bias: (C,) or None.
        eps: added to the variance.
    Raises:
        ValueError: wrong rank, sizes or groups, or one value a group. TypeError: dtypes differ.
    Source:
        Wu & He 2018, "Group Normalization".
    """
    require_floats("group_norm", input=input, weight=weight, bias=bias)
    shape, groups = input.shape, integer("group_norm", "num_groups", num_groups)
    if len(shape) < 2:
        raise ValueError(f"group_norm: expected input (N, C, ...), got shape {shape}")
    if groups < 1 or shape[1] % groups:
        raise ValueError(
            f"group_norm: num_groups={groups} does not divide the {shape[1]} channels of {shape}"
        )
    for argument, t in (("weight", weight), ("bias", bias)):
        if t is not None and t.shape != shape[1:2]:
            raise ValueError(f"group_norm: {argument} is {t.shape}, input {shape} needs ({shape[1]},)")
    size = input.array.size
    if size and size == shape[0] * groups:
        raise ValueError(f"group_norm: more than one value a group is needed, got {shape} in {groups} groups")
    return record(GROUP_NORM, (input, weight, bias), groups=groups, eps=float(eps))


def layer_norm(
    input: Tensor,
    normalized_shape: int | Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """The trailing axes standardised together, then scaled and shifted element by element.

    Args:
        input: float (..., *normalized_shape).
        normalized_shape: sizes of the trailing axes, or one size.
        weight, bias: of shape normalized_shape, or None.
        eps: added to the variance.
    Raises:
        ValueError: shapes do not fit. TypeError: dtypes differ.
    Source:
        Ba, Kiros & Hinton 2016, "Layer Normalization".
    """
    require_floats("layer_norm", input=input, weight=weight, bias=bias)
    given: Any = normalized_shape if isinstance(normalized_shape, (tuple, list)) else (normalized_shape,)
    sizes = tuple(integer("layer_norm", "normalized_shape", n) for n in given)
    shape = input.shape
    if not sizes or shape[-len(sizes) :] != sizes:
        raise ValueError(f"layer_norm: input {shape} does not end with normalized_shape {sizes}")
    for argument, t in (("weight", weight), ("bias", bias)):
        if t is not None and t.shape != sizes:
            raise ValueError(f"layer_norm: {argument} is {t.shape}, expected {sizes}")
    rows = reshape(input, (math.prod(shape[: -len(sizes)]), math.prod(sizes)))
    flat = [t if t is None or len(sizes) == 1 else reshape(t, -1) for t in (weight, bias)]
    return reshape(record(GROUP_NORM, (rows, *flat), groups=1, eps=float(eps)), shape)


def instance_norm(
    input: Tensor,
    running_mean: Any = None,
    running_var: Any = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Each channel of each sample standardised on its own, or by running statistics.

    Args:
        input: float (N, C, ...).
        running_mean, running_var: (C,) or None; updated in place with the samples' means while
            `use_input_stats`, used otherwise.
        weight, bias: (C,) or None.
        use_input_stats: False normalises by the running statistics.
        momentum: share of the newest batch in them.
        eps: added to the variance.
    Raises:
        ValueError: wrong shapes, or no running statistics where they are to be used.
    Source:
        Ulyanov, Vedaldi & Lempitsky 2016, "Instance Normalization".
    """
    shape = input.shape
    if not use_input_stats:
        if running_mean is None or running_var is None:
            raise ValueError("instance_norm: use_input_stats=False needs running_mean and running_var")
        maps = input if len(shape) == 4 else reshape(input, (*shape[:2], -1, 1))
        return reshape(batch_norm(maps, running_mean, running_var, weight, bias, False, momentum, eps), shape)
    out = group_norm(input, shape[1] if len(shape) > 1 else 1, weight, bias, eps)
    if running_mean is not None and running_var is not None and input.array.size:
        _update(running_mean, running_var, input.array, momentum)
    return out


def _update(running_mean: Any, running_var: Any, x: Array, momentum: float) -> None:
    over = tuple(range(2, x.ndim))
    for statistic, batch in (
        (running_mean, x.mean(axis=over).mean(axis=0)),
        (running_var, x.var(axis=over, ddof=1).mean(axis=0)),
    ):
        array = statistic.array if isinstance(statistic, Tensor) else statistic
        array *= array.dtype.type(1 - momentum)
        array += (batch * momentum).astype(array.dtype)
    wrote(*[t for t in (running_mean, running_var) if isinstance(t, Tensor)])


def local_response_norm(
    input: Tensor, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0
) -> Tensor:
    """x / (k + alpha * mean of x^2 over `size` neighbouring channels) ^ beta; beyond the ends lie zeros.

    Args:
        input: float (N, C, ...).
        size: channels of the window, at least 1.
        alpha, beta, k: constants.
    Raises:
        ValueError: wrong rank or size.
    Source:
        Krizhevsky, Sutskever & Hinton 2012, section 3.3, with PyTorch's division by `size`.
    """
    require_floats("local_response_norm", input=input)
    size, shape = integer("local_response_norm", "size", size), input.shape
    if size < 1:
        raise ValueError(f"local_response_norm: size must be at least 1, got {size}")
    if len(shape) < 3:
        raise ValueError(f"local_response_norm: expected input (N, C, L, ...), got shape {shape}")
    squares = pad(square(input), [0, 0] * (len(shape) - 2) + [size // 2, (size - 1) // 2])
    total = getitem(squares, (slice(None), slice(0, shape[1])))
    for at in range(1, size):
        total = add(total, getitem(squares, (slice(None), slice(at, at + shape[1]))))
    return divide(input, pow(add(multiply(total, alpha / size), k), beta))
