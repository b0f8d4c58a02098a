"""What every augmentation is: a transform of uint8 images, batched, that draws its numbers a sample at a
time.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from pynet.data.dataset import as_array
from pynet.data.draws import Draws, current


class Augmentation:
    """Base class; a subclass defines `apply`.

    Called with uint8 images (N, C, H, W), one image (C, H, W) or a Pillow image; returns the same kind.

    Raises:
        TypeError: images that are no uint8: augmentation comes before the preprocessing.
    """

    batched = True
    random = True

    def apply(self, images: np.ndarray, draws: Draws) -> np.ndarray:
        """uint8 (N, C, H, W) to uint8 (N, C, H', W'); `images` is not written to."""
        raise NotImplementedError

    def __call__(self, images: Any) -> Any:
        if hasattr(images, "getbands"):  # a Pillow image
            pixels = np.asarray(images if images.mode in ("L", "RGB") else images.convert("RGB"))
            planes = pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)
            return _pillow(self(planes))
        array = as_array(images, type(self).__name__)
        if array.dtype != np.uint8:
            raise TypeError(
                f"{type(self).__name__}: images must be uint8, got {array.dtype}; augment before scaling"
            )
        if array.ndim not in (3, 4) or 0 in array.shape[-3:]:
            raise ValueError(
                f"{type(self).__name__}: images must be (N, C, H, W) or (C, H, W), got shape {array.shape}"
            )
        batch = array if array.ndim == 4 else array[None]
        changed = self.apply(batch, current(len(batch))) if len(batch) else batch
        return changed if array.ndim == 4 else changed[0]

    def __repr__(self) -> str:
        shown = ", ".join(f"{key}={value!r}" for key, value in vars(self).items() if not key.startswith("_"))
        return f"{type(self).__name__}({shown})"


def _pillow(planes: np.ndarray) -> Any:
    from PIL import Image

    return Image.fromarray(np.ascontiguousarray(planes[0] if len(planes) == 1 else planes.transpose(1, 2, 0)))


def number(owner: str, name: str, value: Any, low: float = -math.inf, high: float = math.inf) -> float:
    """`value` as a float.

    Raises:
        TypeError: no number. ValueError: not in [low, high].
    """
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise TypeError(f"{owner}: {name} must be a number, got {value!r}")
    if not low <= value <= high or not math.isfinite(value):
        raise ValueError(f"{owner}: {name} must be {_within(low, high)}, got {value!r}")
    return float(value)


def interval(
    owner: str,
    name: str,
    value: Any,
    low: float = -math.inf,
    high: float = math.inf,
    around: float | None = None,
) -> tuple[float, float]:
    """A pair (smallest, largest); where `around` is given, one number x means (around - x, around + x).

    Raises:
        TypeError, ValueError: as `number`, or the first is above the second.
    """
    if around is not None and isinstance(value, (int, float)) and not isinstance(value, bool):
        span = number(owner, name, value, 0.0)
        return max(around - span, low), min(around + span, high)
    if not isinstance(value, Sequence) or isinstance(value, str) or len(value) != 2:
        one = "a number or " if around is not None else ""
        raise TypeError(f"{owner}: {name} must be {one}a pair (smallest, largest), got {value!r}")
    first, second = (number(owner, name, part, low, high) for part in value)
    if first > second:
        raise ValueError(f"{owner}: {name} must rise from its first number to its second, got {value!r}")
    return first, second


def pair(owner: str, name: str, value: Any, least: int = 1) -> tuple[int, int]:
    """Two integers (vertical, horizontal) of at least `least`; one counts for both."""
    values = tuple(value) if isinstance(value, (tuple, list)) else (value, value)
    if len(values) != 2 or any(isinstance(v, bool) or not isinstance(v, (int, np.integer)) for v in values):
        raise TypeError(f"{owner}: {name} must be an integer or two, got {value!r}")
    if min(values) < least:
        raise ValueError(f"{owner}: {name} must be at least {least}, got {value!r}")
    return int(values[0]), int(values[1])


def _within(low: float, high: float) -> str:
    if math.isinf(high):
        return "finite" if math.isinf(low) else f"at least {low:g} and finite"
    return f"from {low:g} to {high:g}"
