"""Activation functions, applied element by element, and Maxout.

Each function here is monotonic, so that its derivative can be written in terms of its output: the backward
pass needs `out` alone, and the input may be forgotten (or overwritten by a fused layer).

    relu        max(x, 0)                              dx = dout where out > 0
    leaky_relu  x where x > 0, else alpha * x          dx = dout, or alpha * dout
    elu         x where x > 0, else alpha * (e^x - 1)  dx = dout, or (out + alpha) * dout
    sigmoid     1 / (1 + e^-x)                         dx = out * (1 - out) * dout
    tanh        (e^x - e^-x) / (e^x + e^-x)            dx = (1 - out^2) * dout

Source:
    ReLU: Nair and Hinton 2010. Leaky ReLU: Maas et al. 2013. ELU: Clevert et al. 2016, eq. 15.
    Maxout: Goodfellow et al. 2013, eq. 2.
"""

from __future__ import annotations

import numpy as np

from .layout import keep_order, to_nhwc

ACTIVATIONS = ("relu", "leaky_relu", "elu", "sigmoid", "tanh")


def sigmoid(x: np.ndarray) -> np.ndarray:
    """Return 1 / (1 + e^-x); the exponential is only taken of -|x|, so that it cannot overflow."""
    one = x.dtype.type(1)
    small = np.exp(-np.abs(x))
    return np.where(x >= 0, one, small) / (one + small)


@np.errstate(all="ignore")
def activation_forward(x: np.ndarray, activation: str, alpha: float) -> np.ndarray:
    """Apply an activation to an array of any shape; NaN stays NaN.

    Args:
        x: any shape.
        activation: "none" (a copy) or one of `ACTIVATIONS`.
        alpha: negative slope of leaky_relu, alpha of elu; unused otherwise.

    Returns:
        Array of x's shape and order.

    Raises:
        ValueError: unknown activation.
    """
    zero, slope = x.dtype.type(0), x.dtype.type(alpha)
    if activation == "none":
        out = x.copy(order="K")
    elif activation == "relu":
        out = np.maximum(x, zero)
    elif activation == "leaky_relu":
        out = np.where(x > 0, x, x * slope)
    elif activation == "elu":
        out = np.where(x > 0, x, slope * np.expm1(np.minimum(x, zero)))
    elif activation == "sigmoid":
        out = sigmoid(x)
    elif activation == "tanh":
        out = np.tanh(x)
    else:
        raise ValueError(f"activation: {activation!r} is unknown; use 'none' or one of {ACTIVATIONS}")
    return keep_order(out, x)


@np.errstate(all="ignore")
def activation_backward(dout: np.ndarray, out: np.ndarray, activation: str, alpha: float) -> np.ndarray:
    """Return dx of dout, given the activation's output.

    Args:
        dout: gradient of the output, any shape.
        out: what `activation_forward` returned.
        activation: as there.
        alpha: as there, not negative.

    Returns:
        Array of out's shape and order. Where relu's output is 0 the gradient is 0; at NaN it passes.

    Raises:
        ValueError: unknown activation.
    """
    zero, one, slope = out.dtype.type(0), out.dtype.type(1), out.dtype.type(alpha)
    if activation == "none":
        dx = dout.copy(order="K")
    elif activation == "relu":
        dx = np.where(out <= 0, zero, dout)
    elif activation == "leaky_relu":
        dx = np.where(out > 0, dout, dout * slope)
    elif activation == "elu":
        dx = np.where(out > 0, dout, dout * (out + slope))
    elif activation == "sigmoid":
        dx = dout * (one - out) * out
    elif activation == "tanh":
        dx = dout * (one - out * out)
    else:
        raise ValueError(f"activation: {activation!r} is unknown; use 'none' or one of {ACTIVATIONS}")
    return keep_order(dx, out)


def maxout_forward(x: np.ndarray, pieces: int) -> tuple[np.ndarray, np.ndarray]:
    """Take the maximum of each `pieces` neighbouring channels: out[:, c] = max_j x[:, c * pieces + j].

    Args:
        x: (N, C * pieces, ...).
        pieces: 1 to 256.

    Returns:
        Array (N, C, ...) and uint8 (N, C, ...): which piece won, the first of equals; NaN wins.
    """
    n, channels = x.shape[:2]
    split = x.reshape(n, channels // pieces, pieces, *x.shape[2:])
    winner = split.argmax(axis=2)
    out = np.take_along_axis(split, winner[:, :, None], axis=2)[:, :, 0]
    indices = winner.astype(np.uint8)
    return (to_nhwc(out), to_nhwc(indices)) if x.ndim == 4 else (out, indices)


def maxout_backward(dout: np.ndarray, indices: np.ndarray, pieces: int) -> np.ndarray:
    """Return dx (N, C * pieces, ...) of dout (N, C, ...): each gradient goes to the piece that won."""
    n, channels, *rest = dout.shape
    split = np.zeros((n, channels, pieces, *rest), dout.dtype)
    np.put_along_axis(split, indices[:, :, None].astype(np.intp), dout[:, :, None], axis=2)
    dx = split.reshape(n, channels * pieces, *rest)
    return to_nhwc(dx) if dx.ndim == 4 else dx
