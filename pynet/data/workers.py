"""Loading one batch, and threads that load batches ahead of their consumer, in order.

The threads know neither the loader nor its iterator, only a shared channel: an iterator that is dropped can
so be collected at once, and its end ends them.
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from queue import SimpleQueue
from typing import Any

import numpy as np

from pynet.data.collate import batch_tensor, default_collate
from pynet.data.draws import drawing
from pynet.data.gather import check_index, check_indices
from pynet.data.sampler import Seed

Load = Callable[[int, Any], Any]
"""From the number of a batch and its indices to the batch."""


def blamed(error: Exception, where: str) -> Exception:
    """`error` itself, with a note that names the sample; the type and the traceback stay."""
    if isinstance(error, StopIteration):  # raised on, it would quietly end the caller's loop
        wrapped = RuntimeError(f"{where}: StopIteration raised")
        wrapped.__cause__ = error
        return wrapped
    if hasattr(error, "add_note"):
        error.add_note(where)
    elif len(error.args) == 1 and isinstance(error.args[0], str):  # Python 3.10 has no notes
        error.args = (f"{error.args[0]}\n{where}",)
    return error


def load_batch(
    dataset: Any, collate_fn: Callable[[list[Any]], Any], seed: Seed, epoch: int, number: int, indices: Any
) -> Any:
    """Batch `number`: one gather per array where the data set offers it, else sample by sample. What is
    random in a sample is ruled by `seed`, `epoch` and its index.

    Raises:
        IndexError: an index lies outside the data set. Whatever the data set or collate_fn raises, with a
            note.
    """
    gather = getattr(dataset, "gather", None) if collate_fn is default_collate else None
    if gather is not None:
        checked = check_indices(indices, len(dataset), "DataLoader: the sampler gave a wrong index")
        try:
            with drawing(seed, epoch, checked):
                arrays = gather(checked)
            if arrays is not None:
                return tuple(batch_tensor(array) for array in arrays)
        except Exception as error:
            raise blamed(error, f"DataLoader: while reading {_named(checked)} (batch {number})")  # noqa: B904
    samples = [_read(dataset, index, number, seed, epoch) for index in indices]
    try:
        return collate_fn(samples)
    except Exception as error:
        raise blamed(error, f"DataLoader: while collating {_named(indices)} (batch {number})")  # noqa: B904


def _read(dataset: Any, index: Any, number: int, seed: Seed, epoch: int) -> Any:
    if isinstance(index, (int, np.integer)) and hasattr(dataset, "__len__"):
        index = check_index(index, len(dataset), "DataLoader: the sampler gave a wrong index")
    try:
        if not isinstance(index, (int, np.integer)):
            return dataset[index]
        with drawing(seed, epoch, [int(index)]):
            return dataset[index]
    except Exception as error:
        raise blamed(error, f"DataLoader: while reading sample index {index} (batch {number})")  # noqa: B904


def _named(indices: Any, most: int = 8) -> str:
    shown = ", ".join(str(index) for index in list(indices)[:most])
    return f"sample indices [{shown}{', ...' if len(indices) > most else ''}]"


class _Channel:
    """What worker threads and consumer share."""

    def __init__(self) -> None:
        self.tasks: SimpleQueue[tuple[int, Any] | None] = SimpleQueue()
        self.arrived = threading.Condition()
        self.outcomes: dict[int, tuple[Any, BaseException | None]] = {}
        self.closed = False
        self.process = os.getpid()

    def put(self, number: int, batch: Any, error: BaseException | None) -> None:
        with self.arrived:
            self.outcomes[number] = (batch, error)
            self.arrived.notify_all()

    def close(self, workers: int) -> None:
        # Runs in finalizers too: nothing here may wait. SimpleQueue.put is safe there.
        if os.getpid() != self.process:
            return  # a forked child has no worker threads to end
        self.closed = True
        for _ in range(workers):
            self.tasks.put(None)


def _work(channel: _Channel, load: Load) -> None:
    while (task := channel.tasks.get()) is not None and not channel.closed:
        batch = error = None
        try:
            batch = load(*task)
        except BaseException as caught:  # SystemExit and KeyboardInterrupt too belong to the consumer
            error = caught
        channel.put(task[0], batch, error)
        # While this thread waits for its next task, it must not keep the batch alive.
        del batch, error, task


class ThreadedBatches:
    """Iterator over batches that `num_workers` threads load ahead.

    Args:
        tasks: (number, indices) in the order of delivery; advanced by the consumer's thread only.
        load: makes a batch from one task, in a worker thread.
        num_workers: threads, at least 1.
        prefetch_factor: batches loaded ahead per thread.
        timeout: seconds to wait for a batch; 0 waits for ever.
    """

    POLL = 0.5  # seconds between two looks at whether the threads still live

    def __init__(
        self,
        tasks: Iterator[tuple[int, Any]],
        load: Load,
        num_workers: int,
        prefetch_factor: int,
        timeout: float,
    ) -> None:
        self._tasks, self._load, self._timeout = tasks, load, timeout
        # One more than is asked for ahead: the batch that the consumer is about to take.
        self._limit = num_workers * prefetch_factor + 1
        self._expected: list[int] = []  # numbers under way, in order
        self._exhausted = False
        self._channel = _Channel()
        self._end = weakref.finalize(self, self._channel.close, num_workers)
        self._threads = [
            threading.Thread(
                target=_work, args=(self._channel, load), name=f"pynet-loader-{worker}", daemon=True
            )
            for worker in range(num_workers)
        ]
        for thread in self._threads:
            thread.start()

    def __iter__(self) -> ThreadedBatches:
        return self

    def __next__(self) -> Any:
        if not self._end.alive:
            raise StopIteration
        if os.getpid() != self._channel.process:
            raise RuntimeError(
                "DataLoader: this iterator was started before a fork; call iter(loader) in the child"
            )
        try:
            self._assign()
            if not self._expected:
                raise StopIteration
            batch, error = self._wait(self._expected.pop(0))
            if error is not None:
                raise error
            return batch
        except BaseException:
            self.close()
            raise
        finally:
            error = None  # else this frame and the traceback would hold each other

    def _assign(self) -> None:
        while not self._exhausted and len(self._expected) < self._limit:
            try:
                number, indices = next(self._tasks)
            except StopIteration:
                self._exhausted = True
            except Exception as error:
                # What the sampler raises is raised in its turn, after the batches before it.
                self._exhausted = True
                self._expected.append(-1)
                self._channel.put(-1, None, error)
            else:
                self._expected.append(number)
                self._channel.tasks.put((number, indices))

    def _wait(self, number: int) -> tuple[Any, BaseException | None]:
        deadline = time.monotonic() + self._timeout if self._timeout else None
        channel = self._channel
        with channel.arrived:
            while number not in channel.outcomes:
                left = self.POLL if deadline is None else deadline - time.monotonic()
                if left <= 0:
                    raise RuntimeError(
                        f"DataLoader: batch {number} did not arrive within timeout={self._timeout} "
                        "seconds; a worker hangs in the dataset or collate_fn, or the timeout is too short"
                    )
                if not all(thread.is_alive() for thread in self._threads):
                    raise RuntimeError(f"DataLoader: a worker thread ended before batch {number} was loaded")
                channel.arrived.wait(min(left, self.POLL))
            return channel.outcomes.pop(number)

    def close(self) -> None:
        """Ends the threads; one that is inside the data set ends when the data set returns."""
        self._end()
        self._channel.outcomes.clear()
        for thread in self._threads:
            # An idle thread ends at once; the limit is for one that is at work.
            if thread is not threading.current_thread():
                thread.join(timeout=0.05)


def serial_batches(tasks: Iterator[tuple[int, Any]], load: Load) -> Iterator[Any]:
    """The same without threads."""
    for number, indices in tasks:
        yield load(number, indices)
