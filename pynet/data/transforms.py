"""Transforms: from stored images to what a network sees.

A transform is a callable. Those with `batched = True` take one sample (C, H, W) and a whole batch (N, C, H,
W) alike, so a loader applies them once a batch. Those with `random = True` draw numbers (`augment`). uint8
images count as value / 255 everywhere: means and standard deviations are in units of [0, 1], whatever the
images are stored as.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from pynet.data.dataset import as_array
from pynet.data.extras import require
from pynet.data.gather import empty_batch, memory_axes


def _affine(image: np.ndarray, scale: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """float32 `image * scale + shift` per channel (axis -3), in the memory order of `image`."""
    if image.ndim < 3:
        raise ValueError(f"transform: an image must be (C, H, W) or (N, C, H, W), got shape {image.shape}")
    if len(scale) not in (1, image.shape[-3]):
        raise ValueError(
            f"transform: {len(scale)} channels in the statistics, but the image has "
            f"{image.shape[-3]}; its shape is "
            f"{image.shape}, (C, H, W) or (N, C, H, W) is expected"
        )
    axes = memory_axes(image) if image.ndim > 3 else tuple(axis - 1 for axis in memory_axes(image[None])[1:])
    out = empty_batch(image.shape, np.float32, axes)
    np.multiply(image, scale.astype(np.float32).reshape(-1, 1, 1), out=out, casting="same_kind")
    out += shift.astype(np.float32).reshape(-1, 1, 1)
    return out


def _image_array(image: Any, owner: str) -> np.ndarray:
    array = as_array(image, owner)
    if array.dtype != np.uint8 and array.dtype.kind != "f":
        raise TypeError(f"{owner}: an image must be uint8 or float, got dtype {array.dtype}")
    return array


def _unit(array: np.ndarray) -> float:
    """What one step of this dtype is worth: 1/255 for uint8."""
    return 1 / 255 if array.dtype == np.uint8 else 1.0


class Compose:
    """Transforms one after another; `batched` when all of them are.

    Neighbours that can be done in one step (the warps of `augment`) are joined.

    Attributes:
        transforms: what is done, joined ones as one.
    """

    def __init__(self, transforms: Sequence[Callable[[Any], Any]]) -> None:
        self.transforms: list[Callable[[Any], Any]] = []
        for transform in transforms:
            join = getattr(self.transforms[-1], "joined", None) if self.transforms else None
            joined = join(transform) if join is not None else None
            if joined is None:
                self.transforms.append(transform)
            else:
                self.transforms[-1] = joined

    @property
    def batched(self) -> bool:
        """Whether every part takes whole batches."""
        return all(getattr(transform, "batched", False) for transform in self.transforms)

    @property
    def random(self) -> bool:
        """Whether a part draws random numbers."""
        return any(getattr(transform, "random", False) for transform in self.transforms)

    def __call__(self, image: Any) -> Any:
        for transform in self.transforms:
            image = transform(image)
        return image

    def __repr__(self) -> str:
        return f"Compose({self.transforms})"


class ToFloat:
    """uint8 (C, H, W) or (N, C, H, W) to float32 in [0, 1]; floats become float32 unscaled."""

    batched = True

    def __call__(self, image: Any) -> np.ndarray:
        array = _image_array(image, "ToFloat")
        return _affine(array, np.array([_unit(array)]), np.zeros(1))

    def __repr__(self) -> str:
        return "ToFloat()"


class ToTensor:
    """A Pillow image or an array (H, W, C) or (H, W) to float32 (C, H, W), in kernel order.

    uint8 and one-bit images are scaled to [0, 1]; a float array is only rearranged.

    Raises:
        ValueError: another number of axes. TypeError: other dtypes.
    """

    def __call__(self, image: Any) -> np.ndarray:
        array = np.asarray(image)
        if array.dtype == bool:
            array = array.astype(np.uint8) * np.uint8(255)
        array = _image_array(array, "ToTensor")
        if array.ndim == 2:
            array = array[:, :, None]
        if array.ndim != 3:
            raise ValueError(f"ToTensor: an image must be (H, W, C) or (H, W), got shape {array.shape}")
        return ToFloat()(np.ascontiguousarray(array).transpose(2, 0, 1))

    def __repr__(self) -> str:
        return "ToTensor()"


class Normalize:
    """`(image - mean) / std` per channel, float32.

    Args:
        mean, std: (C,) or one number, in units of [0, 1].
    Raises:
        ValueError: a std that is not positive or finite, or lengths that differ.
    """

    batched = True

    def __init__(
        self, mean: float | Sequence[float] | np.ndarray, std: float | Sequence[float] | np.ndarray
    ) -> None:
        self.mean, self.std = (np.atleast_1d(np.asarray(value, np.float64)) for value in (mean, std))
        if self.mean.ndim != 1 or self.mean.shape != self.std.shape:
            raise ValueError(
                f"{type(self).__name__}: mean and std must be equally long, got {self.mean.shape} and "
                f"{self.std.shape}"
            )
        if not (np.isfinite(self.mean).all() and np.isfinite(self.std).all() and (self.std > 0).all()):
            raise ValueError(
                f"{type(self).__name__}: std must be positive and finite, got mean {mean}, std {std}"
            )

    def __call__(self, image: Any) -> np.ndarray:
        array = _image_array(image, type(self).__name__)
        return _affine(array, _unit(array) / self.std, -self.mean / self.std)

    def inverse(self, image: Any) -> np.ndarray:
        """Back from normalised values to float32 in units of [0, 1]."""
        return _affine(_image_array(image, type(self).__name__), self.std, self.mean)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(mean={self.mean.tolist()}, std={self.std.tolist()})"


class Resize:
    """Resizes a Pillow image (bilinear, with antialiasing).

    Args:
        size: (height, width), or an int for the shorter side with the aspect kept.
    """

    def __init__(self, size: int | tuple[int, int]) -> None:
        sizes = (size,) if isinstance(size, int) else tuple(size)
        if len(sizes) not in (1, 2) or any(
            isinstance(s, bool) or not isinstance(s, int) or s < 1 for s in sizes
        ):
            raise ValueError(f"Resize: size must be a positive int or (height, width), got {size!r}")
        self.size = size if isinstance(size, int) else sizes

    def __call__(self, image: Any) -> Any:
        pillow = require("PIL.Image", "Resize")
        image = _pillow_image(image, "Resize")
        if isinstance(self.size, int):
            shorter = min(image.size)
            width, height = (max(1, round(side * self.size / shorter)) for side in image.size)
        else:
            height, width = self.size
        return image.resize((width, height), pillow.Resampling.BILINEAR)

    def __repr__(self) -> str:
        return f"Resize({self.size})"


class Grayscale:
    """A Pillow image in one channel, or in three equal ones with `num_output_channels=3`."""

    def __init__(self, num_output_channels: int = 1) -> None:
        if num_output_channels not in (1, 3):
            raise ValueError(f"Grayscale: num_output_channels must be 1 or 3, got {num_output_channels!r}")
        self.num_output_channels = num_output_channels

    def __call__(self, image: Any) -> Any:
        grey = _pillow_image(image, "Grayscale").convert("L")
        return grey if self.num_output_channels == 1 else grey.convert("RGB")

    def __repr__(self) -> str:
        return f"Grayscale({self.num_output_channels})"


def _pillow_image(image: Any, owner: str) -> Any:
    """A Pillow image from a Pillow image or a uint8 array (H, W) or (H, W, 3)."""
    pillow = require("PIL.Image", owner)
    if isinstance(image, pillow.Image):
        return image
    if isinstance(image, np.ndarray) and image.dtype == np.uint8 and image.ndim in (2, 3):
        return pillow.fromarray(image[:, :, 0] if image.shape[2:] == (1,) else image)
    raise TypeError(
        f"{owner}: a Pillow image or a uint8 array (H, W) or (H, W, 3) is expected, got "
        f"{type(image).__name__}"
    )
