"""What every preprocessing has: fitting on arrays, data sets and streams, and a state that can be saved.

uint8 images count as value / 255 everywhere; floats are taken as they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, ClassVar

import numpy as np

from ..dataset import ArrayDataset, Dataset, Subset, as_array
from ..gather import take

_SLICE = 512  # samples that are read at once from an array


class Preprocessor:
    """Base class. A subclass gives `_add` (a batch's statistics), `_transform`, `_inverse`, `_state`,
    `_restore`.

    Attributes:
        samples: how many have been seen; 0 before `fit`.
        shape: of one sample; None before `fit`.
    """

    batched = True  # for loaders: takes one sample and a whole batch alike
    known: ClassVar[dict[str, type[Preprocessor]]] = {}

    def __init_subclass__(cls) -> None:
        if not cls.__name__.startswith("_"):
            Preprocessor.known[cls.__name__] = cls

    samples: int
    shape: tuple[int, ...] | None

    def __init__(self) -> None:
        self._forget()

    def fit(self, data: Any) -> Any:
        """Learn from the training images, whatever was learnt before.

        Args:
            data: uint8 or float (N, C, H, W) or (N, features); an ArrayDataset or a Subset of one, of which
                the first array is read, before its transform; or any iterable of batches, such as a
                DataLoader, of which the first entries are read. Only one batch is in memory at a time.
        Returns:
            self.
        Raises:
            ValueError: no samples, samples of different shapes, or values that are not finite.
        """
        self._forget()
        for batch in _batches(data, self._name):
            self.partial_fit(batch)
        if not self.samples:
            raise ValueError(f"{self._name}.fit: there are no samples")
        return self

    def partial_fit(self, batch: Any) -> Any:
        """Learn from one more batch (N, ...); return self.

        Raises:
            ValueError: as `fit`; what was learnt before stays.
        """
        array = _numbers(batch, self._name)
        self._check_batch(array)
        if not len(array):
            return self
        values = array.astype(np.float64)
        if array.dtype == np.uint8:
            values /= 255
        elif not np.isfinite(values).all():
            raise ValueError(f"{self._name}.fit: the images hold values that are not finite")
        self.shape = array.shape[1:]
        self._add(values)
        self.samples += len(array)
        return self

    def transform(self, images: Any) -> np.ndarray:
        """Return one sample, or a batch of them, preprocessed: float32.

        Raises:
            RuntimeError: nothing was fitted yet. ValueError: another shape than the fitted one.
        """
        self._require_fit()
        return self._transform(_numbers(images, self._name))

    __call__ = transform

    def inverse(self, values: Any) -> np.ndarray:
        """Return what `transform` came from, float32; uint8 images in units of [0, 1]."""
        self._require_fit()
        return self._inverse(_numbers(values, self._name))

    def state_dict(self) -> dict[str, Any]:
        """Return the class name and all that was learnt, as arrays and numbers."""
        self._require_fit()
        assert self.shape is not None
        return {"type": self._name, "samples": self.samples, "shape": list(self.shape), **self._state()}

    @staticmethod
    def from_state_dict(state: dict[str, Any]) -> Preprocessor:
        """Return the preprocessing that `state_dict` described, of whichever class.

        Raises:
            ValueError: entries are missing or malformed.
        """
        kind = state.get("type") if isinstance(state, dict) else None
        if kind not in Preprocessor.known:
            raise ValueError(
                f"preprocess: no preprocessing is called {kind!r}; there are {', '.join(Preprocessor.known)}"
            )
        made = Preprocessor.known[kind]()
        try:
            made.samples, made.shape = int(state["samples"]), tuple(int(size) for size in state["shape"])
            made._restore(state)
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"preprocess: the state of a {kind} is damaged: {error}") from None
        return made

    @property
    def _name(self) -> str:
        return type(self).__name__

    def _require_fit(self) -> None:
        if not self.samples:
            raise RuntimeError(f"{self._name}: call fit(images) first")

    def _check_batch(self, array: np.ndarray) -> None:
        if array.ndim not in (2, 4) or 0 in array.shape[1:]:
            raise ValueError(
                f"{self._name}.fit: a batch must be images (N, C, H, W) or a table (N, features), "
                f"got shape {array.shape}"
            )
        if self.shape not in (None, array.shape[1:]):
            raise ValueError(
                f"{self._name}.fit: samples of shape {array.shape[1:]} after samples of shape {self.shape}"
            )

    def _as_batch(self, array: np.ndarray) -> tuple[np.ndarray, bool]:
        """`array` with a batch axis, and whether it was a single sample."""
        if array.shape == self.shape:
            return array[None], True
        if array.shape[1:] == self.shape:
            return array, False
        raise ValueError(
            f"{self._name}: it was fitted on samples of shape {self.shape}, got shape {array.shape}"
        )

    def _forget(self) -> None:
        self.samples = 0
        self.shape = None

    def _add(self, values: np.ndarray) -> None:
        raise NotImplementedError

    def _transform(self, array: np.ndarray) -> np.ndarray:
        raise NotImplementedError

    def _inverse(self, array: np.ndarray) -> np.ndarray:
        raise NotImplementedError

    def _state(self) -> dict[str, Any]:
        raise NotImplementedError

    def _restore(self, state: dict[str, Any]) -> None:
        raise NotImplementedError


def unit(array: np.ndarray) -> float:
    """What one step of this dtype is worth: 1/255 for uint8."""
    return 1 / 255 if array.dtype == np.uint8 else 1.0


def _numbers(values: Any, owner: str) -> np.ndarray:
    array = as_array(values, owner)
    if array.dtype != np.uint8 and array.dtype.kind != "f":
        raise TypeError(f"{owner}: images must be uint8 or float, got dtype {array.dtype}")
    return array


def _batches(data: Any, owner: str) -> Iterator[Any]:
    """Slices of an array or of a data set's first array, before its transform; or the batches of an
    iterable.
    """
    if isinstance(data, Dataset):
        array, indices = _source(data, np.arange(len(data)), owner)
        for start in range(0, len(indices), _SLICE):
            yield take(array, indices[start : start + _SLICE])
    elif hasattr(data, "shape"):
        for start in range(0, len(data), _SLICE):
            yield data[start : start + _SLICE]
    elif isinstance(data, Iterable):
        for batch in data:
            yield batch[0] if isinstance(batch, (tuple, list)) else batch
    else:
        raise TypeError(
            f"{owner}.fit: an array, a data set or an iterable of batches is expected, "
            f"got {type(data).__name__}"
        )


def _source(dataset: Dataset, indices: np.ndarray, owner: str) -> tuple[np.ndarray, np.ndarray]:
    while isinstance(dataset, Subset):
        indices, dataset = np.asarray(dataset.indices)[indices], dataset.dataset
    if not isinstance(dataset, ArrayDataset):
        raise TypeError(
            f"{owner}.fit: of data sets only ArrayDataset and its subsets can be read; "
            "wrap the others in a DataLoader without transform"
        )
    return np.asarray(dataset.arrays[0]), indices
