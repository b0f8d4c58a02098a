"""Activations whose gradient follows from their input, so that the input is kept; PReLU and RReLU."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from pynet.autograd import Operation, Tensor, record, wrap
from pynet.ops._backend import Array, axis, backend, require_floats
from pynet.ops.activation import leaky_relu, sigmoid
from pynet.ops.arithmetic import multiply, where
from pynet.ops.shape import reshape, split
from pynet.random import default_generator


def _forward(x: Array, curve: str, alpha: float, beta: float) -> tuple[Array, tuple]:
    return backend(x).curve_forward(x, curve, alpha, beta), (x,)


def _backward(dout: Array, saved: tuple, needs: tuple, curve: str, alpha: float, beta: float) -> tuple:
    return (backend(dout).curve_backward(dout, saved[0], curve, alpha, beta),)


def _apply(name: str, x: Tensor, alpha: float = 0.0, beta: float = 0.0) -> Tensor:
    require_floats(name, input=x)
    return record(_OPERATIONS[name], (x,), curve=name, alpha=float(alpha), beta=float(beta))


CURVES = (
    *("gelu", "gelu_tanh", "silu", "mish", "softplus", "softsign", "selu", "celu"),
    *("hardtanh", "hardsigmoid", "hardswish"),
    *("log_sigmoid", "tanhshrink", "hardshrink", "softshrink", "threshold"),
)
_OPERATIONS = {name: Operation(name, _forward, _backward) for name in CURVES}


def _plain(name: str, text: str) -> Callable[..., Tensor]:
    def function(input: Tensor, inplace: bool = False) -> Tensor:
        return _apply(name, input)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"""{text}

    Args:
        input: float, any shape.
        inplace: accepted; the result is a new Tensor in any case.
    """
    return function


silu = _plain("silu", "x * sigmoid(x) (Elfwing, Uchibe & Doya 2018; Swish).")
mish = _plain("mish", "x * tanh(log(1 + e^x)) (Misra 2020).")
selu = _plain("selu", "ELU with the fixed scale and alpha of self-normalising nets (Klambauer et al. 2017).")
hardsigmoid = _plain("hardsigmoid", "(x + 3) / 6 within [0, 1] (Howard et al. 2019).")
hardswish = _plain("hardswish", "x * hardsigmoid(x) (Howard et al. 2019).")


def gelu(input: Tensor, approximate: str = "none") -> Tensor:
    """x * Phi(x), Phi the standard normal distribution.

    Args:
        input: float, any shape.
        approximate: "none" (default), or "tanh" for x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2.
    Raises:
        ValueError: another approximation.
    Source:
        Hendrycks & Gimpel 2016.
    """
    if approximate not in ("none", "tanh"):
        raise ValueError(f"gelu: approximate must be 'none' or 'tanh', got {approximate!r}")
    return _apply("gelu" if approximate == "none" else "gelu_tanh", input)


def softsign(input: Tensor) -> Tensor:
    """x / (1 + |x|), any shape."""
    return _apply("softsign", input)


def softplus(input: Tensor, beta: float = 1.0, threshold: float = 20.0) -> Tensor:
    """log(1 + e^(beta x)) / beta, x itself where beta x exceeds the threshold.

    Args:
        input: float, any shape.
        beta: sharpness, not 0.
        threshold: where the line begins.
    Raises:
        ValueError: beta is 0.
    """
    if not beta:
        raise ValueError("softplus: beta must not be 0")
    return _apply("softplus", input, beta, threshold)


def celu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """x where positive, else alpha * (e^(x / alpha) - 1), smooth at 0 for every alpha.

    Args:
        input: float, any shape.
        alpha: above 0.
        inplace: accepted; the result is a new Tensor in any case.
    Raises:
        ValueError: alpha is not above 0.
    Source:
        Barron 2017.
    """
    if not alpha > 0:
        raise ValueError(f"celu: alpha must be above 0, got {alpha}")
    return _apply("celu", input, alpha)


def hardtanh(input: Tensor, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> Tensor:
    """x within [min_val, max_val]; the slope is 0 at both ends.

    Args:
        input: float, any shape.
        min_val, max_val: the ends.
        inplace: accepted; the result is a new Tensor in any case.
    Raises:
        ValueError: min_val is above max_val.
    """
    if min_val > max_val:
        raise ValueError(f"hardtanh: min_val {min_val} must not be above max_val {max_val}")
    return _apply("hardtanh", input, min_val, max_val)


def relu6(input: Tensor, inplace: bool = False) -> Tensor:
    """min(max(x, 0), 6), any shape."""
    return _apply("hardtanh", input, 0.0, 6.0)


def logsigmoid(input: Tensor) -> Tensor:
    """log(sigmoid(x)) = -log(1 + e^-x), without overflow, any shape."""
    return _apply("log_sigmoid", input)


def tanhshrink(input: Tensor) -> Tensor:
    """x - tanh(x), any shape."""
    return _apply("tanhshrink", input)


def hardshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """x, but 0 from -lambd to lambd.

    Args:
        input: float, any shape.
        lambd: half the gap; a negative one leaves x as it is.
    """
    return _apply("hardshrink", input, lambd)


def softshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """x moved towards 0 by lambd, and 0 where it is no farther away than that.

    Args:
        input: float, any shape.
        lambd: not negative.
    Raises:
        ValueError: lambd is negative.
    """
    if not lambd >= 0:
        raise ValueError(f"softshrink: lambd must not be negative, got {lambd}")
    return _apply("softshrink", input, lambd)


def threshold(input: Tensor, threshold: float, value: float, inplace: bool = False) -> Tensor:
    """x where it exceeds the threshold, else a value.

    Args:
        input: float, any shape.
        threshold, value: numbers.
        inplace: accepted; the result is a new Tensor in any case.
    """
    return _apply("threshold", input, threshold, value)


def glu(input: Tensor, dim: int = -1) -> Tensor:
    """The first half of an axis times the sigmoid of the second half.

    Args:
        input: float, any shape.
        dim: the axis, of even size; default the last.
    Raises:
        ValueError: an odd size. IndexError: no such axis.
    Source:
        Dauphin et al. 2017.
    """
    require_floats("glu", input=input)
    at = axis("glu", dim, input.ndim)
    if not input.ndim or input.shape[at] % 2:
        raise ValueError(f"glu: axis {dim} of {input.shape} must have an even size to be halved")
    values, gates = split(input, max(1, input.shape[at] // 2), at) if input.shape[at] else (input, input)
    return multiply(values, sigmoid(gates))


def prelu(input: Tensor, weight: Tensor) -> Tensor:
    """x where positive, else weight * x with a learned weight.

    Args:
        input: float (N, C, ...), or any shape where the weight is one number.
        weight: (1,) or (C,).
    Raises:
        ValueError: the weight has neither one value nor one a channel. TypeError: dtypes differ.
    Source:
        He et al. 2015, "Delving Deep into Rectifiers".
    """
    require_floats("prelu", input=input, weight=weight)
    shape, count = input.shape, weight.array.size
    channels = shape[1] if len(shape) > 1 else 1
    if weight.ndim > 1 or count not in (1, channels):
        raise ValueError(f"prelu: weight is {weight.shape}, input {shape} needs (1,) or ({channels},)")
    slopes = reshape(weight, (1, -1, *(1 for _ in shape[2:]))) if count > 1 else reshape(weight, ())
    return where(input.array > 0, input, multiply(input, slopes))


def rrelu(
    input: Tensor,
    lower: float = 1.0 / 8,
    upper: float = 1.0 / 3,
    training: bool = False,
    inplace: bool = False,
) -> Tensor:
    """x where not negative, else x times a slope drawn evenly from [lower, upper]; their mean in evaluation.

    Args:
        input: float, any shape.
        lower, upper: ends of the slopes.
        training: draw; default False.
        inplace: accepted; the result is a new Tensor in any case.
    Raises:
        ValueError: lower is above upper.
    Source:
        Xu et al. 2015, "Empirical Evaluation of Rectified Activations in Convolutional Network".
    """
    require_floats("rrelu", input=input)
    if lower > upper:
        raise ValueError(f"rrelu: lower {lower} must not be above upper {upper}")
    if not training:
        return leaky_relu(input, (lower + upper) / 2)
    seed, offset = default_generator.seed, default_generator.next_offset()
    slopes = backend(input.array).random_uniform(input.shape, lower, upper, seed, offset)
    return where(input.array >= 0, input, multiply(input, wrap(np.asarray(slopes))))
