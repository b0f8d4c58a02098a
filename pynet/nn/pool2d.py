"""2-D pooling layers: maximum, mean and p-norm of windows, or to a given output size; maxima put back."""

from __future__ import annotations

from typing import Any

from ..autograd import Tensor
from . import functional as F
from .arguments import integer, pair, unchanged
from .module import Module


class MaxPool2d(Module):
    """The maximum of each window of (N, C, H, W) maps.

    Args:
        kernel_size: int or (KH, KW).
        stride: int or pair, default None: the kernel size.
        padding: int or pair, at most half the kernel, default 0; padded places never win.
        dilation: int or pair, default 1.
        return_indices: whether the result is (output, indices), default False; an index is h * W + w.
        ceil_mode: whether a window that starts inside may reach over the edge, default False.

    Shape:
        input (N, C, H, W), output (N, C, OH, OW), OH = (H + 2*padding - dilation*(KH - 1) - 1) // stride + 1.

    Raises:
        TypeError: a size that is no int.
        ValueError: a size below 1, negative padding or more than half the kernel.
    """

    def __init__(
        self,
        kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int] | None = None,
        padding: int | tuple[int, int] = 0,
        dilation: int | tuple[int, int] = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__()
        self.dilation = unchanged("MaxPool2d", "dilation", dilation)
        self.kernel_size, self.stride, self.padding = _window("MaxPool2d", kernel_size, stride, padding)
        self.return_indices = bool(return_indices)
        self.ceil_mode = bool(ceil_mode)

    def forward(self, input: Tensor) -> Any:
        """(N, C, H, W) -> (N, C, OH, OW)."""
        return F.max_pool2d(
            input,
            self.kernel_size,
            self.stride,
            self.padding,
            self.dilation,
            self.ceil_mode,
            self.return_indices,
        )

    def extra_repr(self) -> str:
        """All arguments."""
        return (
            f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}, "
            f"dilation={self.dilation}, "
            f"ceil_mode={self.ceil_mode}"
        )


class AvgPool2d(Module):
    """The mean of each window of (N, C, H, W) maps.

    Args:
        kernel_size: int or (KH, KW).
        stride: int or pair, default None: the kernel size.
        padding: int or pair of zeros, at most half the kernel, default 0.
        ceil_mode: whether a window that starts inside may reach over the edge, default False.
        count_include_pad: whether padded zeros count in the mean, default True.
        divisor_override: what every window's sum is divided by, not 0; default None: its size.

    Shape:
        input (N, C, H, W), output (N, C, OH, OW), OH = (H + 2*padding - KH) // stride + 1.

    Raises:
        TypeError: a size that is no int.
        ValueError: a size below 1, negative padding or more than half the kernel, or a divisor of 0.
    """

    def __init__(
        self,
        kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int] | None = None,
        padding: int | tuple[int, int] = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> None:
        super().__init__()
        if divisor_override == 0:
            raise ValueError("AvgPool2d: divisor_override must not be 0")
        self.kernel_size, self.stride, self.padding = _window("AvgPool2d", kernel_size, stride, padding)
        self.ceil_mode = bool(ceil_mode)
        self.count_include_pad = bool(count_include_pad)
        self.divisor_override = divisor_override

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, OH, OW)."""
        return F.avg_pool2d(
            input,
            self.kernel_size,
            self.stride,
            self.padding,
            self.ceil_mode,
            self.count_include_pad,
            self.divisor_override,
        )

    def extra_repr(self) -> str:
        """Kernel size, stride and padding."""
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class LPPool2d(Module):
    """The p-th root of the sum of p-th powers over each window of (N, C, H, W) maps.

    Args:
        norm_type: p, not 0.
        kernel_size: int or (KH, KW).
        stride: int or pair, default None: the kernel size.
        ceil_mode: whether a window that starts inside may reach over the edge, default False.

    Shape:
        input (N, C, H, W), output (N, C, OH, OW), OH = (H - KH) // stride + 1.

    Raises:
        TypeError: a size that is no int.
        ValueError: a size below 1, or p of 0.
    """

    def __init__(
        self,
        norm_type: float,
        kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int] | None = None,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__()
        if not norm_type:
            raise ValueError("LPPool2d: norm_type must not be 0")
        self.norm_type = norm_type
        self.kernel_size = unchanged("LPPool2d", "kernel_size", kernel_size)
        self.stride = None if stride is None else unchanged("LPPool2d", "stride", stride)
        self.ceil_mode = bool(ceil_mode)

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, OH, OW)."""
        return F.lp_pool2d(input, float(self.norm_type), self.kernel_size, self.stride, self.ceil_mode)

    def extra_repr(self) -> str:
        """All arguments."""
        return (
            f"norm_type={self.norm_type}, kernel_size={self.kernel_size}, stride={self.stride}, "
            f"ceil_mode={self.ceil_mode}"
        )


