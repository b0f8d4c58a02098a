"""In which order a loader visits a data set: samplers, and the random streams behind them.

A `Sampler` here is a function of (seed, epoch): `order(seed, epoch)` returns the indices of one pass. That
makes the order independent of worker threads and of what was drawn before, and lets a loader resume in the
middle of an epoch. Any other iterable of indices works as a sampler too; its order is then its own affair.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from pynet import random as pynet_random
from pynet.data.gather import check_indices

Seed = tuple[int, int]
"""(seed, stream): the key of a Philox generator. The stream separates loaders that share one seed."""


def draw_seed(generator: Any = None) -> Seed:
    """The (seed, stream) of a new random order.

    Args:
        generator: a `pynet.random.Generator`, from which one draw is taken; an int, which is the seed itself;
            None for `pynet.random.default_generator`, which `pynet.manual_seed` sets.
    """
    if isinstance(generator, (int, np.integer)) and not isinstance(generator, bool):
        if not 0 <= generator < 2**64:
            raise ValueError(f"generator: a seed must be in [0, 2**64), got {generator}")
        return int(generator), 0
    if generator is None:
        generator = pynet_random.default_generator
    if not hasattr(generator, "next_offset"):
        raise TypeError(
            f"generator must be a pynet.random.Generator, an int or None, got {type(generator).__name__}"
        )
    return int(generator.seed), int(generator.next_offset())


def host_generator(seed: Seed, epoch: int = 0) -> np.random.Generator:
    """The NumPy generator of one epoch; epochs are disjoint stretches of one Philox sequence."""
    # The epoch sits in the third counter word: 2**128 blocks lie between two epochs.
    return np.random.Generator(np.random.Philox(key=np.array(seed, np.uint64), counter=[0, 0, epoch, 0]))


class Sampler:
    """Base class: a subclass gives `__len__` and `order`; `needs_seed` says whether `order` depends on the
    seed.

    Iterating over a sampler by hand takes a fresh pass every time, seeded by its own `generator`.
    """

    needs_seed = True
    generator: Any = None
    _seed: Seed | None = None
    _passes = 0

    def __init__(self, generator: Any = None) -> None:
        self.generator = generator

    def __len__(self) -> int:
        raise NotImplementedError(f"{type(self).__name__} must define __len__")

    def order(self, seed: Seed, epoch: int) -> np.ndarray | Iterable[Any]:
        """The indices of pass `epoch`, int64 (len(self),)."""
        raise NotImplementedError(f"{type(self).__name__} must define order(seed, epoch) or __iter__")

    def __iter__(self) -> Iterator[Any]:
        if self.needs_seed and self._seed is None:
            self._seed = draw_seed(self.generator)
        order = self.order(self._seed or (0, 0), self._passes)
        self._passes += 1
        # Plain ints, or lists of them from a batch sampler.
        return (item.tolist() if isinstance(item, (np.ndarray, np.generic)) else item for item in order)


def pass_order(sampler: Iterable[Any], seed: Seed, epoch: int) -> np.ndarray | Iterable[Any]:
    """Pass `epoch` of any sampler: by its `order`, or by iterating over one that only has `__iter__`."""
    if isinstance(sampler, Sampler) and type(sampler).__iter__ is Sampler.__iter__:
        return sampler.order(seed, epoch)
    return sampler


class SequentialSampler(Sampler):
    """0, 1, ..., len(data_source) - 1."""

    needs_seed = False

    def __init__(self, data_source: Any) -> None:
        super().__init__()
        self.data_source = data_source

    def __len__(self) -> int:
        return len(self.data_source)

    def order(self, seed: Seed, epoch: int) -> np.ndarray:
        return np.arange(len(self), dtype=np.int64)


class RandomSampler(Sampler):
    """A random order of a data set.

    Args:
        data_source: anything with a length.
        replacement: draw with replacement. Default False: a permutation.
        num_samples: how many to draw; default the length. Without replacement and above the length, whole
            permutations follow one another.
        generator: see `draw_seed`.
    Raises:
        ValueError: nothing to draw from, or `num_samples` is not positive.
    """

    def __init__(
        self,
        data_source: Any,
        replacement: bool = False,
        num_samples: int | None = None,
        generator: Any = None,
    ) -> None:
        super().__init__(generator)
        if not isinstance(replacement, bool):
            raise TypeError(f"RandomSampler: replacement must be a bool, got {replacement!r}")
        if num_samples is not None:
            check_count("RandomSampler: num_samples", num_samples)
        if len(data_source) == 0:
            raise ValueError("RandomSampler: the data set is empty, there is nothing to shuffle")
        self.data_source, self.replacement, self._num_samples = data_source, replacement, num_samples

    @property
    def num_samples(self) -> int:
        """How many indices one pass has."""
        return len(self.data_source) if self._num_samples is None else self._num_samples

    def __len__(self) -> int:
        return self.num_samples

    def order(self, seed: Seed, epoch: int) -> np.ndarray:
        rng, length, count = host_generator(seed, epoch), len(self.data_source), self.num_samples
        if self.replacement:
            return rng.integers(0, length, size=count, dtype=np.int64)
        rounds = -(-count // length)
        return np.concatenate([rng.permutation(length) for _ in range(rounds)])[:count].astype(
            np.int64, copy=False
        )


class WeightedRandomSampler(Sampler):
    """Indices drawn with probabilities proportional to `weights`.

    Args:
        weights: (N,), finite, not negative, with a positive sum.
        num_samples: how many to draw in a pass.
        replacement: default True. Without it, at most as many as there are positive weights.
        generator: see `draw_seed`.
    Raises:
        ValueError: the weights or `num_samples` do not meet the above.
    """

    def __init__(
        self,
        weights: Sequence[float] | np.ndarray,
        num_samples: int,
        replacement: bool = True,
        generator: Any = None,
    ) -> None:
        super().__init__(generator)
        if not isinstance(replacement, bool):
            raise TypeError(f"WeightedRandomSampler: replacement must be a bool, got {replacement!r}")
        self.weights = np.array(weights, dtype=np.float64)
        self.num_samples = check_count("WeightedRandomSampler: num_samples", num_samples)
        self.replacement = replacement
        if self.weights.ndim != 1:
            raise ValueError(
                f"WeightedRandomSampler: weights must have one axis, got shape {self.weights.shape}"
            )
        if not np.isfinite(self.weights).all() or (self.weights < 0).any() or self.weights.sum() <= 0:
            raise ValueError("WeightedRandomSampler: weights must be finite, not negative and not all zero")
        positive = int(np.count_nonzero(self.weights))
        if not replacement and self.num_samples > positive:
            raise ValueError(
                f"WeightedRandomSampler: cannot draw {self.num_samples} samples without replacement "
                f"from {positive} positive weights; lower num_samples or set replacement=True"
            )

    def __len__(self) -> int:
        return self.num_samples

    def order(self, seed: Seed, epoch: int) -> np.ndarray:
        rng = host_generator(seed, epoch)
        if self.replacement:
            edges = np.cumsum(self.weights)
            drawn = np.searchsorted(edges, rng.random(self.num_samples) * edges[-1], side="right")
            # Rounding may land on the last edge; the last positive weight owns it.
            return np.minimum(drawn, np.flatnonzero(self.weights)[-1]).astype(np.int64, copy=False)
        probabilities = self.weights / self.weights.sum()
        return rng.choice(len(self.weights), self.num_samples, replace=False, p=probabilities).astype(
            np.int64
        )


class SubsetRandomSampler(Sampler):
    """The given indices, in random order without replacement."""

    def __init__(self, indices: Sequence[int] | np.ndarray, generator: Any = None) -> None:
        super().__init__(generator)
        # No length to check against here: the loader checks every index against its data set.
        self.indices = check_indices(indices, 2**62, "SubsetRandomSampler")

    def __len__(self) -> int:
        return len(self.indices)

    def order(self, seed: Seed, epoch: int) -> np.ndarray:
        return self.indices[host_generator(seed, epoch).permutation(len(self.indices))]


class BatchSampler(Sampler):
    """Cuts the order of another sampler into batches of indices.

    Args:
        sampler: a Sampler or any iterable of indices.
        batch_size: how many indices a batch has; the last may be shorter.
        drop_last: leave out a shorter last batch; a sampler shorter than one batch then gives none.
    """

    def __init__(self, sampler: Iterable[Any], batch_size: int, drop_last: bool = False) -> None:
        super().__init__(getattr(sampler, "generator", None))
        if not isinstance(drop_last, bool):
            raise TypeError(f"BatchSampler: drop_last must be a bool, got {drop_last!r}")
        self.sampler, self.drop_last = sampler, drop_last
        self.batch_size = check_count("BatchSampler: batch_size", batch_size)

    @property
    def needs_seed(self) -> bool:  # type: ignore[override]
        """Whether the inner sampler is random."""
        return isinstance(self.sampler, Sampler) and self.sampler.needs_seed

    def __len__(self) -> int:
        length = len(self.sampler)  # type: ignore[arg-type]
        return length // self.batch_size if self.drop_last else -(-length // self.batch_size)

    def order(self, seed: Seed, epoch: int) -> Iterator[np.ndarray | list[Any]]:
        order = pass_order(self.sampler, seed, epoch)
        if isinstance(order, np.ndarray):
            return self._slices(order)
        return self._collect(order)

    def _slices(self, order: np.ndarray) -> Iterator[np.ndarray]:
        stop = len(order) - len(order) % self.batch_size if self.drop_last else len(order)
        for start in range(0, stop, self.batch_size):
            yield order[start : start + self.batch_size]

    def _collect(self, order: Iterable[Any]) -> Iterator[list[Any]]:
        batch: list[Any] = []
        for index in order:
            batch.append(index)
            if len(batch) == self.batch_size:
                yield batch
                batch = []
        if batch and not self.drop_last:
            yield batch


def check_count(what: str, value: int) -> int:
    """A positive Python int, or an error that names it."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"{what} must be an integer, got {value!r}")
    if value <= 0:
        raise ValueError(f"{what} must be at least 1, got {value}")
    return int(value)
