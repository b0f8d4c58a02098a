"""Matrix products: `matmul` for any stack of matrices, `linear_*` for a fully connected layer.

A linear layer computes y = x W^T + b for each row x. Its gradients follow from dL = sum(dy * (dx W^T)):
dx = dy W, dW = dy^T x, db = the sum of the rows of dy.
"""

from __future__ import annotations

import numpy as np

from .activation import activation_forward
from .layout import to_io


def matmul(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Multiply stacks of matrices: (..., M, K) @ (..., K, N) -> (..., M, N), batch axes broadcast."""
    return np.matmul(a, b)


def linear_forward(
    x: np.ndarray, weight: np.ndarray, bias: np.ndarray | None, activation: str, alpha: float
) -> np.ndarray:
    """Compute activation(x @ weight.T + bias).

    Args:
        x: (M, in).
        weight: (out, in).
        bias: (out,) or None.
        activation: "none" or one of `activation.ACTIVATIONS`.
        alpha: its parameter.

    Returns:
        Array (M, out).
    """
    out = x @ weight.T
    if bias is not None:
        out += bias
    return activation_forward(out, activation, alpha)


def linear_backward_data(dout: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Return dx (M, in) of dout (M, out), the gradient before the activation, and weight (out, in)."""
    return dout @ weight


def linear_backward_weight(
    dout: np.ndarray, x: np.ndarray, needs_bias: bool
) -> tuple[np.ndarray, np.ndarray | None]:
    """Return dweight (out, in), (in, out)-dense, and dbias (out,), or None unless it is needed."""
    return to_io(dout.T @ x), dout.sum(axis=0) if needs_bias else None
