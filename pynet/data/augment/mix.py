"""MixUp and CutMix: augmentations of a whole batch, images and labels at once.

They come after the loader: called with images and labels, or as a Trainer's `augment`. The partners of a
sample are those of its batch, so the numbers are the batch's, from the generator that `pynet.manual_seed`
sets and checkpoints keep.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pynet import random as pynet_random
from pynet.autograd import Tensor, wrap
from pynet.data.augment.base import number
from pynet.data.dataset import as_array


class _Mix:
    def __init__(self, *, alpha: float = 1.0, num_classes: int) -> None:
        owner = type(self).__name__
        self.alpha = number(owner, "alpha", alpha, 1e-6, 1e6)
        if isinstance(num_classes, bool) or not isinstance(num_classes, int) or num_classes < 1:
            raise ValueError(f"{owner}: num_classes must be an integer of at least 1, got {num_classes!r}")
        self.num_classes = num_classes

    def mix(self, images: np.ndarray, share: float, generator: np.random.Generator) -> float:
        """Change float images in place; return the share of their own label that is left."""
        raise NotImplementedError

    def __call__(self, images: Any, labels: Any) -> tuple[Any, Any]:
        """Mix float images (N, C, H, W) with labels (N,) or probabilities (N, C).

        Returns:
            The images, and float32 probabilities (N, num_classes), as Tensors if Tensors came in.
        """
        owner = type(self).__name__
        array, given = as_array(images, owner), as_array(labels, owner)
        if array.dtype.kind != "f" or array.ndim != 4:
            raise TypeError(
                f"{owner}: images must be float (N, C, H, W), got {array.dtype} {array.shape}; mix after the "
                "preprocessing"
            )
        targets = self._probabilities(given, len(array))
        generator = pynet_random.numpy_generator()
        mixed = array.copy(order="K")
        share = np.float32(self.mix(mixed, float(generator.beta(self.alpha, self.alpha)), generator))
        targets = share * targets + (1 - share) * np.roll(targets, 1, axis=0)
        if isinstance(images, Tensor):
            return wrap(mixed), wrap(targets)
        return mixed, targets

    def _probabilities(self, labels: np.ndarray, samples: int) -> np.ndarray:
        owner, classes = type(self).__name__, self.num_classes
        if labels.shape == (samples, classes) and labels.dtype.kind == "f":
            return labels.astype(np.float32)
        if labels.shape != (samples,) or labels.dtype.kind not in "iu":
            raise ValueError(
                f"{owner}: labels must be integers ({samples},) or probabilities ({samples}, {classes}), got "
                f"{labels.dtype} {labels.shape}"
            )
        if labels.size and not 0 <= labels.min() <= labels.max() < classes:
            raise ValueError(
                f"{owner}: labels must be in [0, {classes}), got {labels.min()} to {labels.max()}"
            )
        return np.eye(classes, dtype=np.float32)[labels]

    def __repr__(self) -> str:
        return f"{type(self).__name__}(alpha={self.alpha}, num_classes={self.num_classes})"


class MixUp(_Mix):
    """Every image is a sum of two, and so is its label: shares x and 1 - x, x from Beta(alpha, alpha).

    Args:
        alpha: of the Beta distribution. num_classes: of the labels.
    Source:
        Zhang et al. 2018, "mixup: beyond empirical risk minimization".
    """

    def mix(self, images: np.ndarray, share: float, generator: np.random.Generator) -> float:
        other = np.roll(images, 1, axis=0)
        images *= np.asarray(share, images.dtype)
        images += np.asarray(1 - share, images.dtype) * other
        return share


class CutMix(_Mix):
    """Every image gets a rectangle of another; the label's shares are those of the area.

    Args:
        alpha: of the Beta distribution that the area is drawn from. num_classes: of the labels.
    Source:
        Yun et al. 2019, "CutMix: regularization strategy to train strong classifiers".
    """

    def mix(self, images: np.ndarray, share: float, generator: np.random.Generator) -> float:
        height, width = images.shape[2:]
        side = 0.5 * np.sqrt(1 - share)
        row, column = int(generator.integers(height)), int(generator.integers(width))
        top, bottom = (int(np.clip(row + d * side * height, 0, height)) for d in (-1, 1))
        left, right = (int(np.clip(column + d * side * width, 0, width)) for d in (-1, 1))
        images[:, :, top:bottom, left:right] = np.roll(images, 1, axis=0)[:, :, top:bottom, left:right]
        return 1 - (bottom - top) * (right - left) / (height * width)
