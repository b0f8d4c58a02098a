"""DataLoader: batches of a data set, in a seeded order, loaded by threads, resumable in the middle of an
epoch."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from pynet.data.collate import default_collate
from pynet.data.sampler import (
    BatchSampler,
    RandomSampler,
    Sampler,
    Seed,
    SequentialSampler,
    check_count,
    draw_seed,
    pass_order,
)
from pynet.data.workers import ThreadedBatches, load_batch, serial_batches

NO_SEED: Seed = (0, 0)  # of a loader in which nothing is random
_STATE = ("seed", "stream", "epoch", "batches", "samples", "batch_size")


class DataLoader:
    """Iterates over a data set in batches; every `for` loop over it is one epoch.

    The order of epoch k is a function of the loader's seed and of k, and so is what random transforms
    (`augment`) do to a sample; neither depends on `num_workers`. The seed is drawn from `generator` when it
    is first needed; a loader without shuffling and random transforms draws none.

    Args:
        dataset: has `__getitem__` and, unless a sampler is given, `__len__`.
        batch_size: samples in a batch, default 1. One larger than the data set gives one short batch.
        shuffle: a new random order every epoch. Default False.
        sampler: an iterable of indices instead of `shuffle`.
        batch_sampler: an iterable of lists of indices instead of batch_size, shuffle, sampler and drop_last.
        num_workers: threads that load ahead; default 0: the caller's thread loads. Threads help where the
            data set waits (files) or works outside the GIL (NumPy, Pillow). `dataset` and `collate_fn` are
            then called from several threads at once.
        collate_fn: makes a batch from a list of samples. With the default and a data set that can `gather`
            (ArrayDataset and its subsets) a batch is one indexing step per array, without a loop over
            samples.
        drop_last: leave out a last batch that is not full; a data set shorter than one batch then gives no
            batch.
        timeout: seconds to wait for a batch of the workers, default 0: no limit.
        generator: a `pynet.random.Generator`, an int seed, or None for the one that `pynet.manual_seed` sets.
        prefetch_factor: batches that each worker loads ahead, default 2.
    Raises:
        ValueError: contradicting arguments, or `shuffle=True` on an empty data set (without it an empty data
            set has length 0 and gives no batch). TypeError: wrong types, a data set without `__getitem__`.
        While iterating: IndexError where the sampler leaves the data set; what dataset and collate_fn raise,
            with a note
        naming the sample; RuntimeError at `timeout`. An error ends the iterator; the loader stays usable.
    """

    def __init__(
        self,
        dataset: Any,
        batch_size: int | None = 1,
        shuffle: bool | None = None,
        sampler: Iterable[Any] | None = None,
        batch_sampler: Iterable[Any] | None = None,
        num_workers: int = 0,
        collate_fn: Callable[[list[Any]], Any] | None = None,
        drop_last: bool = False,
        timeout: float = 0,
        generator: Any = None,
        *,
        prefetch_factor: int = 2,
    ) -> None:
        if not hasattr(dataset, "__getitem__"):
            raise TypeError(f"DataLoader: dataset must have __getitem__, got {type(dataset).__name__}")
        if isinstance(num_workers, bool) or not isinstance(num_workers, int):
            raise TypeError(f"DataLoader: num_workers must be an integer, got {num_workers!r}")
        if num_workers < 0:
            raise ValueError(f"DataLoader: num_workers must not be negative, got {num_workers}")
        if not math.isfinite(timeout) or timeout < 0:
            raise ValueError(
                f"DataLoader: timeout must be a number of seconds, 0 for no limit, got {timeout}"
            )
        if timeout and not num_workers:
            raise ValueError(
                "DataLoader: timeout needs num_workers of at least 1, there is nobody to wait for"
            )
        if shuffle is not None and not isinstance(shuffle, bool):
            raise TypeError(f"DataLoader: shuffle must be a bool, got {shuffle!r}")
        self.dataset, self.num_workers, self.timeout = dataset, num_workers, timeout
        self.collate_fn = default_collate if collate_fn is None else collate_fn
        self.prefetch_factor = check_count("DataLoader: prefetch_factor", prefetch_factor)
        self.sampler, self.batch_sampler = _samplers(
            dataset, batch_size, bool(shuffle), sampler, batch_sampler, drop_last, generator
        )
        self.batch_size: int | None = getattr(self.batch_sampler, "batch_size", None)
        self.drop_last: bool = getattr(self.batch_sampler, "drop_last", False)
        self.generator = getattr(self.batch_sampler, "generator", None) if generator is None else generator
        self._seed: Seed | None = None
        self._epoch = self._batches = 0
        self._begun = False  # whether an iterator was opened on self._epoch
        self._reader: object | None = None  # the iterator whose progress state_dict() tells

    def __len__(self) -> int:
        """Batches in an epoch."""
        return len(self.batch_sampler)  # type: ignore[arg-type]

    @property
    def epoch(self) -> int:
        """The epoch under way, or the next one when none is."""
        return self._epoch

    def __iter__(self) -> LoaderIterator:
        if self._begun:
            self._epoch, self._batches = self._epoch + 1, 0
        self._begun = True
        return LoaderIterator(self, self._epoch, self._batches)

    def _order(self, epoch: int) -> Iterable[Any]:
        seed = self._draw_seed() or NO_SEED
        return pass_order(self.batch_sampler, seed, epoch)

    def _needs_seed(self) -> bool:
        if getattr(self.dataset, "random", False):
            return True
        return isinstance(self.batch_sampler, Sampler) and self.batch_sampler.needs_seed

    def _draw_seed(self) -> Seed | None:
        if self._seed is None and self._needs_seed():
            self._seed = draw_seed(self.generator)
        return self._seed

    def state_dict(self) -> dict[str, int | None]:
        """Where the loader stands, as integers that JSON holds.

        `batches` counts what the most recent iterator has delivered in `epoch`; batches loaded ahead do not
        count.
        """
        seed, stream = self._draw_seed() or (None, None)
        return {
            "seed": seed,
            "stream": stream,
            "epoch": self._epoch,
            "batches": self._batches,
            "samples": len(self.dataset) if hasattr(self.dataset, "__len__") else None,
            "batch_size": self.batch_size,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Stands where `state` was taken: the next iterator gives exactly the batches that were still to
        come.

        Of an epoch whose batches had all been delivered it gives none, then the next epoch follows. A sampler
        of your own has to repeat its order for that.

        Raises:
            ValueError: entries are missing or malformed, or data set or batch size are not those of the
                state; the loader is unchanged then.
        """
        if set(state) != set(_STATE):
            raise ValueError(f"DataLoader: a state has the entries {sorted(_STATE)}, got {sorted(state)}")
        for key, value in state.items():
            optional = value is None and key not in ("epoch", "batches")
            if not optional and (
                isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**64
            ):
                raise ValueError(
                    f"DataLoader: state entry {key!r} must be an integer from 0 on, got {value!r}"
                )
        if (state["seed"] is None) != (state["stream"] is None):
            raise ValueError("DataLoader: a state has both seed and stream, or neither")
        if (state["seed"] is None) == self._needs_seed():
            raise ValueError(
                "DataLoader: the state is of an ordered loader, this one is shuffled or augments"
                if self._needs_seed()
                else "DataLoader: the state is of a loader that shuffles or augments, this one does neither"
            )
        length = len(self.dataset) if hasattr(self.dataset, "__len__") else None
        if state["samples"] != length or state["batch_size"] != self.batch_size:
            raise ValueError(
                f"DataLoader: the state is of {state['samples']} samples in batches of "
                f"{state['batch_size']}, this loader has {length} in batches of {self.batch_size}"
            )
        self._seed = None if state["seed"] is None else (state["seed"], state["stream"])
        self._epoch, self._batches = state["epoch"], state["batches"]
        self._begun, self._reader = False, None


