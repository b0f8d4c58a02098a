"""Activation functions. Their gradients are computed from the output, so that the input need not be kept.

A pending convolution, linear layer or batch norm takes the activation into its own pass: see
`pynet.autograd.Pending`.
"""

from __future__ import annotations

import math
from typing import Any

from pynet.autograd import Operation, Pending, Tensor, record
from pynet.ops._backend import Array, backend, integer, require_floats

NAMES = ("none", "relu", "leaky_relu", "elu", "sigmoid", "tanh")
_DEFAULT_ALPHA = {"leaky_relu": 0.01, "elu": 1.0}


def activation_of(name: str, activation: str | None, alpha: float | None) -> tuple[str, float]:
    """The kernels' name and parameter for what an operation was asked to fuse.

    Raises:
        ValueError: an unknown activation, or a negative alpha.
    """
    if activation is None:
        return "none", 0.0
    if activation not in NAMES:
        raise ValueError(f"{name}: unknown activation {activation!r}; choose one of {', '.join(NAMES)}")
    default = _DEFAULT_ALPHA.get(activation, 0.0)
    if alpha is None:
        return activation, default
    # The gradients are computed from the output, which tells the branch only while the slope is not negative.
    if not (isinstance(alpha, (int, float)) and 0 <= alpha < math.inf):
        raise ValueError(f"{name}: alpha must be a number >= 0, got {alpha!r}")
    return activation, float(alpha) if activation in _DEFAULT_ALPHA else 0.0


def _forward(x: Array, activation: str, alpha: float) -> tuple[Array, tuple]:
    out = backend(x).activation_forward(x, activation, alpha)
    return out, (out,)


def _backward(dout: Array, saved: tuple, needs: tuple, activation: str, alpha: float) -> tuple:
    out = saved[0]
    return (backend(dout).activation_backward(dout, out, activation, alpha),)


def absorb_activation(waiting: Pending, name: str, others: tuple, attributes: dict[str, Any]) -> tuple | None:
    """`Operation.absorb` of an operation with an activation of its own."""
    if name in NAMES and waiting.attributes["activation"] == "none":
        return waiting.operation, waiting.inputs, {**waiting.attributes, **attributes}, waiting.shape
    return None


_OPERATIONS = {name: Operation(name, _forward, _backward) for name in NAMES}


def _activate(x: Tensor, activation: str, alpha: float) -> Tensor:
    if type(x) is not Tensor or x.dtype.kind != "f":
        require_floats(activation, x=x)
    return record(_OPERATIONS[activation], (x,), activation=activation, alpha=alpha)


def relu(x: Tensor, inplace: bool = False) -> Tensor:
    """max(x, 0); NaN stays NaN, the slope at 0 is 0.

    Args:
        x: float, any shape.
        inplace: accepted for PyTorch's sake; the result is a new Tensor all the same.
    """
    return _activate(x, "relu", 0.0)


def leaky_relu(x: Tensor, negative_slope: float = 0.01, inplace: bool = False) -> Tensor:
    """x where x > 0, else negative_slope * x.

    Args:
        x: float, any shape.
        negative_slope: at least 0.
        inplace: as for `relu`.
    Source:
        Maas, Hannun & Ng 2013.
    """
    return _activate(x, *activation_of("leaky_relu", "leaky_relu", negative_slope))


def elu(x: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """x where x > 0, else alpha * (exp(x) - 1).

    Args:
        x: float, any shape.
        alpha: at least 0.
        inplace: as for `relu`.
    Source:
        Clevert, Unterthiner & Hochreiter 2016.
    """
    return _activate(x, *activation_of("elu", "elu", alpha))


def sigmoid(x: Tensor) -> Tensor:
    """1 / (1 + exp(-x)), without overflow."""
    return _activate(x, "sigmoid", 0.0)


def tanh(x: Tensor) -> Tensor:
    """The hyperbolic tangent."""
    return _activate(x, "tanh", 0.0)


def _maxout_forward(x: Array, pieces: int) -> tuple[Array, tuple]:
    out, indices = backend(x).maxout_forward(x, pieces)
    return out, (indices,)


def _maxout_backward(dout: Array, saved: tuple, needs: tuple, pieces: int) -> tuple:
    return (backend(dout).maxout_backward(dout, saved[0], pieces),)


MAXOUT = Operation("maxout", _maxout_forward, _maxout_backward)


def maxout(x: Tensor, pieces: int) -> Tensor:
    """The largest of every `pieces` neighbouring channels: out[:, c] = max over j of x[:, c * pieces + j].

    Args:
        x: float (N, C * pieces, ...).
        pieces: how many channels compete, 1 to 255.
    Returns:
        Tensor (N, C, ...).
    Raises:
        ValueError: the channels are no multiple of `pieces`.
    Source:
        Goodfellow et al. 2013.
    """
    require_floats("maxout", x=x)
    pieces = integer("maxout", "pieces", pieces)
    if not 1 <= pieces <= 255:
        raise ValueError(f"maxout: pieces must be from 1 to 255, got {pieces}")
    if x.ndim < 2 or x.shape[1] % pieces:
        raise ValueError(
            f"maxout: x of shape {x.shape} has no channels (axis 1) in a multiple of pieces={pieces}"
        )
    return record(MAXOUT, (x,), pieces=pieces)


def activate(x: Tensor, activation: str, alpha: float) -> Tensor:
    """The activation of that name: for operations that were asked to fuse one while fusion is off."""
    return x if activation == "none" else _activate(x, activation, alpha)
