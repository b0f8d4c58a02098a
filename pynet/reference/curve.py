"""Activations whose gradient follows from their input; any shape.

    gelu         x Phi(x), Phi the normal distribution     softsign     x / (1 + |x|)
    gelu_tanh    x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2
    silu         x sigmoid(x)
    selu         scale * elu(x, alpha), fixed scale and alpha
    mish         x tanh(log(1 + e^x))
    celu         x > 0 ? x : alpha (e^(x / alpha) - 1)
    softplus     log(1 + e^(alpha x)) / alpha, x itself where alpha x > beta
    hardtanh     x within [alpha, beta]                    hardsigmoid  (x + 3) / 6 within [0, 1]
    hardswish    x hardsigmoid(x)                          log_sigmoid  log(sigmoid(x))
    tanhshrink   x - tanh(x)                               hardshrink   |x| <= alpha ? 0 : x
    softshrink   x moved towards 0 by alpha, not beyond    threshold    x <= alpha ? beta : x

At corners the slope is PyTorch's: 0 at both ends of hardtanh and hardsigmoid.
"""

from __future__ import annotations

import math

import numpy as np

SELU_SCALE, SELU_ALPHA = 1.0507009873554804934193349852946, 1.6732632423543772848170429916717
_erf = np.vectorize(math.erf, otypes=[np.float64])


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def _cdf(x: np.ndarray) -> np.ndarray:
    return (0.5 * (1 + _erf(x / math.sqrt(2)))).astype(x.dtype) if x.size else x


def _softplus(x: np.ndarray) -> np.ndarray:
    return np.logaddexp(x, x.dtype.type(0))


def _inner(x: np.ndarray) -> np.ndarray:
    return math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)


def _gelu_tanh_slope(x: np.ndarray, a: float, b: float) -> np.ndarray:
    t = np.tanh(_inner(x))
    return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * math.sqrt(2 / math.pi) * (1 + 3 * 0.044715 * x * x)


def _silu_slope(x: np.ndarray, a: float, b: float) -> np.ndarray:
    s = _sigmoid(x)
    return s * (1 + x * (1 - s))


def _mish_slope(x: np.ndarray, a: float, b: float) -> np.ndarray:
    t = np.tanh(_softplus(x))
    return t + x * _sigmoid(x) * (1 - t * t)


def _hardsigmoid(x: np.ndarray) -> np.ndarray:
    return np.clip(x + 3, 0, 6) / 6


# name: (value, slope) of (x, alpha, beta)
_CURVES = {
    "gelu": (
        lambda x, a, b: x * _cdf(x),
        lambda x, a, b: _cdf(x) + x * np.exp(-0.5 * x * x) / math.sqrt(2 * math.pi),
    ),
    "gelu_tanh": (lambda x, a, b: 0.5 * x * (1 + np.tanh(_inner(x))), _gelu_tanh_slope),
    "silu": (lambda x, a, b: x * _sigmoid(x), _silu_slope),
    "mish": (lambda x, a, b: x * np.tanh(_softplus(x)), _mish_slope),
    "softplus": (
        lambda x, a, b: np.where(x * a > b, x, _softplus(x * a) / a),
        lambda x, a, b: np.where(x * a > b, 1, _sigmoid(x * a)),
    ),
    "softsign": (lambda x, a, b: x / (1 + np.abs(x)), lambda x, a, b: 1 / (1 + np.abs(x)) ** 2),
    "selu": (
        lambda x, a, b: SELU_SCALE * np.where(x > 0, x, SELU_ALPHA * np.expm1(np.minimum(x, 0))),
        lambda x, a, b: SELU_SCALE * np.where(x > 0, 1, SELU_ALPHA * np.exp(np.minimum(x, 0))),
    ),
    "celu": (
        lambda x, a, b: np.where(x > 0, x, a * np.expm1(np.minimum(x, 0) / a)),
        lambda x, a, b: np.where(x > 0, 1, np.exp(np.minimum(x, 0) / a)),
    ),
    "hardtanh": (lambda x, a, b: np.clip(x, a, b), lambda x, a, b: (x > a) & (x < b)),
    "hardsigmoid": (lambda x, a, b: _hardsigmoid(x), lambda x, a, b: ((x > -3) & (x < 3)) / 6),
    "hardswish": (
        lambda x, a, b: x * _hardsigmoid(x),
        lambda x, a, b: np.where(x <= -3, 0, np.where(x < 3, x / 3 + 0.5, 1)),
    ),
    "log_sigmoid": (lambda x, a, b: -_softplus(-x), lambda x, a, b: _sigmoid(-x)),
    "tanhshrink": (lambda x, a, b: x - np.tanh(x), lambda x, a, b: np.tanh(x) ** 2),
    "hardshrink": (lambda x, a, b: np.where(np.abs(x) <= a, 0, x), lambda x, a, b: ~(np.abs(x) <= a)),
    "softshrink": (lambda x, a, b: x - np.clip(x, -a, a), lambda x, a, b: ~(np.abs(x) <= a)),
    "threshold": (lambda x, a, b: np.where(x <= a, b, x), lambda x, a, b: ~(x <= a)),
}


@np.errstate(all="ignore")
def curve_forward(x: np.ndarray, curve: str, alpha: float, beta: float) -> np.ndarray:
    """Return the curve's values, of x's shape and dtype."""
    return np.asarray(_CURVES[curve][0](x, alpha, beta), x.dtype)


@np.errstate(all="ignore")
def curve_backward(dout: np.ndarray, x: np.ndarray, curve: str, alpha: float, beta: float) -> np.ndarray:
    """Return dx = dout * slope(x), of x's shape and dtype."""
    return np.asarray(dout * _CURVES[curve][1](x, alpha, beta), x.dtype)
