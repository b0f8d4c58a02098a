"""Data sets: what has a length and gives samples by index; parts and joins of them.

A Dataset may offer `gather(indices)`: whole batches by one indexing step per array, which the loader prefers
to a loop over samples.
"""

from __future__ import annotations

import copy
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from pynet.autograd import Tensor
from pynet.data.gather import check_index, check_indices, take


class Dataset:
    """Base class: a subclass gives `__getitem__(index)` and `__len__()`."""

    def __getitem__(self, index: Any) -> Any:
        raise NotImplementedError(f"{type(self).__name__} must define __getitem__(index)")

    def __len__(self) -> int:
        raise NotImplementedError(f"{type(self).__name__} must define __len__()")

    def gather(self, indices: np.ndarray) -> tuple[np.ndarray, ...] | None:
        """The samples at `indices` as one array per field, or None where samples must be fetched one by
        one."""
        return None

    @property
    def random(self) -> bool:
        """Whether a sample is another one each time it is fetched: its transform draws random numbers."""
        return getattr(getattr(self, "transform", None), "random", False)

    def __add__(self, other: Any) -> ConcatDataset:
        return ConcatDataset([self, other])


def as_array(value: Any, owner: str) -> np.ndarray:
    """A plain ndarray that shares memory with an array or Tensor.

    Raises:
        TypeError: object, structured or masked arrays, which have no place in a Tensor.
    """
    if isinstance(value, Tensor):
        return value.array
    if isinstance(value, np.ma.MaskedArray):
        raise TypeError(
            f"{owner}: masked arrays are not supported, fill the masked values first: array.filled(value)"
        )
    array = np.asarray(value)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{owner}: arrays must hold floats, integers or booleans, got dtype {array.dtype}")
    return array


class ArrayDataset(Dataset):
    """Several equally long arrays; sample i is the tuple of their i-th entries (`TensorDataset` in PyTorch).

    Args:
        *arrays: arrays or Tensors (N, ...), shared, not copied. Batches keep the memory order of an array.
        transform: applied to the first entry of a sample, default None. One with a true attribute `batched`
            (see `transforms`) is given a whole batch (B, ...) at once.
    Raises:
        ValueError: no array, one without axes, or lengths that differ. TypeError: dtypes that no Tensor has.
    """

    def __init__(self, *arrays: Any, transform: Callable[[Any], Any] | None = None) -> None:
        owner = type(self).__name__
        if not arrays:
            raise ValueError(f"{owner}: give at least one array")
        self.arrays = tuple(as_array(array, owner) for array in arrays)
        shapes = [array.shape for array in self.arrays]
        if any(len(shape) == 0 for shape in shapes):
            raise ValueError(f"{owner}: arrays need a first axis that counts samples, got shapes {shapes}")
        if len({shape[0] for shape in shapes}) != 1:
            raise ValueError(f"{owner}: arrays must be equally long, got shapes {shapes}")
        self.transform = transform

    @property
    def tensors(self) -> tuple[np.ndarray, ...]:
        """The arrays, under PyTorch's name."""
        return self.arrays

    def __len__(self) -> int:
        return len(self.arrays[0])

    def __getitem__(self, index: Any) -> tuple[Any, ...]:
        """Sample `index` as a tuple; a slice or a list of indices gives the tuple of stacked samples."""
        if isinstance(index, (slice, list, np.ndarray)):
            return self._select(check_indices(np.arange(len(self))[index], len(self), type(self).__name__))
        position = check_index(index, len(self), type(self).__name__)
        first, *others = (array[position] for array in self.arrays)
        return (first if self.transform is None else self.transform(first), *others)

    def gather(self, indices: np.ndarray) -> tuple[np.ndarray, ...] | None:
        # A subclass with its own __getitem__ must not be bypassed; a transform for single samples is left to
        # the loader, which then names the sample that fails.
        if type(self).__getitem__ is not ArrayDataset.__getitem__:
            return None
        if self.transform is not None and not getattr(self.transform, "batched", False):
            return None
        return self._select(indices)

    def _select(self, indices: np.ndarray) -> tuple[np.ndarray, ...]:
        first, *others = (take(array, indices) for array in self.arrays)
        if self.transform is not None and getattr(self.transform, "batched", False):
            first = self.transform(first)
        elif self.transform is not None:
            first = np.stack([self.transform(sample) for sample in first])
        return (first, *others)

    def with_transform(self, transform: Callable[[Any], Any] | None) -> ArrayDataset:
        """The same arrays, shared, behind another transform."""
        changed = copy.copy(self)
        changed.transform = transform
        return changed


TensorDataset = ArrayDataset


