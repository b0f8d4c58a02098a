"""Activation layers whose gradient needs their input; those that learn or draw their slope."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..autograd import Tensor
from . import functional as F
from . import init
from .activation import _InPlace
from .arguments import integer, non_negative, on_cpu
from .module import Module
from .parameter import Parameter, as_float_dtype


class ReLU6(_InPlace):
    """``min(max(x, 0), 6)``, any shape.

    Args:
        inplace: accepted, default False; the result is a new Tensor in any case.
    """

    def forward(self, input: Tensor) -> Tensor:
        """The input within [0, 6]."""
        return F.relu6(input)


class SELU(_InPlace):
    """ELU with the fixed scale and alpha of self-normalising nets, any shape.

    Args:
        inplace: accepted, default False; the result is a new Tensor in any case.

    Source:
        Klambauer, Unterthiner, Mayr and Hochreiter 2017.
    """

    def forward(self, input: Tensor) -> Tensor:
        """The activation of the input."""
        return F.selu(input)


class SiLU(_InPlace):
    """``x * sigmoid(x)``, any shape.

    Args:
        inplace: accepted, default False; the result is a new Tensor in any case.

    Source:
        Elfwing, Uchibe and Doya 2018.
    """

    def forward(self, input: Tensor) -> Tensor:
        """The activation of the input."""
        return F.silu(input)


class Mish(_InPlace):
    """``x * tanh(log(1 + e^x))``, any shape.

    Args:
        inplace: accepted, default False; the result is a new Tensor in any case.

    Source:
        Misra 2020.
    """

    def forward(self, input: Tensor) -> Tensor:
        """The activation of the input."""
        return F.mish(input)


class Hardsigmoid(_InPlace):
    """``(x + 3) / 6`` within [0, 1], any shape.

    Args:
        inplace: accepted, default False; the result is a new Tensor in any case.
    """

    def forward(self, input: Tensor) -> Tensor:
        """The activation of the input."""
        return F.hardsigmoid(input)


class Hardswish(_InPlace):
    """``x * hardsigmoid(x)``, any shape.

    Args:
        inplace: accepted, default False; the result is a new Tensor in any case.

    Source:
        Howard et al. 2019, "Searching for MobileNetV3".
    """

    def forward(self, input: Tensor) -> Tensor:
        """The activation of the input."""
        return F.hardswish(input)


class Softsign(Module):
    """``x / (1 + |x|)``, any shape."""

    def forward(self, input: Tensor) -> Tensor:
        """The activation of the input."""
        return F.softsign(input)


class GELU(Module):
    """``x * Phi(x)``, Phi the standard normal distribution, any shape.

    Args:
        approximate: "none" (default) or "tanh".

    Raises:
        ValueError: another approximation.

    Source:
        Hendrycks and Gimpel 2016.
    """

    def __init__(self, approximate: str = "none") -> None:
        super().__init__()
        if approximate not in ("none", "tanh"):
            raise ValueError(f"GELU: approximate must be 'none' or 'tanh', got {approximate!r}")
        self.approximate = approximate

    def forward(self, input: Tensor) -> Tensor:
        """The activation of the input."""
        return F.gelu(input, self.approximate)

    def extra_repr(self) -> str:
        """The approximation."""
        return f"approximate={self.approximate!r}"


class CELU(_InPlace):
    """``x`` where positive, else ``alpha * (exp(x / alpha) - 1)``, any shape.

    Args:
        alpha: above 0, default 1.
        inplace: accepted, default False; the result is a new Tensor in any case.

    Raises:
        ValueError: alpha is not above 0.

    Source:
        Barron 2017.
    """

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        super().__init__(inplace)
        if not alpha > 0:
            raise ValueError(f"CELU: alpha must be above 0, got {alpha}")
        self.alpha = alpha

    def forward(self, input: Tensor) -> Tensor:
        """The activation of the input."""
        return F.celu(input, self.alpha)

    def extra_repr(self) -> str:
        """Alpha, and `inplace`."""
        return f"alpha={self.alpha}" + (", inplace=True" if self.inplace else "")


class Softplus(Module):
    """``log(1 + e^(beta x)) / beta``, any shape.

    Args:
        beta: sharpness, default 1.
        threshold: the result is x itself where beta * x is larger; default 20.

    Raises:
        ValueError: beta is 0.
    """

    def __init__(self, beta: float = 1.0, threshold: float = 20.0) -> None:
        super().__init__()
        if not beta:
            raise ValueError("Softplus: beta must not be 0")
        self.beta, self.threshold = beta, threshold

    def forward(self, input: Tensor) -> Tensor:
        """The activation of the input."""
        return F.softplus(input, self.beta, self.threshold)

    def extra_repr(self) -> str:
        """Both arguments."""
        return f"beta={self.beta}, threshold={self.threshold}"


class Hardtanh(_InPlace):
    """``x`` within [min_val, max_val], any shape.

    Args:
        min_val: default -1.
        max_val: default 1.
        inplace: accepted, default False; the result is a new Tensor in any case.

    Raises:
        ValueError: min_val is not below max_val.
    """

    def __init__(self, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> None:
        super().__init__(inplace)
        if not min_val < max_val:
            raise ValueError(f"Hardtanh: min_val {min_val} must be below max_val {max_val}")
        self.min_val, self.max_val = min_val, max_val

    def forward(self, input: Tensor) -> Tensor:
        """The input within the ends."""
        return F.hardtanh(input, self.min_val, self.max_val)

    def extra_repr(self) -> str:
        """The ends, and `inplace`."""
        text = f"min_val={self.min_val}, max_val={self.max_val}"
        return text + (", inplace=True" if self.inplace else "")


class PReLU(Module):
    """``x`` where positive, else ``weight * x`` with a learned weight, one or one a channel.

    Args:
        num_parameters: 1 (default) or the number of channels.
        init: first value, default 0.25.
        device: None or "cpu".
        dtype: float32 (default) or float64.

    Shape:
        (N, C, ...), or any with one parameter.

    Source:
        He, Zhang, Ren and Sun 2015, "Delving Deep into Rectifiers".
    """

    def __init__(
        self, num_parameters: int = 1, init: float = 0.25, device: Any = None, dtype: Any = None
    ) -> None:
        super().__init__()
        on_cpu("PReLU", device)
        self.num_parameters = integer("PReLU", "num_parameters", num_parameters)
        self.init = init
        dtype = as_float_dtype(dtype or "float32", "PReLU")
        self.weight = Parameter(np.full(self.num_parameters, init, dtype))

    def reset_parameters(self) -> None:
        """The weight as it was at first."""
        init.constant_(self.weight, self.init)

    def forward(self, input: Tensor) -> Tensor:
        """The activation of the input."""
        return F.prelu(input, self.weight)

    def extra_repr(self) -> str:
        """The number of parameters."""
        return f"num_parameters={self.num_parameters}"


class RReLU(_InPlace):
    """``x`` where not negative, else x times a slope: drawn for each element in training, else the mean one.

    Args:
        lower: least slope, default 1/8.
        upper: largest slope, default 1/3.
        inplace: accepted, default False; the result is a new Tensor in any case.

    Raises:
        ValueError: lower is above upper.

    Source:
        Xu, Wang, Chen and Li 2015.
    """

    def __init__(self, lower: float = 1.0 / 8, upper: float = 1.0 / 3, inplace: bool = False) -> None:
        super().__init__(inplace)
        if lower > upper:
            raise ValueError(f"RReLU: lower {lower} must not be above upper {upper}")
        self.lower, self.upper = lower, upper

    def forward(self, input: Tensor) -> Tensor:
        """The activation of the input."""
        return F.rrelu(input, self.lower, self.upper, self.training)

    def extra_repr(self) -> str:
        """The ends, and `inplace`."""
        return f"lower={self.lower}, upper={self.upper}" + (", inplace=True" if self.inplace else "")


class LogSigmoid(Module):
    """``log(sigmoid(x))``, any shape."""

    def forward(self, input: Tensor) -> Tensor:
        """The logarithm of the sigmoid of the input."""
        return F.logsigmoid(input)


class Tanhshrink(Module):
    """``x - tanh(x)``, any shape."""

    def forward(self, input: Tensor) -> Tensor:
        """The activation of the input."""
        return F.tanhshrink(input)


class Hardshrink(Module):
    """``x``, but 0 from -lambd to lambd, any shape.

    Args:
        lambd: half the gap, default 0.5.
    """

    def __init__(self, lambd: float = 0.5) -> None:
        super().__init__()
        self.lambd = lambd

    def forward(self, input: Tensor) -> Tensor:
        """The activation of the input."""
        return F.hardshrink(input, self.lambd)

    def extra_repr(self) -> str:
        """Half the gap."""
        return f"{self.lambd}"


class Softshrink(Module):
    """``x`` moved towards 0 by lambd, but not beyond, any shape.

    Args:
        lambd: not negative, default 0.5.

    Raises:
        ValueError: a negative lambd.
    """

    def __init__(self, lambd: float = 0.5) -> None:
        super().__init__()
        self.lambd = non_negative("Softshrink", "lambd", lambd)

    def forward(self, input: Tensor) -> Tensor:
        """The activation of the input."""
        return F.softshrink(input, self.lambd)

    def extra_repr(self) -> str:
        """How far."""
        return f"{self.lambd}"


class Threshold(_InPlace):
    """``x`` where it exceeds the threshold, else a value, any shape.

    Args:
        threshold, value: numbers.
        inplace: accepted, default False; the result is a new Tensor in any case.
    """

    def __init__(self, threshold: float, value: float, inplace: bool = False) -> None:
        super().__init__(inplace)
        self.threshold = threshold
        self.value = value

    def forward(self, input: Tensor) -> Tensor:
        """The activation of the input."""
        return F.threshold(input, self.threshold, self.value)

    def extra_repr(self) -> str:
        """Both numbers, and `inplace`."""
        return f"threshold={self.threshold}, value={self.value}" + (", inplace=True" if self.inplace else "")


class GLU(Module):
    """The first half of an axis times the sigmoid of the second half.

    Args:
        dim: the axis, of even size; default -1.

    Source:
        Dauphin, Fan, Auli and Grangier 2017, "Language Modeling with Gated Convolutional Networks".
    """

    def __init__(self, dim: int = -1) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, input: Tensor) -> Tensor:
        """(..., 2 * K, ...) -> (..., K, ...)."""
        return F.glu(input, self.dim)

    def extra_repr(self) -> str:
        """The axis."""
        return f"dim={self.dim}"
