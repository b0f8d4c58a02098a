"""Layers that change the size of images: interpolation and pixel shuffle."""

from __future__ import annotations

from typing import Any

from ..autograd import Tensor
from . import functional as F
from .arguments import integer
from .module import Module


class Upsample(Module):
    """Images or signals at another size, by interpolation.

    Args:
        size: the output's size, int or one a spatial axis; or
        scale_factor: the output's size over the input's, a number or one a spatial axis.
        mode: "nearest" (default), "nearest-exact", "linear" (signals), "bilinear", "bicubic" (maps) or
            "area".
        align_corners: whether the centres of the corner pixels stay in the corners, default False. For the
            linear and cubic modes only.
        recompute_scale_factor: whether positions follow from the sizes rather than from scale_factor.

    Shape:
        input (N, C, H, W) or (N, C, L), output (N, C, OH, OW) or (N, C, OL), OH = floor(H * scale_factor).

    Raises:
        ValueError, TypeError: bad arguments, as `functional.interpolate`, when it is called.
    """

    def __init__(
        self,
        size: int | tuple[int, ...] | None = None,
        scale_factor: float | tuple[float, ...] | None = None,
        mode: str = "nearest",
        align_corners: bool | None = None,
        recompute_scale_factor: bool | None = None,
    ) -> None:
        super().__init__()
        self.name = type(self).__name__
        self.size = size
        if isinstance(scale_factor, (tuple, list)):
            self.scale_factor: Any = tuple(float(factor) for factor in scale_factor)
        else:
            self.scale_factor = float(scale_factor) if scale_factor else None
        self.mode = mode
        self.align_corners = align_corners
        self.recompute_scale_factor = recompute_scale_factor

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, OH, OW)."""
        return F.interpolate(
            input,
            self.size,
            self.scale_factor,
            self.mode,
            self.align_corners,
            self.recompute_scale_factor,
        )

    def extra_repr(self) -> str:
        """Size or factor, and the mode."""
        given = f"size={self.size}" if self.scale_factor is None else f"scale_factor={self.scale_factor}"
        return f"{given}, mode={self.mode!r}"


class UpsamplingNearest2d(Upsample):
    """Maps at another size, by the nearest pixel.

    Args:
        size, scale_factor: as for Upsample, one of them.
    """

    def __init__(self, size: Any = None, scale_factor: Any = None) -> None:
        super().__init__(size, scale_factor, mode="nearest")


class UpsamplingBilinear2d(Upsample):
    """Maps at another size, bilinearly, the corners' centres fixed (align_corners).

    Args:
        size, scale_factor: as for Upsample, one of them.
    """

    def __init__(self, size: Any = None, scale_factor: Any = None) -> None:
        super().__init__(size, scale_factor, mode="bilinear", align_corners=True)


class PixelShuffle(Module):
    """Channels become pixels: (..., C * r^2, H, W) to (..., C, H * r, W * r).

    Args:
        upscale_factor: r, at least 1.

    Raises:
        ValueError: a factor below 1; channels that are no multiple of r^2, when it is called.

    Source:
        Shi et al. 2016, "Real-Time Single Image and Video Super-Resolution Using an Efficient Sub-Pixel
        Convolutional Neural Network".
    """

    def __init__(self, upscale_factor: int) -> None:
        super().__init__()
        self.upscale_factor = integer("PixelShuffle", "upscale_factor", upscale_factor)

    def forward(self, input: Tensor) -> Tensor:
        """(..., C * r^2, H, W) -> (..., C, H * r, W * r)."""
        return F.pixel_shuffle(input, self.upscale_factor)

    def extra_repr(self) -> str:
        """The factor."""
        return f"upscale_factor={self.upscale_factor}"


class PixelUnshuffle(Module):
    """The inverse of PixelShuffle: (..., C, H * r, W * r) to (..., C * r^2, H, W).

    Args:
        downscale_factor: r, at least 1.

    Raises:
        ValueError: a factor below 1; height or width no multiple of r, when it is called.
    """

    def __init__(self, downscale_factor: int) -> None:
        super().__init__()
        self.downscale_factor = integer("PixelUnshuffle", "downscale_factor", downscale_factor)

    def forward(self, input: Tensor) -> Tensor:
        """(..., C, H * r, W * r) -> (..., C * r^2, H, W)."""
        return F.pixel_unshuffle(input, self.downscale_factor)

    def extra_repr(self) -> str:
        """The factor."""
        return f"downscale_factor={self.downscale_factor}"
