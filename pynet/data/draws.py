"""The random numbers of augmentation: one stream a sample, ruled by the loader's seed, the epoch and the
sample's index.

Transforms do not get their numbers handed down: a loader says for which samples a thread is at work
(`drawing`), and what is random in between asks for them (`current`). So every data set and every transform,
also the user's, gives the same images whatever the number of workers and however the batches are cut.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

import numpy as np

from pynet import _core
from pynet.data.sampler import Seed, draw_seed

_GOLDEN = 0x9E3779B97F4A7C15  # an odd constant: streams of one seed become keys far apart


class Draws:
    """Numbers for some samples; every request takes the next ones of each sample's stream.

    Args:
        seed: (seed, stream), as a loader draws it. epoch: in [0, 2**32).
        indices: int64 (N,), the samples.
    """

    def __init__(self, seed: Seed, epoch: int, indices: Sequence[int] | np.ndarray) -> None:
        self._key = (seed[0] ^ (seed[1] * _GOLDEN)) % 2**64
        self._epoch = epoch % 2**32
        self._indices = np.ascontiguousarray(indices, np.int64)
        self._taken = 0

    def __len__(self) -> int:
        return len(self._indices)

    def uniform(self, count: int = 1, low: float = 0.0, high: float = 1.0) -> np.ndarray:
        """Numbers in [low, high), float64 (N, count)."""
        numbers = _core.augment_uniform(self._indices, count, self._key, self._epoch, self._taken)
        self._taken += -(-count // 4) * 4  # Philox gives four at a time
        return numbers if (low, high) == (0.0, 1.0) else low + (high - low) * numbers

    def normal(self, count: int = 1) -> np.ndarray:
        """Standard normal numbers, float64 (N, count), by Box and Muller."""
        uniform = self.uniform(2 * count)
        radius = np.sqrt(-2 * np.log1p(-uniform[:, :count]))
        return radius * np.cos(2 * np.pi * uniform[:, count:])

    def integers(self, low: int, high: np.ndarray | int) -> np.ndarray:
        """Integers in [low, high), int64 (N,); `high` may be one for each sample."""
        return low + np.floor(self.uniform()[:, 0] * (np.asarray(high) - low)).astype(np.int64)

    def chosen(self, probability: float) -> np.ndarray:
        """True with `probability`, (N,)."""
        return self.uniform()[:, 0] < probability


_current: ContextVar[Draws | None] = ContextVar("pynet_draws", default=None)


@contextmanager
def drawing(seed: Seed, epoch: int, indices: Sequence[int] | np.ndarray) -> Iterator[None]:
    """What this thread draws inside belongs to these samples."""
    token = _current.set(Draws(seed, epoch, indices))
    try:
        yield
    finally:
        _current.reset(token)


def current(samples: int) -> Draws:
    """The numbers for a batch of `samples` images: those of `drawing`, else new ones from pynet's
    generator.
    """
    draws = _current.get()
    if draws is None or len(draws) != samples:
        return Draws(draw_seed(), 0, np.arange(samples))
    return draws
