"""Batch normalisation, which waits for what follows.

The statistics are taken, from the convolution before or in a pass of their own, and the running ones
updated, at once; the affine pass over the maps is put off, because what usually comes next, a sum with a
shortcut and an activation, fits into the same pass. See `pynet.autograd.Pending`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pynet import reference
from pynet.autograd import Operation, Pending, Tensor, put_off, wrap, wrote
from pynet.ops._backend import Array, backend, nhwc, require_floats
from pynet.ops.activation import absorb_activation
from pynet.ops.conv2d import statistics_of


def _maps(x: Array) -> Array:
    """(N, C) and (N, C, L) as (N, C, H, W) in kernel order."""
    if x.ndim == 4:
        return nhwc(x)
    return nhwc(x[:, :, None, None] if x.ndim == 2 else x[:, :, :, None])


def _forward(
    x: Array,
    mean: Array,
    var: Array,
    weight: Array | None,
    bias: Array | None,
    residual: Array | None,
    eps: float,
    training: bool,
    activation: str,
    alpha: float,
) -> tuple[Array, tuple]:
    maps = _maps(x)
    shortcut = None if residual is None else _maps(residual)
    out = backend(x, weight, bias, residual).batch_norm_forward(
        maps, mean, var, weight, bias, eps, shortcut, activation, alpha
    )
    # The activation's slope follows from x alone where nothing else was added, and from the output elsewhere.
    from_x = activation != "none" and shortcut is None
    from_out = activation != "none" and not from_x
    saved = (maps, out if from_out else None, mean, var, weight, bias if from_x else None)
    return out if x.ndim == 4 else out.reshape(x.shape), saved


def _backward(
    dout: Any, saved: tuple, needs: tuple, eps: float, training: bool, activation: str, alpha: float
) -> tuple:
    if type(dout) is list:
        shape, summands = dout[0].shape, [_maps(d) for d in dout]
        dout.clear()  # they may make room on the way
        dout = summands
    else:
        shape, dout = dout.shape, _maps(dout)
    dx, dweight, dbias, dresidual = backend(saved[0]).batch_norm_backward(
        dout, *saved, eps, activation, alpha, training, needs[5]
    )
    if len(shape) != 4:
        dx = dx.reshape(shape)
        dresidual = None if dresidual is None else dresidual.reshape(shape)
    return (
        dx if needs[0] else None,
        None,
        None,
        dweight if needs[3] else None,
        dbias if needs[4] else None,
        dresidual,
    )


def _absorb(waiting: Pending, name: str, others: tuple, attributes: dict[str, Any]) -> tuple | None:
    """One sum with an equal shape, then one activation."""
    if name != "add":
        return absorb_activation(waiting, name, others, attributes)
    (other,) = others
    if waiting.inputs[5] is not None or waiting.attributes["activation"] != "none":
        return None
    if other.shape != waiting.shape or other.dtype != waiting.dtype:
        return None
    return BATCH_NORM, (*waiting.inputs[:5], other), waiting.attributes, waiting.shape


BATCH_NORM = Operation("batch_norm", _forward, _backward, takes_two=True, absorb=_absorb)


def batch_norm(
    x: Tensor,
    running_mean: Any = None,
    running_var: Any = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """(x - mean) / sqrt(var + eps) * weight + bias, channel by channel.

    Args:
        x: float (N, C), (N, C, L) or (N, C, H, W).
        running_mean, running_var: (C,) Tensors or arrays; in training updated in place, else used;
            None only in training.
        weight, bias: (C,) or None.
        training: normalise by the statistics of the batch.
        momentum: share of the batch in the running statistics; the running variance takes the unbiased one.
        eps: at least 0.
    Returns:
        Tensor of x's shape.
    Raises:
        ValueError: wrong rank or sizes, one value a channel in training, or no running statistics outside
            training. TypeError: dtypes differ.
    Source:
        Ioffe & Szegedy 2015, algorithm 1.
    """
    dtype, shape = x.dtype, x.shape
    if not (
        dtype.kind == "f"
        and (weight is None or weight.dtype is dtype)
        and (bias is None or bias.dtype is dtype)
    ):
        require_floats("batch_norm", x=x, weight=weight, bias=bias)
    if not 2 <= len(shape) <= 4:
        raise ValueError(f"batch_norm: expected x (N, C), (N, C, L) or (N, C, H, W), got shape {shape}")
    if eps < 0:
        raise ValueError(f"batch_norm: eps must be at least 0, got {eps}")
    channels = shape[1]
    for t in (weight, bias, running_mean, running_var):
        if t is not None and t.shape != (channels,):
            named = {"weight": weight, "bias": bias, "running_mean": running_mean, "running_var": running_var}
            argument = next(name for name, found in named.items() if found is t)
            raise ValueError(f"batch_norm: {argument} is {t.shape}, x {shape} needs ({channels},)")
    if (running_mean is None) != (running_var is None):
        raise ValueError("batch_norm: give both running_mean and running_var, or neither")
    if not training and running_mean is None:
        raise ValueError("batch_norm: training=False needs running_mean and running_var; give both")
    array = x.array
    if training:
        mean, var = _batch_statistics(x)
        if running_mean is not None and array.size:
            _update_running(running_mean, running_var, mean, var, array.size // channels, momentum)
    else:
        # Copies: a later training step changes the running statistics in place.
        mean, var = _running(running_mean, array.dtype), _running(running_var, array.dtype)
    inputs = (x, wrap(mean), wrap(var), weight, bias, None)
    return put_off(
        BATCH_NORM,
        inputs,
        shape,
        array.dtype,
        eps=float(eps),
        training=training,
        activation="none",
        alpha=0.0,
    )


def _batch_statistics(x: Tensor) -> tuple[Array, Array]:
    array = x.array
    channels = array.shape[1]
    if array.size == 0:
        return np.zeros(channels, array.dtype), np.ones(channels, array.dtype)
    if array.size == channels:
        raise ValueError(
            f"batch_norm: training needs more than one value a channel, got x of shape {array.shape}; use a "
            "larger batch, or "
            "eval()"
        )
    return statistics_of(x) or backend(array).batch_norm_statistics(_maps(array))


def _array(statistic: Any) -> Array:
    return statistic.array if isinstance(statistic, Tensor) else statistic


def _running(statistic: Any, dtype: np.dtype) -> Array:
    return _array(statistic).astype(dtype, copy=True)


def _update_running(
    mean: Any, var: Any, batch_mean: Array, batch_var: Array, count: int, momentum: float
) -> None:
    # Nothing that was put off reads running statistics themselves, so nothing needs to be settled before
    # this write.
    means, variances = _array(mean), _array(var)
    same = means.dtype is variances.dtype is batch_mean.dtype
    on = backend(batch_mean) if same else reference  # which takes any dtypes
    on.batch_norm_running(means, variances, batch_mean, batch_var, count, momentum)
    for written in (mean, var):
        if isinstance(written, Tensor):
            wrote(written)
