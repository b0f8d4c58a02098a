"""The 1-D convolution layer."""

from __future__ import annotations

from typing import Any

from ..autograd import Tensor
from . import functional as F
from .arguments import integer, on_cpu, single
from .conv2d import channel_groups, convolution_text, named_padding, padded, padding_mode_of, widths_of
from .linear import reset_weight_and_bias
from .module import Module
from .parameter import as_float_dtype, new_parameter


class Conv1d(Module):
    """1-D cross-correlation of (N, C, L) signals with learned kernels.

    Args:
        in_channels: C.
        out_channels: F.
        kernel_size: int K, or a tuple of one.
        stride: int or a tuple of one, default 1.
        padding: elements added on each end, "valid" (none) or "same" (the output has the input's length;
            stride 1); default 0.
        dilation: distance between kernel elements, default 1.
        groups: into how many independent parts the channels are cut, default 1; divides C and F.
        bias: whether each output channel gets a learned offset, default True.
        padding_mode: "zeros" (default), "reflect", "replicate" or "circular".
        device: None or "cpu".
        dtype: float32 (default) or float64.

    Shape:
        input (N, C, L), output (N, F, OL), OL = (L + 2*padding - dilation*(K - 1) - 1) // stride + 1.

    Attributes:
        weight: (F, C // groups, K), in memory (K, C // groups, F).
        bias: (F,), or None.

    Raises:
        TypeError: a size that is no int, or another dtype.
        ValueError: a size below 1, negative padding, groups that do not divide the channels, "same" with a
            stride, or an unknown padding mode.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int],
        stride: int | tuple[int] = 1,
        padding: int | tuple[int] | str = 0,
        dilation: int | tuple[int] = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        on_cpu("Conv1d", device)
        self.in_channels = integer("Conv1d", "in_channels", in_channels)
        self.out_channels = integer("Conv1d", "out_channels", out_channels)
        self.kernel_size = single("Conv1d", "kernel_size", kernel_size)
        self.stride = single("Conv1d", "stride", stride)
        self.padding: tuple[int] | str
        if isinstance(padding, str):
            self.padding = named_padding("Conv1d", padding, self.stride)
        else:
            self.padding = single("Conv1d", "padding", padding, 0)
        self.dilation = single("Conv1d", "dilation", dilation)
        self.groups = channel_groups("Conv1d", groups, self.in_channels, self.out_channels)
        self.padding_mode = padding_mode_of("Conv1d", padding_mode)
        self._widths = widths_of(self.padding, self.kernel_size, self.dilation)
        dtype = as_float_dtype(dtype or "float32", "Conv1d")
        shape = (self.out_channels, self.in_channels // self.groups, *self.kernel_size)
        self.weight = new_parameter(shape, dtype)
        self.register_parameter("bias", new_parameter(shape[:1], dtype) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw weight and bias anew: both uniformly within 1 / sqrt(K * C / groups)."""
        reset_weight_and_bias(self.weight, self.bias)

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, L) -> (N, F, OL)."""
        input, padding = padded(input, self.padding_mode, self.padding, self._widths)
        return F.conv1d(input, self.weight, self.bias, self.stride, padding, self.dilation, self.groups)

    def extra_repr(self) -> str:
        """The arguments, without those that have their usual value."""
        return convolution_text(self)
