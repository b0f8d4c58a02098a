"""Transposed convolution layers, which enlarge maps and signals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..autograd import Tensor
from . import functional as F
from .arguments import integer, on_cpu, pair, single
from .conv2d import channel_groups, convolution_text
from .linear import reset_weight_and_bias
from .module import Module
from .parameter import as_float_dtype, new_parameter


class _ConvTranspose(Module):
    """What both have in common: the arguments, and the output padding that gives a wanted size."""

    _sizes: Any  # checks a size: `single` or `pair`

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        output_padding: Any = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Any = 1,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        owner, sizes = type(self).__name__, type(self)._sizes
        on_cpu(owner, device)
        self.in_channels = integer(owner, "in_channels", in_channels)
        self.out_channels = integer(owner, "out_channels", out_channels)
        self.kernel_size = sizes(owner, "kernel_size", kernel_size)
        self.stride = sizes(owner, "stride", stride)
        self.padding = sizes(owner, "padding", padding, 0)
        self.output_padding = sizes(owner, "output_padding", output_padding, 0)
        self.dilation = sizes(owner, "dilation", dilation)
        self.groups = channel_groups(owner, groups, self.in_channels, self.out_channels)
        if padding_mode != "zeros":
            raise ValueError(f"{owner}: padding_mode must be 'zeros', got {padding_mode!r}")
        self.padding_mode = padding_mode
        dtype = as_float_dtype(dtype or "float32", owner)
        shape = (self.in_channels, self.out_channels // self.groups, *self.kernel_size)
        self.weight = new_parameter(shape, dtype)
        self.register_parameter("bias", new_parameter((self.out_channels,), dtype) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw weight and bias anew: both uniformly within 1 / sqrt(F / groups * taps)."""
        reset_weight_and_bias(self.weight, self.bias)

    def _extra(self, input: Tensor, output_size: Sequence[int] | None) -> tuple[int, ...]:
        """The output padding, from the size that the output shall have where it is given."""
        if output_size is None:
            return self.output_padding
        owner, axes = type(self).__name__, len(self.kernel_size)
        wanted = tuple(output_size)
        if len(wanted) == axes + 2:
            wanted = wanted[2:]
        if len(wanted) != axes:
            raise ValueError(f"{owner}: output_size needs {axes} or {axes + 2} sizes, got {output_size!r}")
        least = tuple(
            (n - 1) * s - 2 * p + d * (k - 1) + 1
            for n, s, p, d, k in zip(
                input.shape[-axes:], self.stride, self.padding, self.dilation, self.kernel_size, strict=True
            )
        )
        most = tuple(n + s - 1 for n, s in zip(least, self.stride, strict=True))
        if any(not low <= n <= high for n, low, high in zip(wanted, least, most, strict=True)):
            raise ValueError(
                f"{owner}: output_size {wanted} cannot be; an input of {input.shape} gives {least} to {most}"
            )
        return tuple(n - low for n, low in zip(wanted, least, strict=True))

    def extra_repr(self) -> str:
        """The arguments, without those that have their usual value."""
        return convolution_text(self)


class ConvTranspose2d(_ConvTranspose):
    """Transposed 2-D convolution of (N, C, H, W) maps: the gradient of Conv2d by its input, with learned
    kernels.

    Args:
        in_channels: C.
        out_channels: F.
        kernel_size: int or (KH, KW).
        stride: int or pair, distance between the places of neighbouring pixels, default 1.
        padding: int or pair, what is cut off on each side, default 0.
        output_padding: int or pair, rows and columns more at the lower and right end, less than stride or
            dilation, default 0.
        groups: into how many independent parts the channels are cut, default 1; divides C and F.
        bias: whether each output channel gets a learned offset, default True.
        dilation: int or pair, distance between kernel elements, default 1.
        padding_mode: "zeros".
        device: None or "cpu".
        dtype: float32 (default) or float64.

    Shape:
        input (N, C, H, W), output (N, F, OH, OW),
        OH = (H - 1) * stride - 2*padding + dilation*(KH - 1) + output_padding + 1.

    Attributes:
        weight: (C, F // groups, KH, KW), in memory (KH, KW, F // groups, C).
        bias: (F,), or None.

    Raises:
        TypeError: a size that is no int, or another dtype.
        ValueError: a size below 1, negative padding, groups that do not divide the channels, or another
            padding mode.

    Source:
        Zeiler, Krishnan, Taylor and Fergus 2010, "Deconvolutional Networks"; Dumoulin and Visin 2016.
    """

    _sizes = staticmethod(pair)

    def forward(self, input: Tensor, output_size: Sequence[int] | None = None) -> Tensor:
        """(N, C, H, W) -> (N, F, OH, OW), of `output_size` where it is given."""
        extra: Any = self._extra(input, output_size)
        return F.conv_transpose2d(
            input, self.weight, self.bias, self.stride, self.padding, extra, self.groups, self.dilation
        )


class ConvTranspose1d(_ConvTranspose):
    """Transposed 1-D convolution of (N, C, L) signals; arguments as ConvTranspose2d, one size for a pair.

    Shape:
        input (N, C, L), output (N, F, OL),
        OL = (L - 1) * stride - 2*padding + dilation*(K - 1) + output_padding + 1.

    Attributes:
        weight: (C, F // groups, K), in memory (K, F // groups, C).
        bias: (F,), or None.

    Raises:
        TypeError, ValueError: as ConvTranspose2d.
    """

    _sizes = staticmethod(single)

    def forward(self, input: Tensor, output_size: Sequence[int] | None = None) -> Tensor:
        """(N, C, L) -> (N, F, OL), of `output_size` where it is given."""
        extra: Any = self._extra(input, output_size)
        return F.conv_transpose1d(
            input, self.weight, self.bias, self.stride, self.padding, extra, self.groups, self.dilation
        )
