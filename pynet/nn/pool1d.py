"""1-D pooling layers over (N, C, L) or (C, L)."""

from __future__ import annotations

from typing import Any

from ..autograd import Tensor
from . import functional as F
from .arguments import integer
from .module import Module


class MaxPool1d(Module):
    """The maximum of each window of rows (N, C, L).

    Args:
        kernel_size: size of the window.
        stride: step, default None: the kernel size.
        padding: at most half the kernel, default 0; padded places never win.
        dilation: distance of the window's elements, default 1.
        return_indices: whether the result is (output, indices), default False.
        ceil_mode: whether a window that starts inside may reach over the edge, default False.

    Shape:
        input (N, C, L) or (C, L), output (N, C, OL),
        OL = (L + 2*padding - dilation*(K - 1) - 1) // stride + 1.

    Raises:
        TypeError: a size that is no int.
        ValueError: a size below 1, or padding that is negative or more than half the kernel.
    """

    def __init__(
        self,
        kernel_size: int | tuple[int],
        stride: int | tuple[int] | None = None,
        padding: int | tuple[int] = 0,
        dilation: int | tuple[int] = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__()
        self.kernel_size, self.stride, self.padding = kernel_size, stride, padding
        if stride is None:
            self.stride = kernel_size
        self.dilation, self.return_indices, self.ceil_mode = dilation, bool(return_indices), bool(ceil_mode)
        _one("MaxPool1d", "dilation", dilation)
        _check_window("MaxPool1d", self.kernel_size, self.stride, self.padding)

    def forward(self, input: Tensor) -> Any:
        """(N, C, L) -> (N, C, OL)."""
        window = (self.kernel_size, self.stride, self.padding, self.dilation)
        return F.max_pool1d(input, *window, self.ceil_mode, self.return_indices)

    def extra_repr(self) -> str:
        """All arguments."""
        return (
            f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}, "
            f"dilation={self.dilation}, ceil_mode={self.ceil_mode}"
        )


class AvgPool1d(Module):
    """The mean of each window of rows (N, C, L).

    Args:
        kernel_size: size of the window.
        stride: step, default None: the kernel size.
        padding: zeros on both sides, at most half the kernel, default 0.
        ceil_mode: whether a window that starts inside may reach over the edge, default False.
        count_include_pad: whether padded zeros count in the mean, default True.

    Shape:
        input (N, C, L) or (C, L), output (N, C, OL), OL = (L + 2*padding - K) // stride + 1.

    Raises:
        TypeError: a size that is no int.
        ValueError: a size below 1, or padding that is negative or more than half the kernel.
    """

    def __init__(
        self,
        kernel_size: int | tuple[int],
        stride: int | tuple[int] | None = None,
        padding: int | tuple[int] = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None:
        super().__init__()
        _check_window("AvgPool1d", kernel_size, kernel_size if stride is None else stride, padding)
        self.kernel_size = _tuple(kernel_size)
        self.stride = self.kernel_size if stride is None else _tuple(stride)
        self.padding = _tuple(padding)
        self.ceil_mode, self.count_include_pad = bool(ceil_mode), bool(count_include_pad)

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, L) -> (N, C, OL)."""
        window = (self.kernel_size, self.stride, self.padding)
        return F.avg_pool1d(input, *window, self.ceil_mode, self.count_include_pad)

    def extra_repr(self) -> str:
        """Kernel size, stride and padding."""
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class LPPool1d(Module):
    """The p-th root of the sum of p-th powers over each window of rows (N, C, L).

    Args:
        norm_type: p, not 0.
        kernel_size: size of the window.
        stride: step, default None: the kernel size.
        ceil_mode: whether a window that starts inside may reach over the edge, default False.

    Shape:
        input (N, C, L) or (C, L), output (N, C, OL), OL = (L - K) // stride + 1.

    Raises:
        TypeError: a size that is no int.
        ValueError: a size below 1, or p of 0.
    """

    def __init__(
        self,
        norm_type: float,
        kernel_size: int | tuple[int],
        stride: int | tuple[int] | None = None,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__()
        if not norm_type:
            raise ValueError("LPPool1d: norm_type must not be 0")
        _check_window("LPPool1d", kernel_size, kernel_size if stride is None else stride, 0)
        self.norm_type, self.kernel_size, self.stride = norm_type, kernel_size, stride
        self.ceil_mode = bool(ceil_mode)

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, L) -> (N, C, OL)."""
        return F.lp_pool1d(input, float(self.norm_type), self.kernel_size, self.stride, self.ceil_mode)

    def extra_repr(self) -> str:
        """All arguments."""
        return (
            f"norm_type={self.norm_type}, kernel_size={self.kernel_size}, stride={self.stride}, "
            f"ceil_mode={self.ceil_mode}"
        )