class AdaptiveAvgPool2d(Module):
    """The means of windows that cut (N, C, H, W) maps into a given number of parts.

    Args:
        output_size: int or (OH, OW); None in a pair keeps the input's size. 1 is global average pooling.

    Shape:
        input (N, C, H, W), output (N, C, OH, OW).

    Raises:
        TypeError: a size that is no int.
        ValueError: a size below 1.
    """

    def __init__(self, output_size: int | tuple[int | None, int | None] | None) -> None:
        super().__init__()
        self.output_size = _output_size("AdaptiveAvgPool2d", output_size)

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, OH, OW)."""
        return F.adaptive_avg_pool2d(input, self.output_size)

    def extra_repr(self) -> str:
        """The output size."""
        return f"output_size={self.output_size}"


class AdaptiveMaxPool2d(Module):
    """The maxima of windows that cut (N, C, H, W) maps into a given number of parts.

    Args:
        output_size: int or (OH, OW); None in a pair keeps the input's size. 1 is global max pooling.
        return_indices: whether the result is (output, indices), default False; an index is h * W + w.

    Shape:
        input (N, C, H, W), output (N, C, OH, OW).

    Raises:
        TypeError: a size that is no int.
        ValueError: a size below 1.
    """

    def __init__(
        self, output_size: int | tuple[int | None, int | None] | None, return_indices: bool = False
    ) -> None:
        super().__init__()
        self.output_size = _output_size("AdaptiveMaxPool2d", output_size)
        self.return_indices = bool(return_indices)

    def forward(self, input: Tensor) -> Any:
        """(N, C, H, W) -> (N, C, OH, OW)."""
        return F.adaptive_max_pool2d(input, self.output_size, self.return_indices)

    def extra_repr(self) -> str:
        """The output size."""
        return f"output_size={self.output_size}"


class MaxUnpool2d(Module):
    """Puts maxima back where ``MaxPool2d(..., return_indices=True)`` found them; zeros elsewhere.

    Args:
        kernel_size: int or (KH, KW), that of the pooling, as are
        stride: int or pair, default None: the kernel size, and
        padding: int or pair, default 0.

    Shape:
        input (N, C, H, W), output (N, C, (H - 1) * stride - 2 * padding + KH, ...), or of the size that is
        given in the call.

    Raises:
        TypeError: a size that is no int.
        ValueError: a size below 1, or negative padding.
    """

    def __init__(
        self,
        kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int] | None = None,
        padding: int | tuple[int, int] = 0,
    ) -> None:
        super().__init__()
        self.kernel_size = pair("MaxUnpool2d", "kernel_size", kernel_size)
        self.stride = self.kernel_size if stride is None else pair("MaxUnpool2d", "stride", stride)
        self.padding = pair("MaxUnpool2d", "padding", padding, 0)

    def forward(self, input: Tensor, indices: Tensor, output_size: Any = None) -> Tensor:
        """(N, C, H, W) and indices of that shape -> the maps before pooling."""
        return F.max_unpool2d(input, indices, self.kernel_size, self.stride, self.padding, output_size)

    def extra_repr(self) -> str:
        """All arguments."""
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


def _output_size(owner: str, size: Any) -> Any:
    """The checked output size, an int or a pair as it was given, None where the input's is kept."""
    if isinstance(size, (tuple, list)):
        if len(size) != 2:
            raise ValueError(f"{owner}: output_size must be an int or a pair, got {size!r}")
        return tuple(None if n is None else integer(owner, "output_size", n) for n in size)
    return None if size is None else integer(owner, "output_size", size)


def _window(owner: str, kernel_size: Any, stride: Any, padding: Any) -> tuple[Any, Any, Any]:
    """The checked arguments, ints or pairs as they were given; the stride's default is the kernel size."""
    kernel_size = unchanged(owner, "kernel_size", kernel_size)
    stride = kernel_size if stride is None else unchanged(owner, "stride", stride)
    padding = unchanged(owner, "padding", padding, least=0)
    for k, p in zip(pair(owner, "kernel_size", kernel_size), pair(owner, "padding", padding, 0), strict=True):
        if p > k // 2:
            raise ValueError(
                f"{owner}: padding must be at most half the kernel, got padding {padding} and kernel_size "
                f"{kernel_size}"
            )
    return kernel_size, stride, padding
