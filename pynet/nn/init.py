"""Initial values of parameters, written in place: torch.nn.init's names and formulas, pynet's random numbers.

The fans of a weight (F, C, KH, KW) are fan_in = KH * KW * C and fan_out = KH * KW * F, and of (out, in) just
these.
Numbers are drawn in the order of the public shape: the same seed gives a tensor the same values in every
memory order.
"""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import Any

import numpy as np

from .. import random
from ..autograd import Tensor
from ..ops._backend import backend
from .parameter import write


def uniform_(tensor: Tensor, a: float = 0.0, b: float = 1.0, generator: Any = None) -> Tensor:
    """Uniform numbers in [a, b).

    Args:
        tensor: filled and returned.
        a: lower bound, default 0.
        b: upper bound, default 1.
        generator: a `pynet.random.Generator`, default the one that `pynet.manual_seed` sets.

    Raises:
        ValueError: a > b.
    """
    if not a <= b:
        raise ValueError(f"uniform_: a must not exceed b, got a = {a} and b = {b}")
    return _fill(tensor, _uniform(tensor, a, b, generator))


def normal_(tensor: Tensor, mean: float = 0.0, std: float = 1.0, generator: Any = None) -> Tensor:
    """Normal numbers.

    Args:
        tensor: filled and returned.
        mean: default 0.
        std: standard deviation, default 1.
        generator: a `pynet.random.Generator`, default the one that `pynet.manual_seed` sets.

    Raises:
        ValueError: std is negative.
    """
    if not std >= 0:
        raise ValueError(f"normal_: std must not be negative, got {std}")
    return _fill(tensor, _normal(tensor, mean, std, generator))


def trunc_normal_(
    tensor: Tensor,
    mean: float = 0.0,
    std: float = 1.0,
    a: float = -2.0,
    b: float = 2.0,
    generator: Any = None,
) -> Tensor:
    """Normal numbers within [a, b], by the inverse of the cumulative distribution.

    Args:
        tensor: filled and returned.
        mean: of the normal distribution that is cut, default 0.
        std: of it, default 1.
        a: lower bound, an absolute value and no multiple of std; default -2.
        b: upper bound, default 2.
        generator: a `pynet.random.Generator`, default the one that `pynet.manual_seed` sets.

    Raises:
        ValueError: std is not positive, or a > b.
    """
    if not std > 0:
        raise ValueError(f"trunc_normal_: std must be positive, got {std}")
    if not a <= b:
        raise ValueError(f"trunc_normal_: a must not exceed b, got a = {a} and b = {b}")
    normal = NormalDist(mean, std)
    low, high = normal.cdf(a), normal.cdf(b)
    levels = low + (high - low) * _uniform(tensor, 0.0, 1.0, generator).astype(np.float64)
    levels = np.clip(
        levels, np.finfo(np.float64).tiny, 1 - np.finfo(np.float64).epsneg
    )  # the open interval (0, 1)
    values = np.fromiter(map(normal.inv_cdf, levels.ravel().tolist()), np.float64, levels.size)
    return _fill(tensor, np.clip(values, a, b).reshape(levels.shape))


def constant_(tensor: Tensor, val: float) -> Tensor:
    """The value `val` everywhere."""
    if not isinstance(val, (int, float, np.number)):
        raise TypeError(f"constant_: val must be a number, got {val!r}")
    return _fill(tensor, val)


def ones_(tensor: Tensor) -> Tensor:
    """Ones."""
    return _fill(tensor, 1)


def zeros_(tensor: Tensor) -> Tensor:
    """Zeros."""
    return _fill(tensor, 0)


def xavier_uniform_(tensor: Tensor, gain: float = 1.0, generator: Any = None) -> Tensor:
    """Uniform numbers within ``gain * sqrt(6 / (fan_in + fan_out))`` of zero.

    Source:
        Glorot and Bengio 2010, "Understanding the difficulty of training deep feedforward neural networks",
        equation 16.
    """
    fan_in, fan_out = _fans("xavier_uniform_", tensor)
    bound = gain * math.sqrt(6 / (fan_in + fan_out))
    return _fill(tensor, _uniform(tensor, -bound, bound, generator))


def xavier_normal_(tensor: Tensor, gain: float = 1.0, generator: Any = None) -> Tensor:
    """Normal numbers with ``std = gain * sqrt(2 / (fan_in + fan_out))``.

    Source:
        Glorot and Bengio 2010, equation 12, for a normal distribution.
    """
    fan_in, fan_out = _fans("xavier_normal_", tensor)
    return _fill(tensor, _normal(tensor, 0.0, gain * math.sqrt(2 / (fan_in + fan_out)), generator))


