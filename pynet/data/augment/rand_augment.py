"""RandAugment: a few operations of one strength, drawn from a fixed list for each image."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from pynet.data.augment.base import Augmentation, number
from pynet.data.augment.color import adjust
from pynet.data.augment.geometry import affine, warp
from pynet.data.draws import Draws

# An operation: images (M, C, H, W) and the strength of each, a signed share of the strongest in [-1, 1].
Change = Callable[[np.ndarray, np.ndarray], np.ndarray]


class RandAugment(Augmentation):
    """`num_ops` random operations an image, all of strength `magnitude`.

    The operations and their ranges are torchvision's: identity, shear and translation along x and y,
    rotation, brightness, colour, contrast, sharpness, posterize, solarize, autocontrast, equalize.

    Args:
        num_ops: operations one after another. magnitude: strength, from 0 to num_magnitude_bins - 1.
        num_magnitude_bins: number of strengths. fill: what comes in from outside, 0 to 255.
    Source:
        Cubuk et al. 2020, "RandAugment: practical automated data augmentation with a reduced search space".
    """

    def __init__(
        self, num_ops: int = 2, magnitude: int = 9, num_magnitude_bins: int = 31, fill: float = 0
    ) -> None:
        counts = {
            "num_ops": (num_ops, 0),
            "magnitude": (magnitude, 0),
            "num_magnitude_bins": (num_magnitude_bins, 2),
        }
        for name, (value, least) in counts.items():
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise ValueError(f"RandAugment: {name} must be an integer of at least {least}, got {value!r}")
        if magnitude >= num_magnitude_bins:
            raise ValueError(
                f"RandAugment: magnitude must be below {num_magnitude_bins}, its bins, not {magnitude}"
            )
        self.num_ops, self.magnitude, self.num_magnitude_bins = num_ops, magnitude, num_magnitude_bins
        self.fill = number("RandAugment", "fill", fill, 0, 255)

    def apply(self, images: np.ndarray, draws: Draws) -> np.ndarray:
        share = self.magnitude / (self.num_magnitude_bins - 1)
        changes = self._changes()
        changed = images.copy(order="K")
        for _ in range(self.num_ops):
            which = draws.integers(0, len(changes))
            strength = np.where(draws.chosen(0.5), -share, share)
            for number_, change in enumerate(changes):
                rows = np.flatnonzero(which == number_)
                if len(rows):
                    changed[rows] = change(changed[rows], strength[rows])
        return changed

    def _changes(self) -> list[Change]:
        def moved(angle: float = 0, right: float = 0, down: float = 0, x: float = 0, y: float = 0) -> Change:
            def change(images: np.ndarray, strength: np.ndarray) -> np.ndarray:
                size, column = images.shape[2:], strength[:, None]
                # Whole pixels, cut off as torchvision cuts them.
                shift = np.trunc(column * [right * size[1], down * size[0]])
                maps = affine(size, angle * strength, shift, np.ones(len(images)), column * [x, y])
                return warp(images, maps, size, self.fill)

            return change

        def coloured(column: int) -> Change:
            def change(images: np.ndarray, strength: np.ndarray) -> np.ndarray:
                factors = np.tile(np.array([1.0, 1, 1, 0]), (len(images), 1))
                factors[:, column] += 0.9 * strength
                return adjust(images, factors)

            return change

        shear = float(np.degrees(np.arctan(0.3)))
        return [
            lambda images, strength: images,
            moved(x=shear), moved(y=shear), moved(right=150 / 331), moved(down=150 / 331), moved(angle=30),
            coloured(0), coloured(2), coloured(1), sharpened,
            posterized, solarized, autocontrasted, equalized,
        ]  # fmt: skip


def sharpened(images: np.ndarray, strength: np.ndarray) -> np.ndarray:
    """Away from (factor above 1) or towards the image smoothed by a 3x3 kernel; the border stays."""
    pixels = images.astype(np.float32)
    if min(images.shape[2:]) < 3:
        return images
    rows = pixels[:, :, :-2] + pixels[:, :, 1:-1] + pixels[:, :, 2:]
    around = rows[..., :-2] + rows[..., 1:-1] + rows[..., 2:]
    inner = pixels[:, :, 1:-1, 1:-1]
    smooth = np.rint((around + 4 * inner) / 13)
    factor = (1 + 0.9 * strength).astype(np.float32)[:, None, None, None]
    changed = images.copy(order="K")
    changed[:, :, 1:-1, 1:-1] = np.clip(np.floor(factor * inner + (1 - factor) * smooth), 0, 255)
    return changed


def posterized(images: np.ndarray, strength: np.ndarray) -> np.ndarray:
    """Fewer bits a pixel, 8 down to 4."""
    bits = 8 - np.rint(4 * np.abs(strength)).astype(np.int64)
    return images & (256 - (1 << (8 - bits))).astype(np.uint8)[:, None, None, None]


def solarized(images: np.ndarray, strength: np.ndarray) -> np.ndarray:
    """Invert what is at least as bright as a threshold, 255 down to 0."""
    threshold = (255 * (1 - np.abs(strength)))[:, None, None, None]
    return np.where(images >= threshold, 255 - images, images).astype(np.uint8)


def autocontrasted(images: np.ndarray, strength: np.ndarray) -> np.ndarray:
    """Stretch each channel to 0 .. 255; a channel of one value stays."""
    low = images.min(axis=(2, 3), keepdims=True).astype(np.float32)
    high = images.max(axis=(2, 3), keepdims=True).astype(np.float32)
    flat = high == low
    scale = np.float32(255) / np.where(flat, np.float32(1), high - low)
    return np.where(flat, images, np.clip((images - low) * scale, 0, 255)).astype(np.uint8)


def equalized(images: np.ndarray, strength: np.ndarray) -> np.ndarray:
    """Make the histogram of each channel even, with Pillow's rule for the table."""
    samples, channels, height, width = images.shape
    planes = images.reshape(samples * channels, height * width)
    rows = np.arange(len(planes))[:, None]
    counts = np.zeros((len(planes), 256), np.int64)
    np.add.at(counts, (rows, planes), 1)
    # Pixels of the brightest value present do not count towards the step.
    brightest = 255 - (counts[:, ::-1] > 0).argmax(axis=1)
    step = (height * width - counts[rows[:, 0], brightest]) // 255
    before = np.cumsum(counts, axis=1) - counts
    table = np.minimum((before + step[:, None] // 2) // np.maximum(step, 1)[:, None], 255)
    table = np.where(step[:, None] == 0, np.arange(256), table).astype(np.uint8)
    return table[rows, planes].reshape(images.shape)
