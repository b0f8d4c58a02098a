"""Batch normalisation: each channel is shifted and scaled to mean 0 and variance 1, then to a learnt mean and
scale; optionally a residual is added and an activation applied, in the same pass.

    xhat = (x - mean) / sqrt(var + eps)
    out  = activation(xhat * weight + bias + residual)

In training, mean and variance are those of the batch and hence functions of x, so that its gradient has three
terms; in evaluation they are constants (running averages, kept by the caller) and one term remains.

Source:
    Ioffe and Szegedy 2015, Batch Normalization, Algorithm 1 and the gradients of section 3.
"""

from __future__ import annotations

import numpy as np

from .activation import activation_backward, activation_forward
from .layout import to_nhwc


def _per_channel(v: np.ndarray) -> np.ndarray:
    """Return v (C,) so that it broadcasts over (N, C, H, W)."""
    return v[None, :, None, None]


def batch_norm_statistics(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mean (C,) and biased variance (C,) of x (N, C, H, W) over N, H, W; zeros for an empty batch."""
    count = max(x.size // max(x.shape[1], 1), 1)
    mean = x.sum(axis=(0, 2, 3)) / x.dtype.type(count)
    centred = x - _per_channel(mean)
    return mean, (centred * centred).sum(axis=(0, 2, 3)) / x.dtype.type(count)


def batch_norm_running(
    running_mean: np.ndarray,
    running_var: np.ndarray,
    mean: np.ndarray,
    var: np.ndarray,
    count: int,
    momentum: float,
) -> None:
    """Give a batch its share of the running statistics (C,), in place.

    Args:
        running_mean: updated.
        running_var: updated, with the unbiased variance.
        mean: (C,), of the batch.
        var: (C,), its biased variance.
        count: values a channel, at least 2.
        momentum: the batch's share.
    """
    for running, batch in ((running_mean, mean), (running_var, var * var.dtype.type(count / (count - 1)))):
        running *= running.dtype.type(1 - momentum)
        running += batch * batch.dtype.type(momentum)


def batch_norm_forward(
    x: np.ndarray,
    mean: np.ndarray,
    var: np.ndarray,
    weight: np.ndarray | None,
    bias: np.ndarray | None,
    eps: float,
    residual: np.ndarray | None,
    activation: str,
    alpha: float,
) -> np.ndarray:
    """Normalise x.

    Args:
        x: (N, C, H, W).
        mean: (C,), of the batch or running.
        var: (C,), biased variance of the batch, or running.
        weight: (C,), or None for ones.
        bias: (C,), or None for zeros.
        eps: added to the variance.
        residual: (N, C, H, W), added before the activation, or None.
        activation: "none" or one of `activation.ACTIVATIONS`.
        alpha: its parameter.

    Returns:
        Array (N, C, H, W).
    """
    out = (x - _per_channel(mean)) / _per_channel(np.sqrt(var + x.dtype.type(eps)))
    if weight is not None:
        out = out * _per_channel(weight)
    if bias is not None:
        out = out + _per_channel(bias)
    if residual is not None:
        out = out + residual
    return activation_forward(to_nhwc(out), activation, alpha)


def batch_norm_backward(
    dout: np.ndarray | list[np.ndarray],
    x: np.ndarray,
    out: np.ndarray | None,
    mean: np.ndarray,
    var: np.ndarray,
    weight: np.ndarray | None,
    bias: np.ndarray | None,
    eps: float,
    activation: str,
    alpha: float,
    training: bool,
    needs_residual: bool,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray | None]:
    """Return the gradients of `batch_norm_forward`.

    Args:
        dout: (N, C, H, W), gradient of the output; or a list of two summands of it.
        x: the input.
        out: the output, which the activation's gradient needs; None, where no residual was added: it is
            computed again.
        mean: as in the forward pass.
        var: as in the forward pass.
        weight: as in the forward pass.
        bias: as in the forward pass.
        eps: as in the forward pass.
        activation: as in the forward pass.
        alpha: as in the forward pass.
        training: mean and var are those of x, so that gradients flow through them too.
        needs_residual: whether to return the residual's gradient.

    Returns:
        dx (N, C, H, W), dweight (C,), dbias (C,), dresidual (N, C, H, W) or None.
    """
    total = dout[0] + dout[1] if isinstance(dout, list) else dout
    if out is None:
        out = batch_norm_forward(x, mean, var, weight, bias, eps, None, activation, alpha)
    dsum = activation_backward(total, out, activation, alpha)
    scale = x.dtype.type(1) / np.sqrt(var + x.dtype.type(eps))
    xhat = (x - _per_channel(mean)) * _per_channel(scale)
    dbias = dsum.sum(axis=(0, 2, 3))
    dweight = (dsum * xhat).sum(axis=(0, 2, 3))

    dxhat = dsum
    if training:
        # Subtract what dsum has in common with a constant and with xhat: moving x along either of them
        # changes mean and variance, and leaves xhat as it was.
        count = x.dtype.type(max(x.size // max(x.shape[1], 1), 1))
        dxhat = dsum - _per_channel(dbias / count) - xhat * _per_channel(dweight / count)
    dx = dxhat * _per_channel(scale if weight is None else scale * weight)
    return to_nhwc(dx), dweight, dbias, to_nhwc(dsum) if needs_residual else None
