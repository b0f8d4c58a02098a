"""Geometric augmentations: each is an affine map from output pixels to input pixels, so that a run of them is
one warp with one bilinear interpolation.

Maps are float64 (N, 3, 3) over (column, row, 1), pixel centres at integers. Shifts by whole pixels and flips
copy pixels exactly.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pynet import _core
from pynet.data.augment.base import Augmentation, interval, number, pair
from pynet.data.draws import Draws

Size = tuple[int, int]
_FIXED = 65536  # the kernel's numbers have 16 binary digits behind the point


class Geometric(Augmentation):
    """Base class; a subclass defines `maps`.

    Attributes:
        fill: what stands outside the image, 0 to 255, one number or one a channel.
        edge: whether the nearest pixel of the edge stands there instead.
    """

    fill: float | Sequence[float] = 0
    edge = False

    def maps(self, draws: Draws, size: Size) -> tuple[np.ndarray, Size]:
        """The maps for images of `size` (height, width), and the size that comes out."""
        raise NotImplementedError

    def apply(self, images: np.ndarray, draws: Draws) -> np.ndarray:
        maps, size = self.maps(draws, images.shape[2:])
        return warp(images, maps, size, self.fill, self.edge)

    def joined(self, following: Any) -> Geometric | None:
        """This and the transform after it as one, where it is a warp too and sees the same outside."""
        if not isinstance(following, Geometric):
            return None
        outside = [(step.fill, step.edge) for step in (self, following) if not isinstance(step, _Flip)]
        if len(outside) == 2 and outside[0] != outside[1]:
            return None
        steps = [*getattr(self, "steps", (self,)), *getattr(following, "steps", (following,))]
        return Warp(steps, *(outside[0] if outside else (0, False)))


class Warp(Geometric):
    """Several geometric augmentations as one. What leaves the image in one step may come back in the next."""

    def __init__(self, steps: list[Geometric], fill: float | Sequence[float], edge: bool) -> None:
        self.steps, self.fill, self.edge = steps, fill, edge

    def maps(self, draws: Draws, size: Size) -> tuple[np.ndarray, Size]:
        """The product of the steps' maps."""
        product, size = self.steps[0].maps(draws, size)
        for step in self.steps[1:]:
            maps, size = step.maps(draws, size)
            product = product @ maps
        return product, size

    def __repr__(self) -> str:
        return ", ".join(map(repr, self.steps))


def warp(
    images: np.ndarray, maps: np.ndarray, size: Size, fill: float | Sequence[float] = 0, edge: bool = False
) -> np.ndarray:
    """Read the output pixels of uint8 (N, C, H, W) where `maps` (N, 3, 3) point; bilinear.

    Raises:
        ValueError: `fill` has neither one number nor one a channel.
    """
    channels = images.shape[1]
    values = np.atleast_1d(np.asarray(fill, np.float64))
    if values.ndim != 1 or len(values) not in (1, channels):
        raise ValueError(f"fill must have one number or one a channel ({channels}), got {fill!r}")
    bytes_ = np.full(channels, np.clip(np.rint(values), 0, 255), np.uint8)
    fixed = np.rint(maps[:, :2].reshape(len(maps), 6) * _FIXED).astype(np.int64)
    return _core.augment_warp(images, fixed, size, bytes_, edge)


def identity(samples: int) -> np.ndarray:
    """Maps that change nothing, (N, 3, 3)."""
    return np.broadcast_to(np.eye(3), (samples, 3, 3)).copy()


def affine(
    size: Size,
    angle: np.ndarray,
    shift: np.ndarray,
    scale: np.ndarray,
    shear: np.ndarray,
    center: tuple[float, float] | None = None,
) -> np.ndarray:
    """The maps of a rotation, shift, scaling and shear about the centre, in torchvision's order of them.

    Args:
        size: (height, width). angle: degrees clockwise, (N,). shift: (N, 2), pixels to the right and down.
        scale: (N,). shear: (N, 2), degrees along x and y. center: (column, row); default the image's.
    """
    # Forward: T(centre + shift) R(angle) Shear Scale T(-centre); an output pixel is looked up by the inverse.
    column, row = ((size[1] - 1) / 2, (size[0] - 1) / 2) if center is None else center
    a, x, y = np.radians(angle), np.radians(shear[:, 0]), np.radians(shear[:, 1])
    forward = np.zeros((len(angle), 3, 3))
    forward[:, 0, 0] = scale * np.cos(a - y) / np.cos(y)
    forward[:, 0, 1] = scale * (-np.cos(a - y) * np.tan(x) / np.cos(y) - np.sin(a))
    forward[:, 1, 0] = scale * np.sin(a - y) / np.cos(y)
    forward[:, 1, 1] = scale * (-np.sin(a - y) * np.tan(x) / np.cos(y) + np.cos(a))
    middle = np.array([column, row])
    forward[:, :2, 2] = middle + shift - forward[:, :2, :2] @ middle
    forward[:, 2, 2] = 1
    return np.linalg.inv(forward)


