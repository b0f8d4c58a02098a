"""Augmentations that hide a part of the image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pynet.data.augment.base import Augmentation, interval, number, pair
from pynet.data.draws import Draws

_TRIES = 10  # torchvision's


class RandomErasing(Augmentation):
    """Overwrite a random rectangle with probability `p`; it lies inside the image.

    Args:
        scale: share of the image's area. ratio: height / width, drawn on a logarithmic scale.
        value: 0 to 255, one number or one a channel; "random" for noise.
    Source:
        Zhong et al. 2020, "Random erasing data augmentation".
    """

    def __init__(
        self,
        p: float = 0.5,
        scale: Sequence[float] = (0.02, 0.33),
        ratio: Sequence[float] = (0.3, 3.3),
        value: float | Sequence[float] | str = 0,
    ) -> None:
        self.p = number("RandomErasing", "p", p, 0, 1)
        self.scale = interval("RandomErasing", "scale", scale, 0, 1)
        self.ratio = interval("RandomErasing", "ratio", ratio, 1e-3, 1e3)
        if isinstance(value, str) and value != "random":
            raise ValueError(f"RandomErasing: value must be numbers or 'random', got {value!r}")
        self.value = value

    def apply(self, images: np.ndarray, draws: Draws) -> np.ndarray:
        height, width = images.shape[2:]
        chosen = draws.chosen(self.p)
        area = draws.uniform(_TRIES, *self.scale) * height * width
        ratio = np.exp(draws.uniform(_TRIES, *np.log(self.ratio)))
        h, w = np.rint(np.sqrt(area * ratio)), np.rint(np.sqrt(area / ratio))
        fits = (h < height) & (w < width) & (h > 0) & (w > 0)
        first, rows = fits.argmax(axis=1), np.arange(len(images))
        h, w = h[rows, first], w[rows, first]
        top, left = draws.integers(0, height - h + 1), draws.integers(0, width - w + 1)
        erased = chosen & fits.any(axis=1)
        values: Any = self.value
        if self.value == "random":
            values = (256 * draws.uniform(images[0].size)).astype(np.uint8).reshape(images.shape)
        inside = rectangles((height, width), top, left, h, w)
        return _overwritten(images, inside & erased[:, None, None], values)


class Cutout(Augmentation):
    """Overwrite a square whose centre is anywhere in the image; what of it lies outside is cut off.

    Args:
        size: its side, or (height, width). value: 0 to 255, one number or one a channel. p: probability.
    Source:
        DeVries, Taylor 2017, "Improved regularization of convolutional neural networks with cutout".
    """

    def __init__(
        self, size: int | tuple[int, int], value: float | Sequence[float] = 0, p: float = 1.0
    ) -> None:
        self.size = pair("Cutout", "size", size)
        self.value, self.p = value, number("Cutout", "p", p, 0, 1)

    def apply(self, images: np.ndarray, draws: Draws) -> np.ndarray:
        height, width = images.shape[2:]
        chosen = draws.chosen(self.p)
        top = draws.integers(0, height) - self.size[0] // 2
        left = draws.integers(0, width) - self.size[1] // 2
        h, w = (np.full(len(images), length) for length in self.size)
        return _overwritten(
            images, rectangles((height, width), top, left, h, w) & chosen[:, None, None], self.value
        )


def rectangles(
    size: tuple[int, int], top: np.ndarray, left: np.ndarray, height: np.ndarray, width: np.ndarray
) -> np.ndarray:
    """True inside, (N, H, W)."""
    rows, columns = np.arange(size[0]), np.arange(size[1])
    down = (rows >= top[:, None]) & (rows < (top + height)[:, None])
    across = (columns >= left[:, None]) & (columns < (left + width)[:, None])
    return down[:, :, None] & across[:, None, :]


def _overwritten(
    images: np.ndarray, where: np.ndarray, value: float | Sequence[float] | np.ndarray
) -> np.ndarray:
    values = np.asarray(value)
    if values.ndim <= 1:
        if values.size not in (1, images.shape[1]):
            raise ValueError(
                f"value must have one number or one a channel ({images.shape[1]}), got {value!r}"
            )
        values = np.clip(np.rint(values), 0, 255).astype(np.uint8).reshape(-1, 1, 1)
    changed = images.copy(order="K")
    np.copyto(changed, values, where=where[:, None])
    return changed
