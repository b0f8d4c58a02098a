"""The augmentations that ``pynet train --augment`` knows by name, at strengths that suit small images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..data import augment

# From the side of the image, in pixels, to the augmentation.
_OF_IMAGES: dict[str, Callable[[int], augment.Augmentation]] = {
    "flip": lambda side: augment.RandomHorizontalFlip(),
    # An eighth of the side: 4 pixels at 32, as He et al. 2016 do it on CIFAR-10.
    "shift": lambda side: augment.RandomCrop(side, padding=max(1, side // 8), padding_mode="edge"),
    "crop": lambda side: augment.RandomCrop(side, padding=max(1, side // 8)),
    "zoom": lambda side: augment.RandomResizedCrop(side, scale=(0.5, 1)),
    "rotate": lambda side: augment.RandomRotation(15),
    "affine": lambda side: augment.RandomAffine(10, translate=(0.1, 0.1), scale=(0.9, 1.1), shear=5),
    "color": lambda side: augment.ColorJitter(0.2, 0.2, 0.2),
    "blur": lambda side: augment.GaussianBlur(3),
    "noise": lambda side: augment.GaussianNoise(sigma=0.05),
    # Half of the side: 16 pixels at 32, DeVries and Taylor's for CIFAR-10.
    "cutout": lambda side: augment.Cutout(max(1, side // 2)),
    "erase": lambda side: augment.RandomErasing(),
    "randaugment": lambda side: augment.RandAugment(),
}
_OF_BATCHES: dict[str, type[augment.MixUp] | type[augment.CutMix]] = {
    "mixup": augment.MixUp,
    "cutmix": augment.CutMix,
}
# Zhang et al. 2018 and Yun et al. 2019.
_ALPHA = {"mixup": 0.2, "cutmix": 1.0}
NAMES = (*_OF_IMAGES, *_OF_BATCHES)


def check(names: Sequence[str]) -> None:
    """Refuse what there is not.

    Raises:
        ValueError: a name is unknown, or two of them mix batches.
    """
    unknown = [name for name in names if name not in NAMES]
    if unknown:
        raise ValueError(f"no augmentation is called {unknown[0]!r}; there are {', '.join(NAMES)}")
    if len([name for name in names if name in _OF_BATCHES]) > 1:
        raise ValueError(f"augmentation: of {' and '.join(_OF_BATCHES)} only one can be applied")


def of_images(names: Sequence[str], side: int) -> list[augment.Augmentation]:
    """The named augmentations of single images, `side` pixels high and wide."""
    return [_OF_IMAGES[name](side) for name in names if name in _OF_IMAGES]


def of_batches(names: Sequence[str], classes: int) -> Callable[[Any, Any], tuple[Any, Any]] | None:
    """The one among the names that mixes the images of a batch, or None."""
    for name in names:
        if name in _OF_BATCHES:
            return _OF_BATCHES[name](alpha=_ALPHA[name], num_classes=classes)
    return None
