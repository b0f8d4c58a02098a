"""Centring and scaling: of each pixel, or of each channel."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..gather import empty_batch, memory_axes
from .base import Preprocessor, unit


class _Scaling(Preprocessor):
    """`(x - mean) / std`, per pixel or per channel, with or without the division.

    Attributes:
        mean, std: float64, of a sample's shape, or (C,). In units of [0, 1] for uint8 images. A pixel or
            channel that never varies has std 1, and std is 1 everywhere where nothing is divided.
    """

    per_channel = False
    divides = False

    def _forget(self) -> None:
        super()._forget()
        self.mean: np.ndarray | None = None
        self.std: np.ndarray | None = None
        self._squares: Any = 0.0  # sum of squared distances from the mean
        self._count = 0

    def _check_batch(self, array: np.ndarray) -> None:
        super()._check_batch(array)
        if self.per_channel and array.ndim != 4:
            raise ValueError(f"{self._name}.fit: images must be (N, C, H, W), got shape {array.shape}")

    def _add(self, values: np.ndarray) -> None:
        """Merge a batch's moments (Chan, Golub and LeVeque 1979): one pass, without the cancellation of
        E[x^2].
        """
        axes = (0, 2, 3) if self.per_channel else (0,)
        mean = values.mean(axis=axes)
        count = values.size // mean.size
        centred = values - (mean[:, None, None] if self.per_channel else mean)
        squares = np.square(centred, out=centred).sum(axis=axes)
        before = mean if self.mean is None else self.mean
        step, total = mean - before, self._count + count
        self.mean = before + step * (count / total)
        self._squares = self._squares + squares + step**2 * (self._count * count / total)
        self._count = total
        deviation = np.sqrt(self._squares / total)
        self.std = np.where(deviation > 0, deviation, 1.0) if self.divides else np.ones_like(self.mean)

    def _transform(self, array: np.ndarray) -> np.ndarray:
        batch, single, mean, std = self._aligned(array)
        out = empty_batch(batch.shape, np.float32, memory_axes(batch))
        # Subtracted in the images' own precision: a table may lie far from zero.
        precision = np.promote_types(batch.dtype, np.float32)
        np.subtract(batch, (mean / unit(batch)).astype(precision), out=out, casting="same_kind")
        out *= (unit(batch) / std).astype(np.float32)
        return out[0] if single else out

    def _inverse(self, array: np.ndarray) -> np.ndarray:
        batch, single, mean, std = self._aligned(array)
        out = empty_batch(batch.shape, np.float32, memory_axes(batch))
        np.multiply(batch, std.astype(np.float32), out=out, casting="same_kind")
        out += mean.astype(np.float32)
        return out[0] if single else out

    def _aligned(self, array: np.ndarray) -> tuple[np.ndarray, bool, np.ndarray, np.ndarray]:
        """A batch, whether it was a single sample, and mean and std so that they broadcast over it."""
        assert self.mean is not None and self.std is not None
        if not self.per_channel:
            return *self._as_batch(array), self.mean, self.std
        if array.ndim not in (3, 4) or array.shape[-3] != len(self.mean):
            raise ValueError(
                f"{self._name}: it was fitted on images with {len(self.mean)} channels, (C, H, W) or "
                f"(N, C, H, W) is expected, got shape {array.shape}"
            )
        single = array.ndim == 3
        return array[None] if single else array, single, self.mean[:, None, None], self.std[:, None, None]

    def _state(self) -> dict[str, Any]:
        return {"mean": self.mean, "std": self.std}

    def _restore(self, state: dict[str, Any]) -> None:
        mean, std = (np.asarray(state[key], np.float64) for key in ("mean", "std"))
        expected = self.shape[:1] if self.per_channel else self.shape  # type: ignore[index]
        if mean.shape != expected or std.shape != expected:
            raise ValueError(f"mean and std have the shapes {mean.shape} and {std.shape}, not {expected}")
        if not (np.isfinite(mean).all() and np.isfinite(std).all() and (std > 0).all()):
            raise ValueError("mean or std is not finite, or a std not positive")
        assert self.shape is not None
        self.mean, self.std = mean, std
        self._count = self.samples * (int(np.prod(self.shape)) // mean.size)
        self._squares = np.square(std) * self._count

    def __repr__(self) -> str:
        if self.mean is None or self.mean.size > 4:
            return f"{self._name}({'' if self.mean is None else f'shape={self.shape}'})"
        scale = f", std={self.std.round(4).tolist()}" if self.divides else ""  # type: ignore[union-attr]
        return f"{self._name}(mean={self.mean.round(4).tolist()}{scale})"


class Standardize(_Scaling):
    """Each pixel, or feature of a table, to mean 0 and standard deviation 1 over the training set."""

    divides = True


class MeanImage(_Scaling):
    """Subtracts the mean image of the training set.

    Source:
        Krizhevsky, Sutskever and Hinton 2012 (AlexNet), section 2.
    """


class ChannelMean(_Scaling):
    """Subtracts each channel's mean over the training set.

    Source:
        Simonyan and Zisserman 2015 (VGG), section 2.1.
    """

    per_channel = True


class ChannelStandardize(_Scaling):
    """Each channel to mean 0 and standard deviation 1 over the training set: what ResNets are trained
    with.
    """

    per_channel = True
    divides = True