class _Flip(Geometric):
    def __init__(self, p: float = 0.5) -> None:
        self.p = number(type(self).__name__, "p", p, 0, 1)

    axis = 0

    def maps(self, draws: Draws, size: Size) -> tuple[np.ndarray, Size]:
        maps, chosen, axis = identity(len(draws)), draws.chosen(self.p), self.axis
        maps[chosen, axis, axis], maps[chosen, axis, 2] = -1, size[1 - axis] - 1
        return maps, size


class RandomHorizontalFlip(_Flip):
    """Mirror left to right with probability `p`, default 0.5."""


class RandomVerticalFlip(_Flip):
    """Mirror top to bottom with probability `p`, default 0.5."""

    axis = 1


class RandomCrop(Geometric):
    """A window of `size` at a random place of the padded image.

    Args:
        size: (height, width), or one number for both.
        padding: pixels added on each side: one number, (horizontal, vertical) or (left, top, right, bottom).
        pad_if_needed: accept images that are smaller, padded evenly.
        fill: what the padding holds. padding_mode: "constant" or "edge".
    Raises:
        ValueError: when applied, the padded image is smaller than the window.
    """

    def __init__(
        self,
        size: int | tuple[int, int],
        padding: int | Sequence[int] | None = None,
        pad_if_needed: bool = False,
        fill: float | Sequence[float] = 0,
        padding_mode: str = "constant",
    ) -> None:
        self.size = pair("RandomCrop", "size", size)
        self.padding = _padding(padding)
        if padding_mode not in ("constant", "edge"):
            raise ValueError(f"RandomCrop: padding_mode must be 'constant' or 'edge', got {padding_mode!r}")
        self.pad_if_needed, self.fill, self.edge = pad_if_needed, fill, padding_mode == "edge"

    def maps(self, draws: Draws, size: Size) -> tuple[np.ndarray, Size]:
        """Shifts by whole pixels."""
        left, top, right, bottom = self.padding
        maps = identity(len(draws))
        for axis, before, after, length, window in (
            (0, left, right, size[1], self.size[1]), (1, top, bottom, size[0], self.size[0])
        ):  # fmt: skip
            if length + before + after < window:
                if not self.pad_if_needed:
                    raise ValueError(
                        f"RandomCrop: the window {self.size} is larger than the padded image, "
                        f"({size[0] + top + bottom}, {size[1] + left + right}); set padding"
                    )
                before += window - length - before - after  # torchvision pads this much on both sides
                after = before
            maps[:, axis, 2] = draws.integers(0, length + before + after - window + 1) - before
        return maps, self.size


