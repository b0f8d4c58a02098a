"""Augmentations of colour, sharpness and noise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pynet import _core
from pynet.data.augment.base import Augmentation, interval, number, pair
from pynet.data.draws import Draws

_ONE = 65536  # the kernel's factors have 16 binary digits behind the point
_TURN = 24576  # a turn of the hue circle in the kernel


class ColorJitter(Augmentation):
    """Change brightness, contrast, saturation and hue, in a random order.

    Grey images have neither saturation nor hue; theirs stay.

    Args:
        brightness, contrast, saturation: x for a factor in [max(0, 1 - x), 1 + x], or the range itself; 0:
            none.
        hue: x in [0, 0.5] for a turn in [-x, x] of the circle, or the range itself.
    """

    def __init__(
        self,
        brightness: float | Sequence[float] = 0,
        contrast: float | Sequence[float] = 0,
        saturation: float | Sequence[float] = 0,
        hue: float | Sequence[float] = 0,
    ) -> None:
        self.brightness = interval("ColorJitter", "brightness", brightness, 0, 1e3, around=1)
        self.contrast = interval("ColorJitter", "contrast", contrast, 0, 1e3, around=1)
        self.saturation = interval("ColorJitter", "saturation", saturation, 0, 1e3, around=1)
        self.hue = interval("ColorJitter", "hue", hue, -0.5, 0.5, around=0)

    def apply(self, images: np.ndarray, draws: Draws) -> np.ndarray:
        order = np.argsort(draws.uniform(4), axis=1)
        limits = np.array([self.brightness, self.contrast, self.saturation, self.hue])
        factors = limits[:, 0] + (limits[:, 1] - limits[:, 0]) * draws.uniform(4)
        return adjust(images, factors, order)


class RandomGrayscale(Augmentation):
    """Take the colour away with probability `p`; the channels stay."""

    def __init__(self, p: float = 0.1) -> None:
        self.p = number("RandomGrayscale", "p", p, 0, 1)

    def apply(self, images: np.ndarray, draws: Draws) -> np.ndarray:
        factors = np.tile(np.array([1.0, 1, 1, 0]), (len(images), 1))
        factors[draws.chosen(self.p), 2] = 0
        return adjust(images, factors)


def adjust(images: np.ndarray, factors: np.ndarray, order: np.ndarray | None = None) -> np.ndarray:
    """Brightness, contrast, saturation (factors) and hue (turns): (N, 4), applied in `order` (N, 4)."""
    fixed = np.rint(factors * [_ONE, _ONE, _ONE, _TURN]).astype(np.int32)
    if order is None:
        order = np.tile(np.arange(4), (len(images), 1))
    return _core.augment_color(images, fixed, order.astype(np.int32))


class GaussianBlur(Augmentation):
    """Blur; outside the image stands its mirror.

    Args:
        kernel_size: width of the kernel, odd.
        sigma: its deviation in pixels, or the range it is drawn from.
    Raises:
        ValueError: when applied, the image is not larger than half the kernel.
    """

    def __init__(self, kernel_size: int, sigma: float | Sequence[float] = (0.1, 2.0)) -> None:
        self.kernel_size = pair("GaussianBlur", "kernel_size", kernel_size)[0]
        if self.kernel_size % 2 == 0:
            raise ValueError(f"GaussianBlur: kernel_size must be odd, got {kernel_size}")
        limits: Any = sigma if isinstance(sigma, Sequence) else (sigma, sigma)
        self.sigma = interval("GaussianBlur", "sigma", limits, 1e-3, 1e3)

    def apply(self, images: np.ndarray, draws: Draws) -> np.ndarray:
        sigma = draws.uniform(1, *self.sigma) if self.sigma[0] < self.sigma[1] else self.sigma[0]
        distance = np.arange(self.kernel_size) - self.kernel_size // 2
        # log of the weight, kept from underflow: far taps of a narrow kernel are 0
        weights = np.exp(np.maximum(-0.5 * (distance / np.full((len(images), 1), sigma)) ** 2, -700.0))
        fixed = np.rint(weights / weights.sum(axis=1, keepdims=True) * _ONE).astype(np.int32)
        fixed[:, self.kernel_size // 2] += _ONE - fixed.sum(axis=1, dtype=np.int32)  # so that grey stays grey
        return _core.augment_blur(images, fixed)


class GaussianNoise(Augmentation):
    """Add normal noise.

    Args:
        mean, sigma: of the noise, in units of [0, 1] (1 is white).
    """

    def __init__(self, mean: float = 0.0, sigma: float = 0.1) -> None:
        self.mean = number("GaussianNoise", "mean", mean)
        self.sigma = number("GaussianNoise", "sigma", sigma, 0)

    def apply(self, images: np.ndarray, draws: Draws) -> np.ndarray:
        samples, channels, height, width = images.shape
        noise = draws.normal(channels * height * width).astype(np.float32)
        noise = noise.reshape(samples, height, width, channels).transpose(0, 3, 1, 2)
        noisy = images + (noise * np.float32(255 * self.sigma) + np.float32(255 * self.mean))
        return np.clip(np.rint(noisy, out=noisy), 0, 255, out=noisy).astype(np.uint8)