class ImageDataset(ArrayDataset):
    """Labelled images, as the named data sets give them.

    Args:
        images: uint8 (N, C, H, W).
        labels: integers (N,).
        classes: a name for each class.
        train: whether this is the training part; None where there is only one part.
        transform: from uint8 images to what the network sees; default `transforms.ToFloat()`, float32 in [0,
            1].
    Attributes:
        images: uint8 (N, C, H, W). labels: int64 (N,). classes: tuple of str.
    Raises:
        ValueError: shapes that do not fit or a label without a class. TypeError: images that are no uint8.
    """

    def __init__(
        self,
        images: np.ndarray,
        labels: np.ndarray,
        classes: Sequence[str],
        train: bool | None = None,
        transform: Callable[[Any], Any] | None = None,
    ) -> None:
        from pynet.data.transforms import ToFloat

        images, labels = np.asarray(images), np.asarray(labels)
        if images.dtype != np.uint8 or labels.dtype.kind not in "iu":
            raise TypeError(
                f"ImageDataset: images must be uint8 and labels integers, got {images.dtype} and "
                f"{labels.dtype}"
            )
        if images.ndim != 4 or labels.ndim != 1:
            raise ValueError(
                f"ImageDataset: images must be (N, C, H, W) and labels (N,), got {images.shape} and "
                f"{labels.shape}"
            )
        labels = labels.astype(np.int64, copy=False)
        if labels.size and not 0 <= labels.min() <= labels.max() < len(classes):
            raise ValueError(
                f"ImageDataset: labels must be in [0, {len(classes)}), got {labels.min()} to {labels.max()}"
            )
        super().__init__(images, labels, transform=ToFloat() if transform is None else transform)
        self.classes, self.train = tuple(classes), train

    @property
    def images(self) -> np.ndarray:
        """uint8 (N, C, H, W)."""
        return self.arrays[0]

    @property
    def labels(self) -> np.ndarray:
        """int64 (N,)."""
        return self.arrays[1]

    def __repr__(self) -> str:
        part = "" if self.train is None else f", train={self.train}"
        return f"{type(self).__name__}(images={self.images.shape}, classes={len(self.classes)}{part})"


class Subset(Dataset):
    """Some samples of a data set, in the given order.

    Args:
        dataset: the whole.
        indices: which samples; negative ones count from the end.
    Raises:
        IndexError: an index lies outside the data set. TypeError: indices that are no integers.
    """

    def __init__(self, dataset: Any, indices: Sequence[int] | np.ndarray) -> None:
        self.dataset = dataset
        self.indices = check_indices(np.asarray(indices), len(dataset), "Subset")
        if self.indices.ndim != 1:
            raise ValueError(f"Subset: indices must have one axis, got shape {self.indices.shape}")

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, (slice, list, np.ndarray)):
            return Subset(self.dataset, self.indices[index])
        return self.dataset[int(self.indices[check_index(index, len(self), "Subset")])]

    def gather(self, indices: np.ndarray) -> tuple[np.ndarray, ...] | None:
        if type(self).__getitem__ is not Subset.__getitem__:
            return None
        gather = getattr(self.dataset, "gather", None)
        return gather(self.indices[indices]) if gather is not None else None

    def with_transform(self, transform: Callable[[Any], Any] | None) -> Subset:
        """The same samples behind another transform, where the data set below can change its own."""
        return Subset(self.dataset.with_transform(transform), self.indices)

    @property
    def random(self) -> bool:
        """Whether a sample of the data set below is another one each time."""
        return getattr(self.dataset, "random", False)

    @property
    def labels(self) -> np.ndarray:
        """The labels of these samples, int64 (len(self),)."""
        return labels_of(self.dataset)[self.indices]

    @property
    def classes(self) -> Sequence[str]:
        """The class names of the data set below."""
        return self.dataset.classes


class ConcatDataset(Dataset):
    """Data sets one after another.

    Raises:
        ValueError: an empty list.
    """

    def __init__(self, datasets: Iterable[Any]) -> None:
        self.datasets = list(datasets)
        if not self.datasets:
            raise ValueError("ConcatDataset: give at least one data set")
        self.cumulative_sizes = np.cumsum([len(dataset) for dataset in self.datasets]).tolist()

    def __len__(self) -> int:
        return self.cumulative_sizes[-1]

    @property
    def random(self) -> bool:
        """Whether a sample of one of them is another one each time."""
        return any(getattr(dataset, "random", False) for dataset in self.datasets)

    def __getitem__(self, index: int) -> Any:
        position = check_index(index, len(self), "ConcatDataset")
        which = bisect_right(self.cumulative_sizes, position)
        start = self.cumulative_sizes[which - 1] if which else 0
        return self.datasets[which][position - start]


def labels_of(dataset: Any) -> np.ndarray:
    """The labels of a whole data set, int64 (N,), without loading its samples.

    Taken from its attribute `labels`, else the last array of an ArrayDataset, else the parts of a
    ConcatDataset.

    Raises:
        ValueError: the data set has no labels to be read this way.
    """
    if isinstance(dataset, ConcatDataset):
        return np.concatenate([labels_of(part) for part in dataset.datasets])
    labels = getattr(dataset, "labels", None)
    if labels is None and isinstance(dataset, ArrayDataset) and len(dataset.arrays) > 1:
        labels = dataset.arrays[-1]
    if labels is None or np.asarray(labels).ndim != 1 or np.asarray(labels).dtype.kind not in "iu":
        raise ValueError(f"{type(dataset).__name__} has no integer labels (N,) to read; pass labels=")
    return np.asarray(labels).astype(np.int64, copy=False)