class RandomResizedCrop(Geometric):
    """A window of random area and shape, resized to `size`; bilinear without antialiasing.

    Args:
        size: (height, width), or one number for both.
        scale: share of the image's area, (smallest, largest). ratio: width / height, (smallest, largest),
            drawn on a logarithmic scale.
    Source:
        Szegedy et al. 2015, "Going deeper with convolutions".
    """

    edge = True

    def __init__(
        self,
        size: int | tuple[int, int],
        scale: Sequence[float] = (0.08, 1.0),
        ratio: Sequence[float] = (3 / 4, 4 / 3),
    ) -> None:
        self.size = pair("RandomResizedCrop", "size", size)
        self.scale = interval("RandomResizedCrop", "scale", scale, 1e-6, 1)
        self.ratio = interval("RandomResizedCrop", "ratio", ratio, 1e-3, 1e3)

    def maps(self, draws: Draws, size: Size) -> tuple[np.ndarray, Size]:
        """Windows that fit in one of ten draws, else the largest central one of an allowed shape."""
        height, width = size
        area = draws.uniform(10, *self.scale) * height * width
        ratio = np.exp(draws.uniform(10, *np.log(self.ratio)))
        w, h = np.rint(np.sqrt(area * ratio)), np.rint(np.sqrt(area / ratio))
        fits = (w >= 1) & (w <= width) & (h >= 1) & (h <= height)
        first, rows = fits.argmax(axis=1), np.arange(len(draws))
        widest = min(max(width / height, self.ratio[0]), self.ratio[1])
        found = fits.any(axis=1)
        w = np.where(found, w[rows, first], max(1, round(min(width, height * widest))))
        h = np.where(found, h[rows, first], max(1, round(min(height, width / widest))))
        left = np.where(found, draws.integers(0, width - w + 1), (width - w) // 2)
        top = np.where(found, draws.integers(0, height - h + 1), (height - h) // 2)
        maps = identity(len(draws))
        for axis, start, length, out in ((0, left, w, self.size[1]), (1, top, h, self.size[0])):
            maps[:, axis, axis] = length / out
            maps[:, axis, 2] = start + 0.5 * length / out - 0.5  # pixel centres, as align_corners=False
        return maps, self.size


class RandomAffine(Geometric):
    """Rotate, shift, scale and shear about the centre; bilinear.

    Args:
        degrees: angle's range (smallest, largest), or one number x for (-x, x); clockwise.
        translate: largest shift as shares of (width, height). scale: factor's range.
        shear: degrees along x: one number or a range; four numbers: ranges along x and y.
        fill: what comes in from outside. center: (column, row) of the fixed point, default the image's.
    """

    def __init__(
        self,
        degrees: float | Sequence[float],
        translate: Sequence[float] | None = None,
        scale: Sequence[float] | None = None,
        shear: float | Sequence[float] | None = None,
        fill: float | Sequence[float] = 0,
        center: Sequence[float] | None = None,
    ) -> None:
        owner = type(self).__name__
        self.degrees = interval(owner, "degrees", degrees, around=0)
        if translate is not None and (not isinstance(translate, Sequence) or len(translate) != 2):
            raise TypeError(f"{owner}: translate must be two shares of (width, height), got {translate!r}")
        shares = (0, 0) if translate is None else translate
        self.translate = tuple(number(owner, "translate", share, 0, 1) for share in shares)
        self.scale = (1.0, 1.0) if scale is None else interval(owner, "scale", scale, 1e-3, 1e3)
        along_y: Any = (0.0, 0.0)
        if isinstance(shear, Sequence) and len(shear) == 4:
            shear, along_y = shear[:2], shear[2:]
        self.shear = tuple(
            interval(owner, "shear", 0 if part is None else part, -89, 89, around=0)
            for part in (shear, along_y)
        )
        self.fill = fill
        self.center = None if center is None else (float(center[0]), float(center[1]))

    def maps(self, draws: Draws, size: Size) -> tuple[np.ndarray, Size]:
        """One draw each of angle, shifts (whole pixels, as torchvision's), scale and shears."""
        unit = draws.uniform(6)

        def drawn(column: int, limits: tuple[float, float]) -> np.ndarray:
            return limits[0] + (limits[1] - limits[0]) * unit[:, column]

        reach = [share * length for share, length in zip(self.translate, (size[1], size[0]), strict=True)]
        shift = np.rint(np.stack([drawn(1 + k, (-reach[k], reach[k])) for k in (0, 1)], axis=1))
        shear = np.stack([drawn(4 + k, self.shear[k]) for k in (0, 1)], axis=1)
        return affine(size, drawn(0, self.degrees), shift, drawn(3, self.scale), shear, self.center), size


class RandomRotation(RandomAffine):
    """Rotate about the centre, counter-clockwise; the corners that leave the image are lost.

    Args:
        degrees: (smallest, largest), or one number x for (-x, x). fill, center: as RandomAffine's.
    """

    def __init__(
        self,
        degrees: float | Sequence[float],
        fill: float | Sequence[float] = 0,
        center: Sequence[float] | None = None,
    ) -> None:
        low, high = interval("RandomRotation", "degrees", degrees, around=0)
        super().__init__((-high, -low), fill=fill, center=center)


def _padding(padding: int | Sequence[int] | None) -> tuple[int, int, int, int]:
    """(left, top, right, bottom)."""
    given = (0,) if padding is None else tuple(padding) if isinstance(padding, Sequence) else (padding,)
    if len(given) not in (1, 2, 4) or any(
        isinstance(value, bool) or not isinstance(value, int) or value < 0 for value in given
    ):
        raise ValueError(f"RandomCrop: padding must be one, two or four integers from 0 on, got {padding!r}")
    horizontal, vertical = given[0], given[1 % len(given)]
    return (horizontal, vertical, horizontal, vertical) if len(given) < 4 else given  # type: ignore[return-value]