def kaiming_uniform_(
    tensor: Tensor,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Any = None,
) -> Tensor:
    """Uniform numbers within ``gain * sqrt(3 / fan)`` of zero.

    Args:
        tensor: of at least two dimensions, filled and returned.
        a: negative slope of the leaky ReLU that follows, default 0.
        mode: "fan_in" keeps the variance of activations, "fan_out" that of gradients; default "fan_in".
        nonlinearity: what follows, a name that ``calculate_gain`` knows; default "leaky_relu".
        generator: a `pynet.random.Generator`, default the one that `pynet.manual_seed` sets.

    Raises:
        ValueError: fewer than two dimensions, or an unknown mode or nonlinearity.

    Source:
        He, Zhang, Ren and Sun 2015, "Delving Deep into Rectifiers", equations 10 and 14.
    """
    bound = math.sqrt(3) * _kaiming_std("kaiming_uniform_", tensor, a, mode, nonlinearity)
    return _fill(tensor, _uniform(tensor, -bound, bound, generator))


def kaiming_normal_(
    tensor: Tensor,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Any = None,
) -> Tensor:
    """Normal numbers with ``std = gain / sqrt(fan)``; the rest as for ``kaiming_uniform_``."""
    return _fill(
        tensor,
        _normal(tensor, 0.0, _kaiming_std("kaiming_normal_", tensor, a, mode, nonlinearity), generator),
    )


def orthogonal_(tensor: Tensor, gain: float = 1, generator: Any = None) -> Tensor:
    """An orthogonal matrix times `gain`: flattened to (F, rest), the rows or the columns are orthonormal.

    Raises:
        ValueError: fewer than two dimensions.

    Source:
        Saxe, McClelland and Ganguli 2014, "Exact solutions to the nonlinear dynamics of learning in deep
        linear neural networks"; the signs are those that make the distribution uniform (Mezzadri 2007).
    """
    _fans("orthogonal_", tensor)
    rows = tensor.shape[0]
    flat = _normal(tensor, 0.0, 1.0, generator).astype(np.float64).reshape(rows, -1)
    wide = rows < flat.shape[1]
    q, r = np.linalg.qr(flat.T if wide else flat)
    q *= np.where(np.diagonal(r) < 0, -1.0, 1.0)
    return _fill(tensor, gain * (q.T if wide else q).reshape(tensor.shape))


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """By which factor weights must be larger so that `nonlinearity` keeps the variance.

    Args:
        nonlinearity: "linear", "conv2d" and its relatives, "sigmoid", "tanh", "relu", "leaky_relu" or "selu".
        param: negative slope of "leaky_relu", default 0.01.

    Raises:
        ValueError: an unknown name, or a slope that is no number.
    """
    if nonlinearity == "leaky_relu":
        slope = 0.01 if param is None else param
        if isinstance(slope, bool) or not isinstance(slope, (int, float)):
            raise ValueError(
                f"calculate_gain: the negative slope of leaky_relu must be a number, got {param!r}"
            )
        return math.sqrt(2 / (1 + slope * slope))
    if nonlinearity not in _GAINS:
        raise ValueError(
            f"calculate_gain: unknown nonlinearity {nonlinearity!r}, expected one of "
            f"{sorted([*_GAINS, 'leaky_relu'])}"
        )
    return _GAINS[nonlinearity]


_GAINS = {
    "linear": 1.0,
    "conv1d": 1.0,
    "conv2d": 1.0,
    "conv3d": 1.0,
    "conv_transpose1d": 1.0,
    "conv_transpose2d": 1.0,
    "conv_transpose3d": 1.0,
    "sigmoid": 1.0,
    "tanh": 5 / 3,
    "relu": math.sqrt(2),
    "selu": 3 / 4,
}


def _fans(owner: str, tensor: Tensor) -> tuple[int, int]:
    if tensor.ndim < 2:
        raise ValueError(f"{owner}: fan_in and fan_out need at least 2 dimensions, got shape {tensor.shape}")
    field = math.prod(tensor.shape[2:])
    return tensor.shape[1] * field, tensor.shape[0] * field


def _kaiming_std(owner: str, tensor: Tensor, a: float, mode: str, nonlinearity: str) -> float:
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(f"{owner}: mode must be 'fan_in' or 'fan_out', got {mode!r}")
    fan = _fans(owner, tensor)[mode == "fan_out"]
    return calculate_gain(nonlinearity, a) / math.sqrt(fan) if fan else 0.0


def _fill(tensor: Tensor, values: Any) -> Tensor:
    write(tensor, values)
    return tensor


def _uniform(tensor: Tensor, low: float, high: float, generator: Any) -> np.ndarray:
    return _draw("random_uniform", tensor, low, high, generator)


def _normal(tensor: Tensor, mean: float, std: float, generator: Any) -> np.ndarray:
    return _draw("random_normal", tensor, mean, std, generator)


def _draw(name: str, tensor: Tensor, first: float, second: float, generator: Any) -> np.ndarray:
    """One draw for every element, numbered in the order of the public shape."""
    source = random.default_generator if generator is None else generator
    if not isinstance(source, random.Generator):
        raise TypeError(
            f"init: generator must be a pynet.random.Generator or None, got {type(generator).__name__}"
        )
    array = tensor.array
    draw = getattr(backend(array), name)
    return draw((array.size,), float(first), float(second), source.seed, source.next_offset()).reshape(
        array.shape
    )
