"""Augmentation of uint8 batches (`pynet.data.augment`) beside the pipeline that users of PyTorch run in their
loaders' workers: Pillow on one image after another, then a tensor.

The other side needs Pillow; the calls are those that torchvision makes of Pillow for the transforms named
here. One loader process of PyTorch is one thread, so the figures of one thread are the ones to compare.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from bench.framework import Framework, nhwc
from bench.shapes import Case

TITLE = "Augmentation"
MODES = ("eager",)
# The two sides draw different numbers; only the mean brightness agrees.
CHECK_TOLERANCE = 0.1
_BATCH, _SIDE = 128, 32
CASES = [
    Case(f"{name}: {_BATCH}x3x{_SIDE}x{_SIDE}", {"name": name})
    for name in ("crop, flip", "affine", "colour", "crop, flip, affine, colour")
]


def prepare(fw: Framework, name: str) -> dict[str, Callable[[], Any]]:
    """One batch, changed and turned into float32."""
    noise = np.random.default_rng(0).normal(127, 50, (_BATCH, 3, _SIDE, _SIDE))
    images = np.clip(noise, 0, 255).astype(np.uint8)
    steps = name.split(", ")
    return {"batch": _pillow(fw, images, steps) if fw.name == "torch" else _pynet(images, steps)}


def _pynet(images: np.ndarray, steps: list[str]) -> Callable[[], Any]:
    from pynet.data import augment, transforms

    made: dict[str, Callable[[Any], Any]] = {
        "crop": augment.RandomCrop(_SIDE, padding=4, padding_mode="edge"),
        "flip": augment.RandomHorizontalFlip(),
        "affine": augment.RandomAffine(15, (0.1, 0.1), (0.9, 1.1), fill=127),
        "colour": augment.ColorJitter(0.2, 0.2, 0.2),
    }
    whole = transforms.Compose([*(made[step] for step in steps), transforms.ToFloat()])
    batch = nhwc(images)
    return lambda: whole(batch)


def _pillow(fw: Framework, images: np.ndarray, steps: list[str]) -> Callable[[], Any]:
    from PIL import Image, ImageEnhance, ImageOps

    rng, torch = np.random.default_rng(1), fw.lib
    pictures = [Image.fromarray(np.ascontiguousarray(image.transpose(1, 2, 0))) for image in images]

    def crop(picture: Any) -> Any:
        left, top = (int(k) for k in rng.integers(0, 9, 2))
        return ImageOps.expand(picture, 4, (127, 127, 127)).crop((left, top, left + _SIDE, top + _SIDE))

    def flip(picture: Any) -> Any:
        return picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if rng.random() < 0.5 else picture

    def affine(picture: Any) -> Any:
        angle, scale = np.radians(rng.uniform(-15, 15)), rng.uniform(0.9, 1.1)
        down, right = rng.integers(-3, 4, 2)
        a, b, middle = np.cos(angle) / scale, np.sin(angle) / scale, _SIDE / 2
        c = middle - a * (middle + right) - b * (middle + down)
        f = middle + b * (middle + right) - a * (middle + down)
        matrix = (a, b, c, -b, a, f)
        return picture.transform(
            picture.size, Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR, fillcolor=(127, 127, 127)
        )

    def colour(picture: Any) -> Any:
        for number in rng.permutation(3):
            kind = (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color)[number]
            picture = kind(picture).enhance(rng.uniform(0.8, 1.2))
        return picture

    made = {"crop": crop, "flip": flip, "affine": affine, "colour": colour}
    chain = [made[step] for step in steps]

    def batch() -> Any:
        tensors = []
        for picture in pictures:
            for change in chain:
                picture = change(picture)
            pixels = torch.from_numpy(np.array(picture)).permute(2, 0, 1).contiguous()
            tensors.append(pixels.to(torch.float32).div(255))
        return torch.stack(tensors)

    return batch
