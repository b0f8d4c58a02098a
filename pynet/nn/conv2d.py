"""The 2-D convolution layer."""

from __future__ import annotations

from typing import Any

from ..autograd import Tensor
from . import functional as F
from .arguments import integer, on_cpu, pair
from .linear import reset_weight_and_bias
from .module import Module
from .parameter import as_float_dtype, new_parameter


class Conv2d(Module):
    """2-D cross-correlation of (N, C, H, W) images with learned kernels.

    Args:
        in_channels: C.
        out_channels: F.
        kernel_size: int or (KH, KW).
        stride: int or pair, default 1.
        padding: int or pair of zeros on each side, "valid" (none) or "same" (the output has the input's size;
            stride 1); default 0.
        dilation: int or pair, distance between kernel elements, default 1.
        groups: into how many independent parts the channels are cut, default 1; divides C and F.
        bias: whether each output channel gets a learned offset, default True.
        padding_mode: "zeros".
        device: None or "cpu".
        dtype: float32 (default) or float64.

    Shape:
        input (N, C, H, W), output (N, F, OH, OW), OH = (H + 2*padding - dilation*(KH - 1) - 1) // stride + 1.

    Attributes:
        weight: (F, C // groups, KH, KW), in memory (KH, KW, C // groups, F).
        bias: (F,), or None.

    Raises:
        TypeError: a size that is no int, or another dtype.
        ValueError: a size below 1, negative padding, groups that do not divide the channels, "same" with a
            stride.
        NotImplementedError: another padding mode.

    Source:
        LeCun et al. 1998, "Gradient-Based Learning Applied to Document Recognition"; dilation: Yu and Koltun
        2016.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int] = 1,
        padding: int | tuple[int, int] | str = 0,
        dilation: int | tuple[int, int] = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        on_cpu("Conv2d", device)
        self.in_channels = integer("Conv2d", "in_channels", in_channels)
        self.out_channels = integer("Conv2d", "out_channels", out_channels)
        self.kernel_size = pair("Conv2d", "kernel_size", kernel_size)
        self.stride = pair("Conv2d", "stride", stride)
        self.padding = _padding(padding, self.stride)
        self.dilation = pair("Conv2d", "dilation", dilation)
        self.groups = integer("Conv2d", "groups", groups)
        self.padding_mode = _padding_mode(padding_mode)
        for name, channels in (("in_channels", self.in_channels), ("out_channels", self.out_channels)):
            if channels % self.groups:
                raise ValueError(
                    f"Conv2d: groups must divide {name}, got groups {groups} and {name} {channels}"
                )
        dtype = as_float_dtype(dtype or "float32", "Conv2d")
        shape = (self.out_channels, self.in_channels // self.groups, *self.kernel_size)
        self.weight = new_parameter(shape, dtype)
        self.register_parameter("bias", new_parameter(shape[:1], dtype) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw weight and bias anew: both uniformly within 1 / sqrt(KH * KW * C / groups)."""
        reset_weight_and_bias(self.weight, self.bias)

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, F, OH, OW)."""
        parameters = self._parameters
        return F.conv2d(
            input,
            parameters["weight"],
            parameters["bias"],
            self.stride,
            self.padding,
            self.dilation,
            self.groups,
        )

    def extra_repr(self) -> str:
        """The arguments, without those that have their usual value."""
        parts = [
            f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"
        ]
        if self.padding != (0, 0):
            parts.append(f"padding={self.padding}")
        if self.dilation != (1, 1):
            parts.append(f"dilation={self.dilation}")
        if self.groups != 1:
            parts.append(f"groups={self.groups}")
        if self.bias is None:
            parts.append("bias=False")
        return ", ".join(parts)


def _padding(padding: Any, stride: tuple[int, int]) -> tuple[int, int] | str:
    if not isinstance(padding, str):
        return pair("Conv2d", "padding", padding, least=0)
    if padding not in ("same", "valid"):
        raise ValueError(f"Conv2d: padding must be an int, a pair, 'same' or 'valid', got {padding!r}")
    if padding == "same" and stride != (1, 1):
        raise ValueError(f"Conv2d: padding='same' needs stride 1, got stride {stride}")
    return padding


def _padding_mode(mode: Any) -> str:
    if mode == "zeros":
        return mode
    if mode in ("reflect", "replicate", "circular"):
        raise NotImplementedError(
            f"Conv2d: padding_mode {mode!r} is not supported, only 'zeros'; pad the input before"
        )
    raise ValueError(f"Conv2d: padding_mode must be 'zeros', got {mode!r}")
