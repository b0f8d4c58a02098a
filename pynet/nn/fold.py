"""Windows of images as columns, and columns summed back into images."""

from __future__ import annotations

from ..autograd import Tensor
from . import functional as F
from .arguments import unchanged
from .module import Module


class Unfold(Module):
    """The windows of images as columns (im2col).

    Args:
        kernel_size: int or (KH, KW).
        dilation: int or pair, default 1.
        padding: int or pair of zeros on each side, default 0.
        stride: int or pair, default 1.

    Shape:
        input (N, C, H, W) or (C, H, W), output (N, C * KH * KW, L) with one column for each of the L windows.

    Raises:
        TypeError: a size that is no int.
        ValueError: a size out of range; a window that exceeds the padded input, when it is called.
    """

    def __init__(
        self,
        kernel_size: int | tuple[int, int],
        dilation: int | tuple[int, int] = 1,
        padding: int | tuple[int, int] = 0,
        stride: int | tuple[int, int] = 1,
    ) -> None:
        super().__init__()
        self.kernel_size = unchanged("Unfold", "kernel_size", kernel_size)
        self.dilation = unchanged("Unfold", "dilation", dilation)
        self.padding = unchanged("Unfold", "padding", padding, least=0)
        self.stride = unchanged("Unfold", "stride", stride)

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C * KH * KW, L)."""
        return F.unfold(input, self.kernel_size, self.dilation, self.padding, self.stride)

    def extra_repr(self) -> str:
        """All arguments."""
        return (
            f"kernel_size={self.kernel_size}, dilation={self.dilation}, padding={self.padding}, "
            f"stride={self.stride}"
        )


class Fold(Module):
    """The sum of columns at their places in images (col2im).

    Args:
        output_size: int or (H, W).
        kernel_size, dilation, padding, stride: as for Unfold.

    Shape:
        input (N, C * KH * KW, L) or (C * KH * KW, L), output (N, C, H, W) or (C, H, W).

    Raises:
        TypeError: a size that is no int.
        ValueError: a size out of range; columns that do not fit, when it is called.
    """

    def __init__(
        self,
        output_size: int | tuple[int, int],
        kernel_size: int | tuple[int, int],
        dilation: int | tuple[int, int] = 1,
        padding: int | tuple[int, int] = 0,
        stride: int | tuple[int, int] = 1,
    ) -> None:
        super().__init__()
        self.output_size = unchanged("Fold", "output_size", output_size)
        self.kernel_size = unchanged("Fold", "kernel_size", kernel_size)
        self.dilation = unchanged("Fold", "dilation", dilation)
        self.padding = unchanged("Fold", "padding", padding, least=0)
        self.stride = unchanged("Fold", "stride", stride)

    def forward(self, input: Tensor) -> Tensor:
        """(N, C * KH * KW, L) -> (N, C, H, W)."""
        return F.fold(input, self.output_size, self.kernel_size, self.dilation, self.padding, self.stride)

    def extra_repr(self) -> str:
        """All arguments."""
        return (
            f"output_size={self.output_size}, kernel_size={self.kernel_size}, dilation={self.dilation}, "
            f"padding={self.padding}, stride={self.stride}"
        )
