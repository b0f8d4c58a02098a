"""Fully connected layers, and the layer that does nothing."""

from __future__ import annotations

import math
from typing import Any

from ..autograd import Tensor
from . import functional as F
from . import init
from .arguments import integer, on_cpu
from .module import Module
from .parameter import Parameter, as_float_dtype, new_parameter


class Linear(Module):
    """``y = x W^T + b``.

    Args:
        in_features: size of the input's last axis.
        out_features: size of the output's last axis.
        bias: whether there is a ``b``, default True.
        device: None or "cpu".
        dtype: float32 (default) or float64.

    Shape:
        input (..., in_features), output (..., out_features).

    Attributes:
        weight: (out_features, in_features), in memory (in_features, out_features).
        bias: (out_features,), or None.

    Raises:
        TypeError: a size that is no int, or another dtype.
        ValueError: a size below 1.

    Source:
        Initialised uniformly within 1 / sqrt(in_features), the efficient backprop of LeCun et al. 1998 in
        PyTorch's form.
    """

    def __init__(
        self, in_features: int, out_features: int, bias: bool = True, device: Any = None, dtype: Any = None
    ) -> None:
        super().__init__()
        on_cpu("Linear", device)
        self.in_features = integer("Linear", "in_features", in_features)
        self.out_features = integer("Linear", "out_features", out_features)
        dtype = as_float_dtype(dtype or "float32", "Linear")
        self.weight = new_parameter((self.out_features, self.in_features), dtype)
        self.register_parameter("bias", new_parameter((self.out_features,), dtype) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw weight and bias anew."""
        reset_weight_and_bias(self.weight, self.bias)

    def forward(self, input: Tensor) -> Tensor:
        """(..., in_features) -> (..., out_features)."""
        parameters = self._parameters
        return F.linear(input, parameters["weight"], parameters["bias"])

    def extra_repr(self) -> str:
        """Sizes, and whether there is a bias."""
        return (
            f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}"
        )


class Bilinear(Module):
    """``y_k = x1^T W_k x2 + b_k``.

    Args:
        in1_features, in2_features: sizes of the inputs' last axes.
        out_features: size of the output's last axis.
        bias: whether there is a ``b``, default True.
        device: None or "cpu".
        dtype: float32 (default) or float64.

    Shape:
        inputs (..., in1_features) and (..., in2_features), output (..., out_features).

    Attributes:
        weight: (out_features, in1_features, in2_features).
        bias: (out_features,), or None.

    Raises:
        TypeError: a size that is no int, or another dtype.
        ValueError: a size below 1.

    Source:
        Initialised uniformly within 1 / sqrt(in1_features), as in PyTorch.
    """

    def __init__(
        self,
        in1_features: int,
        in2_features: int,
        out_features: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        on_cpu("Bilinear", device)
        self.in1_features = integer("Bilinear", "in1_features", in1_features)
        self.in2_features = integer("Bilinear", "in2_features", in2_features)
        self.out_features = integer("Bilinear", "out_features", out_features)
        dtype = as_float_dtype(dtype or "float32", "Bilinear")
        self.weight = new_parameter((self.out_features, self.in1_features, self.in2_features), dtype)
        self.register_parameter("bias", new_parameter((self.out_features,), dtype) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw weight and bias anew."""
        bound = 1 / math.sqrt(self.in1_features)
        init.uniform_(self.weight, -bound, bound)
        if self.bias is not None:
            init.uniform_(self.bias, -bound, bound)

    def forward(self, input1: Tensor, input2: Tensor) -> Tensor:
        """(..., in1_features) and (..., in2_features) -> (..., out_features)."""
        return F.bilinear(input1, input2, self.weight, self.bias)

    def extra_repr(self) -> str:
        """Sizes, and whether there is a bias."""
        return (
            f"in1_features={self.in1_features}, in2_features={self.in2_features}, "
            f"out_features={self.out_features}, bias={self.bias is not None}"
        )


class Identity(Module):
    """Gives its input back; takes any arguments."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()

    def forward(self, input: Any) -> Any:
        """The input."""
        return input


def reset_weight_and_bias(weight: Parameter, bias: Parameter | None) -> None:
    """PyTorch's defaults: Kaiming-uniform weights with a = sqrt(5), a bias within 1 / sqrt(fan_in)."""
    init.kaiming_uniform_(weight, a=math.sqrt(5))
    if bias is not None:
        fan_in = math.prod(weight.shape[1:])
        bound = 1 / math.sqrt(fan_in) if fan_in else 0.0
        init.uniform_(bias, -bound, bound)