class AdaptiveAvgPool1d(Module):
    """The means of windows that cut rows (N, C, L) into a given number of parts.

    Args:
        output_size: how many parts.

    Shape:
        input (N, C, L) or (C, L), output (N, C, output_size).

    Raises:
        TypeError: a size that is no int.
        ValueError: a size below 1.
    """

    def __init__(self, output_size: int | tuple[int]) -> None:
        super().__init__()
        _one("AdaptiveAvgPool1d", "output_size", output_size)
        self.output_size = output_size

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, L) -> (N, C, output_size)."""
        return F.adaptive_avg_pool1d(input, self.output_size)

    def extra_repr(self) -> str:
        """The output size."""
        return f"output_size={self.output_size}"


class AdaptiveMaxPool1d(Module):
    """The maxima of windows that cut rows (N, C, L) into a given number of parts.

    Args:
        output_size: how many parts.
        return_indices: whether the result is (output, indices), default False.

    Shape:
        input (N, C, L) or (C, L), output (N, C, output_size).

    Raises:
        TypeError: a size that is no int.
        ValueError: a size below 1.
    """

    def __init__(self, output_size: int | tuple[int], return_indices: bool = False) -> None:
        super().__init__()
        _one("AdaptiveMaxPool1d", "output_size", output_size)
        self.output_size, self.return_indices = output_size, bool(return_indices)

    def forward(self, input: Tensor) -> Any:
        """(N, C, L) -> (N, C, output_size)."""
        return F.adaptive_max_pool1d(input, self.output_size, self.return_indices)

    def extra_repr(self) -> str:
        """The output size."""
        return f"output_size={self.output_size}"


class MaxUnpool1d(Module):
    """Puts maxima back where ``MaxPool1d(..., return_indices=True)`` found them; zeros elsewhere.

    Args:
        kernel_size, stride, padding: those of the pooling.

    Shape:
        input (N, C, L) or (C, L), output (N, C, (L - 1) * stride - 2 * padding + K), or of the size that is
        given in the call.

    Raises:
        TypeError: a size that is no int.
        ValueError: a size below 1, or negative padding.
    """

    def __init__(
        self,
        kernel_size: int | tuple[int],
        stride: int | tuple[int] | None = None,
        padding: int | tuple[int] = 0,
    ) -> None:
        super().__init__()
        self.kernel_size = (_one("MaxUnpool1d", "kernel_size", kernel_size),)
        self.stride = self.kernel_size if stride is None else (_one("MaxUnpool1d", "stride", stride),)
        self.padding = (_one("MaxUnpool1d", "padding", padding, 0),)

    def forward(self, input: Tensor, indices: Tensor, output_size: Any = None) -> Tensor:
        """(N, C, L) and indices of that shape -> the rows before pooling."""
        return F.max_unpool1d(input, indices, self.kernel_size, self.stride, self.padding, output_size)

    def extra_repr(self) -> str:
        """All arguments."""
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


def _tuple(value: Any) -> tuple[int]:
    return tuple(value) if isinstance(value, (tuple, list)) else (value,)


def _one(owner: str, name: str, value: Any, least: int = 1) -> int:
    """The int itself, or the one in a tuple."""
    if isinstance(value, (tuple, list)):
        if len(value) != 1:
            raise ValueError(f"{owner}: {name} takes one int, got {value!r}")
        value = value[0]
    return integer(owner, name, value, least)


def _check_window(owner: str, kernel_size: Any, stride: Any, padding: Any) -> None:
    kernel = _one(owner, "kernel_size", kernel_size)
    _one(owner, "stride", stride)
    if _one(owner, "padding", padding, 0) > kernel // 2:
        raise ValueError(
            f"{owner}: padding must be at most half the kernel, got padding {padding} and kernel_size "
            f"{kernel_size}"
        )
