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
        padding_mode: what is padded: "zeros" (default), "reflect", "replicate" or "circular".
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
            stride, or an unknown padding mode.

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
        self.padding: tuple[int, int] | str
        if isinstance(padding, str):
            self.padding = named_padding("Conv2d", padding, self.stride)
        else:
            self.padding = pair("Conv2d", "padding", padding, least=0)
        self.dilation = pair("Conv2d", "dilation", dilation)
        self.groups = channel_groups("Conv2d", groups, self.in_channels, self.out_channels)
        self.padding_mode = padding_mode_of("Conv2d", padding_mode)
        self._widths = widths_of(self.padding, self.kernel_size, self.dilation)
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
        padding: Any = self.padding
        if self.padding_mode != "zeros":
            input, padding = padded(input, self.padding_mode, padding, self._widths)
        return F.conv2d(
            input,
            parameters["weight"],
            parameters["bias"],
            self.stride,
            padding,
            self.dilation,
            self.groups,
        )

    def extra_repr(self) -> str:
        """The arguments, without those that have their usual value."""
        return convolution_text(self)


# --- what all convolution layers share ------------------------------------------------------------

_PADDING_MODES = ("zeros", "reflect", "replicate", "circular")


def named_padding(owner: str, padding: str, stride: tuple[int, ...]) -> str:
    """A padding given by name, checked."""
    if padding not in ("same", "valid"):
        raise ValueError(f"{owner}: padding must be an int, a tuple, 'same' or 'valid', got {padding!r}")
    if padding == "same" and any(step != 1 for step in stride):
        raise ValueError(f"{owner}: padding='same' needs stride 1, got stride {stride}")
    return padding


def padding_mode_of(owner: str, mode: Any) -> str:
    """A padding mode, checked."""
    if mode not in _PADDING_MODES:
        raise ValueError(f"{owner}: padding_mode must be one of {', '.join(_PADDING_MODES)}, got {mode!r}")
    return mode


def channel_groups(owner: str, groups: Any, in_channels: int, out_channels: int) -> int:
    """The number of groups, which divides both channel counts."""
    groups = integer(owner, "groups", groups)
    for name, channels in (("in_channels", in_channels), ("out_channels", out_channels)):
        if channels % groups:
            raise ValueError(f"{owner}: groups must divide {name}, got groups {groups} and {name} {channels}")
    return groups


def widths_of(
    padding: tuple[int, ...] | str, kernel_size: tuple[int, ...], dilation: tuple[int, ...]
) -> tuple[int, ...]:
    """The padding as `functional.pad` takes it: pairs, the last axis first."""
    if padding == "valid":
        return (0, 0) * len(kernel_size)
    if padding != "same":
        return tuple(p for p in reversed(padding) for _ in range(2))  # type: ignore[misc]
    totals = [d * (k - 1) for d, k in zip(reversed(dilation), reversed(kernel_size), strict=True)]
    return tuple(side for total in totals for side in (total // 2, total - total // 2))


def padded(input: Tensor, mode: str, padding: Any, widths: tuple[int, ...]) -> tuple[Tensor, Any]:
    """The input and what the convolution is still to pad: all of it with zeros, nothing in other modes."""
    if mode == "zeros":
        return input, padding
    return F.pad(input, widths, mode), 0


def convolution_text(layer: Any) -> str:
    """The arguments of a convolution layer, without those that have their usual value."""
    none = (0,) * len(layer.kernel_size)
    parts = [
        f"{layer.in_channels}, {layer.out_channels}, kernel_size={layer.kernel_size}, stride={layer.stride}"
    ]
    if layer.padding != none:
        parts.append(f"padding={layer.padding}")
    if any(d != 1 for d in layer.dilation):
        parts.append(f"dilation={layer.dilation}")
    if getattr(layer, "output_padding", none) != none:
        parts.append(f"output_padding={layer.output_padding}")
    if layer.groups != 1:
        parts.append(f"groups={layer.groups}")
    if layer.bias is None:
        parts.append("bias=False")
    if layer.padding_mode != "zeros":
        parts.append(f"padding_mode={layer.padding_mode}")
    return ", ".join(parts)