def _samplers(
    dataset: Any,
    batch_size: int | None,
    shuffle: bool,
    sampler: Iterable[Any] | None,
    batch_sampler: Iterable[Any] | None,
    drop_last: bool,
    generator: Any,
) -> tuple[Iterable[Any] | None, Iterable[Any]]:
    """The sampler and the batch sampler that the arguments of a DataLoader describe."""
    if batch_sampler is not None:
        if batch_size not in (1, None) or shuffle or sampler is not None or drop_last:
            raise ValueError("DataLoader: batch_sampler excludes batch_size, shuffle, sampler and drop_last")
        return getattr(batch_sampler, "sampler", None), batch_sampler
    if batch_size is None:
        raise ValueError(
            "DataLoader: batch_size=None needs a batch_sampler; for single samples iterate over the dataset"
        )
    if sampler is not None and shuffle:
        raise ValueError("DataLoader: sampler excludes shuffle=True; the sampler alone decides on the order")
    if sampler is None:
        if not hasattr(dataset, "__len__"):
            raise TypeError(f"DataLoader: {type(dataset).__name__} has no __len__, so a sampler is needed")
        sampler = RandomSampler(dataset, generator=generator) if shuffle else SequentialSampler(dataset)
    return sampler, BatchSampler(sampler, batch_size, drop_last)


class LoaderIterator:
    """One epoch of a DataLoader, or what is left of it. Dropping it, or `close()`, ends its threads."""

    def __init__(self, loader: DataLoader, epoch: int, start: int) -> None:
        tasks: Iterator[tuple[int, Any]] = itertools.islice(enumerate(loader._order(epoch)), start, None)
        seed = loader._draw_seed() or NO_SEED
        load = functools.partial(load_batch, loader.dataset, loader.collate_fn, seed, epoch)
        self._batches: Any
        if loader.num_workers:
            self._batches = ThreadedBatches(
                tasks, load, loader.num_workers, loader.prefetch_factor, loader.timeout
            )
        else:
            self._batches = serial_batches(tasks, load)
        self._loader = loader
        # A token and not self: the loader must not keep its iterator, and so its threads, alive.
        self._token = loader._reader = object()

    def __iter__(self) -> LoaderIterator:
        return self

    def __next__(self) -> Any:
        loader = self._loader
        try:
            batch = next(self._batches)
        except StopIteration:
            if loader._reader is self._token:
                loader._epoch, loader._batches, loader._begun = loader._epoch + 1, 0, False
                loader._reader = None
            raise
        except BaseException:
            self.close()
            raise
        if loader._reader is self._token:
            loader._batches += 1
        return batch

    def close(self) -> None:
        """Ends the epoch here; the next iterator begins the next epoch."""
        if self._loader._reader is self._token:
            self._loader._reader = None
        self._batches.close()
