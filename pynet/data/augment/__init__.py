"""Augmentation of uint8 images: random changes that leave the label true, under torchvision's names.

    from pynet.data import augment, transforms

    transform = transforms.Compose([
        augment.RandomCrop(32, padding=4),
        augment.RandomHorizontalFlip(),
        augment.ColorJitter(brightness=0.2, contrast=0.2),
        transforms.Normalize(mean, std),
    ])
    loader = DataLoader(train.with_transform(transform), 128, shuffle=True)

They take whole batches (N, C, H, W) and run in C++ on all threads. The numbers that rule a sample depend on
the loader's seed, the epoch and the sample's index alone: not on workers, threads or batches. Neighbouring
geometric ones become one affine warp with one interpolation. `contact_sheet` shows what comes out.
"""

from pynet.data.augment.base import Augmentation
from pynet.data.augment.color import ColorJitter, GaussianBlur, GaussianNoise, RandomGrayscale
from pynet.data.augment.erase import Cutout, RandomErasing
from pynet.data.augment.geometry import (
    RandomAffine,
    RandomCrop,
    RandomHorizontalFlip,
    RandomResizedCrop,
    RandomRotation,
    RandomVerticalFlip,
)
from pynet.data.augment.mix import CutMix, MixUp
from pynet.data.augment.rand_augment import RandAugment
from pynet.data.augment.sheet import contact_sheet

__all__ = [
    "Augmentation",
    "ColorJitter",
    "CutMix",
    "Cutout",
    "GaussianBlur",
    "GaussianNoise",
    "MixUp",
    "RandAugment",
    "RandomAffine",
    "RandomCrop",
    "RandomErasing",
    "RandomGrayscale",
    "RandomHorizontalFlip",
    "RandomResizedCrop",
    "RandomRotation",
    "RandomVerticalFlip",
    "contact_sheet",
]
