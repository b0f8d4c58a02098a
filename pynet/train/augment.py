"""Cheap random changes of a training batch, drawn from pynet's generator: the seed and the checkpoint rule
them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from .. import random

Augmentation = Callable[[np.ndarray], np.ndarray]


def flip_horizontally(images: np.ndarray) -> np.ndarray:
    """Mirror each image of (N, C, H, W) left to right with probability 1/2."""
    chosen = _generator().random(len(images)) < 0.5
    flipped = images.copy(order="K")  # keeps the memory order, which np.where would not
    flipped[chosen] = images[chosen][..., ::-1]
    return flipped


def shift(images: np.ndarray, pixels: int = 1) -> np.ndarray:
    """Shift each image of (N, C, H, W) by up to `pixels` in both directions; what enters repeats the edge."""
    height, width = images.shape[2:]
    moves = _generator().integers(-pixels, pixels + 1, size=(len(images), 2))
    shifted = images.copy(order="K")
    for down, right in np.unique(moves, axis=0):
        chosen = (moves == (down, right)).all(axis=1)
        rows = np.clip(np.arange(height) - down, 0, height - 1)
        columns = np.clip(np.arange(width) - right, 0, width - 1)
        shifted[chosen] = images[chosen][:, :, rows[:, None], columns]
    return shifted


AUGMENTATIONS: dict[str, Augmentation] = {"flip": flip_horizontally, "shift": shift}


def compose(names: Sequence[str]) -> Augmentation | None:
    """Return the named augmentations as one, applied in order; None for no name.

    Raises:
        ValueError: a name is unknown.
    """
    unknown = [name for name in names if name not in AUGMENTATIONS]
    if unknown:
        raise ValueError(f"no augmentation is called {unknown[0]!r}; there are {', '.join(AUGMENTATIONS)}")
    if not names:
        return None

    def apply(images: np.ndarray) -> np.ndarray:
        for name in names:
            images = AUGMENTATIONS[name](images)
        return images

    return apply


def _generator() -> np.random.Generator:
    source = random.default_generator
    return np.random.Generator(np.random.Philox(key=np.array([source.seed, source.next_offset()], np.uint64)))
