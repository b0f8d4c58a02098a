"""DataLoader: batches, order, workers, resuming, and what happens when something goes wrong."""

from __future__ import annotations

import gc
import itertools
import json
import os
import signal
import threading
import time
import traceback

import numpy as np
import pytest

import pynet.random
from pynet.data import (
    ArrayDataset,
    BatchSampler,
    ConcatDataset,
    DataLoader,
    Dataset,
    RandomSampler,
    Sampler,
    Subset,
    WeightedRandomSampler,
)
from pynet.random import Generator

WORKERS = (0, 1, 3)


class Squares(Dataset):
    """Samples that have to be fetched one by one; `slow` sleeps by turns so that threads finish out of
    order."""

    def __init__(self, length=20, slow=False, bad=None, error=ValueError):
        self.length, self.slow, self.bad, self.error = length, slow, bad, error

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        if self.slow:
            time.sleep(0.002 * (index % 3))
        if index == self.bad:
            raise self.error(f"no square of {index}")
        return np.full(2, index**2, np.float32), index


def arrays(length=20):
    return ArrayDataset(np.arange(length * 2, dtype=np.float32).reshape(length, 2), np.arange(length))


def labels(iterator):
    return [batch[1].array.tolist() for batch in iterator]


def loader_threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("pynet-loader")]


def no_threads_within(seconds):
    deadline = time.monotonic() + seconds
    while loader_threads() and time.monotonic() < deadline:
        time.sleep(0.01)
    return not loader_threads()


@pytest.mark.parametrize("workers", WORKERS)
@pytest.mark.parametrize("dataset", [arrays(10), Squares(10)], ids=["gather", "samples"])
@pytest.mark.parametrize(
    ("drop_last", "expected"),
    [(False, [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]), (True, [[0, 1, 2, 3], [4, 5, 6, 7]])],
)
def test_batches(workers, dataset, drop_last, expected):
    loader = DataLoader(dataset, batch_size=4, drop_last=drop_last, num_workers=workers)
    assert labels(loader) == expected and len(loader) == len(expected)


def test_a_gathered_batch_equals_one_of_samples():
    dataset = arrays()
    gathered = next(iter(DataLoader(dataset, batch_size=7, shuffle=True, generator=1)))
    dataset.gather = lambda indices: None
    single = next(iter(DataLoader(dataset, batch_size=7, shuffle=True, generator=1)))
    assert type(gathered) is type(single) is tuple
    for one, other in zip(gathered, single, strict=True):
        assert one.array.dtype == other.array.dtype and np.array_equal(one.array, other.array)


def test_a_gathered_batch_asks_the_dataset_for_no_single_sample(monkeypatch):
    monkeypatch.setattr(ArrayDataset, "__getitem__", lambda self, index: pytest.fail("fetched one by one"))
    assert len(labels(DataLoader(Subset(arrays(), range(9)), batch_size=3))) == 3


@pytest.mark.parametrize("workers", WORKERS)
def test_kernel_order_of_the_images_reaches_the_batch(workers):
    stored = np.random.default_rng(0).random((6, 4, 5, 3)).astype(np.float32)
    loader = DataLoader(ArrayDataset(stored.transpose(0, 3, 1, 2)), batch_size=4, num_workers=workers)
    (batch,) = next(iter(loader))
    assert batch.shape == (4, 3, 4, 5) and batch.array.transpose(0, 2, 3, 1).flags.c_contiguous


@pytest.mark.parametrize("dataset", [arrays(), Squares(slow=True)], ids=["gather", "samples"])
def test_order_does_not_depend_on_the_workers(dataset):
    epochs = []
    for workers in WORKERS:
        loader = DataLoader(dataset, batch_size=3, shuffle=True, num_workers=workers, generator=Generator(5))
        epochs.append([labels(loader) for _ in range(3)])
    assert epochs[0] == epochs[1] == epochs[2]
    first, second, third = epochs[0]
    assert first != second != third and sorted(itertools.chain(*second)) == list(range(20))


def test_order_of_an_epoch_does_not_depend_on_how_far_the_one_before_was_read():
    whole, cut = (DataLoader(arrays(), 3, shuffle=True, generator=2) for _ in range(2))
    list(whole)
    next(iter(cut))
    assert labels(whole) == labels(cut)


def test_manual_seed_rules_the_order():
    def epoch():
        pynet.random.manual_seed(11)
        return labels(DataLoader(arrays(), 4, shuffle=True))

    assert epoch() == epoch()


def test_loaders_that_share_a_generator_differ():
    generator = Generator(0)
    one, other = (DataLoader(arrays(), 4, shuffle=True, generator=generator) for _ in range(2))
    assert labels(one) != labels(other)


def test_an_unshuffled_loader_draws_nothing():
    generator = Generator(0)
    first = Generator(0).next_offset()
    loader = DataLoader(arrays(), 4, generator=generator)
    labels(loader)
    assert loader.state_dict()["seed"] is None and generator.next_offset() == first


@pytest.mark.parametrize("workers", WORKERS)
@pytest.mark.parametrize("delivered", [0, 1, 4, 7])
@pytest.mark.parametrize("dataset", [arrays(), Squares()], ids=["gather", "samples"])
def test_resume_gives_exactly_what_was_to_come(workers, delivered, dataset):
    loader = DataLoader(dataset, 3, shuffle=True, num_workers=workers, generator=Generator(9))
    list(loader)
    iterator = iter(loader)
    for _ in range(delivered):
        next(iterator)
    state = json.loads(json.dumps(loader.state_dict()))
    assert (state["epoch"], state["batches"]) == (1, delivered)
    rest, following = labels(iterator), labels(loader)
    resumed = DataLoader(dataset, 3, shuffle=True, num_workers=2 - min(workers, 2), generator=Generator(1))
    resumed.load_state_dict(state)
    assert len(rest) == 7 - delivered
    assert [labels(resumed), labels(resumed)] == [rest, following]
    assert resumed.state_dict() == loader.state_dict()


def test_resume_with_a_weighted_sampler_and_with_one_of_the_user():
    class Reversed(Sampler):
        def __iter__(self):
            return iter(range(19, -1, -1))

        def __len__(self):
            return 20

    for sampler in (
        WeightedRandomSampler(np.arange(20), 20, generator=Generator(4)),
        Reversed(),
        range(19, -1, -1),
    ):
        loader = DataLoader(arrays(), 3, sampler=sampler)
        iterator = iter(loader)
        next(iterator), next(iterator)
        resumed = DataLoader(arrays(), 3, sampler=sampler)
        resumed.load_state_dict(loader.state_dict())
        assert labels(resumed) == labels(iterator)


def test_state_of_a_finished_epoch_points_to_the_next():
    loader = DataLoader(arrays(), 3, shuffle=True, generator=0)
    list(loader)
    assert (loader.state_dict()["epoch"], loader.state_dict()["batches"], loader.epoch) == (1, 0, 1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"batches": -1}, "'batches' must be an integer from 0 on, got -1"),
        ({"epoch": 1.5}, r"'epoch' must be an integer from 0 on, got 1\.5"),
        ({"epoch": None}, "'epoch' must be an integer"),
        ({"seed": 2**64}, "'seed' must be"),
        ({"stream": None}, "both seed and stream"),
        ({"stream": None, "seed": None}, "the state is of an ordered loader, this one is shuffled"),
        ({"samples": 19}, "the state is of 19 samples in batches of 3, this loader has 20 in batches of 3"),
        ({"batch_size": 4}, "the state is of 20 samples in batches of 4"),
        ({"extra": 1}, "a state has the entries"),
    ],
)
def test_a_wrong_state_is_refused_and_changes_nothing(change, message):
    loader = DataLoader(arrays(), 3, shuffle=True, generator=0)
    before = loader.state_dict()
    with pytest.raises(ValueError, match=message):
        loader.load_state_dict({**before, **change})
    assert loader.state_dict() == before


@pytest.mark.parametrize("workers", WORKERS)
def test_an_error_of_the_dataset_keeps_type_traceback_and_place(workers):
    loader = DataLoader(Squares(bad=13), 4, num_workers=workers)
    iterator = iter(loader)
    assert [next(iterator)[1].array.tolist()[0] for _ in range(3)] == [0, 4, 8]
    with pytest.raises(ValueError, match="no square of 13") as caught:
        next(iterator)
    text = "".join(traceback.format_exception(caught.value))
    assert "sample index 13 (batch 3)" in text and "in __getitem__" in text
    assert list(iterator) == []
    assert no_threads_within(2)
    loader.dataset.bad = None
    assert len(labels(loader)) == 5


@pytest.mark.parametrize("workers", WORKERS)
def test_an_error_of_collate_names_the_samples(workers):
    def collate(samples):
        raise KeyError("broken")

    with pytest.raises(KeyError, match="broken") as caught:
        list(DataLoader(Squares(), 2, num_workers=workers, collate_fn=collate))
    text = "".join(traceback.format_exception(caught.value))
    assert "while collating sample indices [0, 1] (batch 0)" in text and "in collate" in text


def test_an_error_of_a_batched_transform_names_the_samples():
    def transform(batch):
        raise ZeroDivisionError("by zero")

    transform.batched = True
    with pytest.raises(ZeroDivisionError, match="by zero") as caught:
        list(DataLoader(ArrayDataset(np.zeros((30, 2)), transform=transform), 20))
    text = "".join(traceback.format_exception(caught.value))
    assert "sample indices [0, 1, 2, 3, 4, 5, 6, 7, ...] (batch 0)" in text


@pytest.mark.parametrize("workers", WORKERS)
def test_stop_iteration_in_a_dataset_does_not_end_the_loop_quietly(workers):
    with pytest.raises(RuntimeError, match=r"sample index 5 \(batch 1\): StopIteration raised"):
        list(DataLoader(Squares(bad=5, error=StopIteration), 4, num_workers=workers))


@pytest.mark.parametrize("workers", WORKERS)
@pytest.mark.parametrize("dataset", [arrays(), Squares()], ids=["gather", "samples"])
@pytest.mark.parametrize("wrong", [20, -21, 2**40])
def test_a_sampler_out_of_range(workers, dataset, wrong):
    iterator = iter(DataLoader(dataset, 2, sampler=[0, 1, wrong, 2], num_workers=workers))
    assert next(iterator)[1].array.tolist() == [0, 1]
    with pytest.raises(IndexError, match=f"index {wrong} is out of range for 20 samples"):
        next(iterator)


@pytest.mark.parametrize("workers", WORKERS)
def test_an_error_of_the_sampler_comes_after_the_batches_before_it(workers):
    def indices():
        yield from range(4)
        raise OSError("no more indices")

    iterator = iter(DataLoader(arrays(), sampler=indices(), batch_size=2, num_workers=workers))
    assert [next(iterator)[1].array.tolist() for _ in range(2)] == [[0, 1], [2, 3]]
    with pytest.raises(OSError, match="no more indices"):
        next(iterator)


@pytest.mark.parametrize("workers", WORKERS)
def test_empty_short_and_none_left(workers):
    assert list(DataLoader(arrays(0), 4, num_workers=workers)) == []
    assert len(DataLoader(arrays(0), 4)) == 0
    assert labels(DataLoader(arrays(3), 8, num_workers=workers)) == [[0, 1, 2]]
    short = DataLoader(arrays(3), 8, drop_last=True, num_workers=workers)
    assert list(short) == [] and len(short) == 0
    with pytest.raises(ValueError, match="the data set is empty, there is nothing to shuffle"):
        DataLoader(arrays(0), 4, shuffle=True)


@pytest.mark.parametrize("leave", ["break", "close", "exception"])
def test_leaving_early_ends_the_threads(leave):
    loader = DataLoader(Squares(1000, slow=True), 4, num_workers=3)
    if leave == "break":
        for _ in loader:
            assert len(loader_threads()) == 3
            break
    elif leave == "close":
        iterator = iter(loader)
        next(iterator)
        iterator.close()
        assert list(iterator) == []
    else:
        with pytest.raises(ArithmeticError):
            for _ in loader:
                raise ArithmeticError
    gc.collect()
    assert no_threads_within(2)
    assert len(next(iter(loader))) == 2


def test_leaving_early_drops_what_was_to_be_loaded():
    asked = []

    class Counting(Squares):
        def __getitem__(self, index):
            asked.append(index)
            time.sleep(0.05)
            return super().__getitem__(index)

    next(iter(DataLoader(Counting(30), 1, num_workers=1, prefetch_factor=30)))
    assert no_threads_within(1)
    assert len(asked) <= 4


def test_nothing_is_left_after_whole_epochs():
    loader = DataLoader(arrays(), 4, num_workers=3)
    for _ in range(20):
        labels(loader)
    assert no_threads_within(2)


def test_no_more_batches_are_loaded_ahead_than_asked_for():
    asked = []

    class Counting(Squares):
        def __getitem__(self, index):
            asked.append(index)
            return super().__getitem__(index)

    iterator = iter(DataLoader(Counting(100), 1, num_workers=2, prefetch_factor=3))
    next(iterator)
    time.sleep(0.3)
    assert len(asked) == 1 + 2 * 3


def test_batches_are_not_kept_alive():
    import weakref

    class Box:
        pass

    iterator = iter(DataLoader(Squares(6), 1, num_workers=1, collate_fn=lambda samples: Box()))
    boxes = [weakref.ref(next(iterator)) for _ in range(6)]
    time.sleep(0.2)
    gc.collect()
    assert [box() for box in boxes] == [None] * 6


def test_a_hanging_worker_runs_into_the_timeout():
    release = threading.Event()

    class Hanging(Squares):
        def __getitem__(self, index):
            if index == 4:
                release.wait(30)
            return super().__getitem__(index)

    loader = DataLoader(Hanging(), 2, num_workers=2, timeout=0.3)
    iterator = iter(loader)
    try:
        next(iterator), next(iterator)
        started = time.monotonic()
        with pytest.raises(RuntimeError, match=r"batch 2 did not arrive within timeout=0\.3 seconds"):
            next(iterator)
        assert time.monotonic() - started < 2
    finally:
        release.set()
    assert no_threads_within(2)
    assert len(labels(loader)) == 10


def test_a_worker_that_is_slower_than_one_poll_is_waited_for():
    class Slow(Squares):
        def __getitem__(self, index):
            time.sleep(0.7)
            return super().__getitem__(index)

    assert labels(DataLoader(Slow(1), num_workers=1)) == [[0]]


def test_ctrl_c_while_waiting_ends_at_once():
    release = threading.Event()

    class Hanging(Squares):
        def __getitem__(self, index):
            release.wait(30)
            return super().__getitem__(index)

    loader = DataLoader(Hanging(), 2, num_workers=1)
    sent = []

    def interrupt():
        sent.append(time.monotonic())
        os.kill(os.getpid(), signal.SIGINT)

    timer = threading.Timer(0.3, interrupt)
    timer.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            next(iter(loader))
        assert time.monotonic() - sent[0] < 1
    finally:
        timer.cancel()
        release.set()
    assert no_threads_within(2)
    assert loader.state_dict()["batches"] == 0


def test_an_iterator_from_before_a_fork_is_refused_in_the_child():
    iterator = iter(DataLoader(Squares(100, slow=True), 2, num_workers=1))
    next(iterator)
    read, write = os.pipe()
    child = os.fork()
    if child == 0:  # pragma: no cover
        try:
            next(iterator)
            os.write(write, b"a batch")
        except RuntimeError as error:
            os.write(write, str(error).encode())
        finally:
            os._exit(0)
    os.close(write)
    os.waitpid(child, 0)
    with os.fdopen(read) as answer:
        assert "started before a fork" in answer.read()


def test_batch_sampler():
    assert labels(DataLoader(arrays(), batch_sampler=[[3, 1], [2]])) == [[3, 1], [2]]
    random = BatchSampler(RandomSampler(range(20), generator=Generator(3)), 4)
    loaders = [DataLoader(arrays(), batch_sampler=random) for _ in range(2)]
    loaders[1].load_state_dict(loaders[0].state_dict())
    assert labels(loaders[0]) == labels(loaders[1]) and loaders[0].batch_size == 4


def test_collate_fn_gets_the_list_of_samples():
    seen = []
    list(DataLoader(arrays(3), 2, collate_fn=lambda samples: seen.append(samples)))
    assert [[int(label) for _, label in samples] for samples in seen] == [[0, 1], [2]]


def test_a_mapping_style_dataset_with_its_own_keys():
    dataset = {"a": 1.0, "b": 2.0}
    assert [batch.array.tolist() for batch in DataLoader(dataset, 2, sampler=["b", "a"])] == [[2, 1]]


def test_joined_arrays():
    joined = ConcatDataset([arrays(3), arrays(2)])
    assert labels(DataLoader(joined, 4)) == [[0, 1, 2, 0], [1]]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"batch_size": 0}, ValueError, "batch_size must be at least 1, got 0"),
        ({"batch_size": 2.0}, TypeError, r"batch_size must be an integer, got 2\.0"),
        ({"batch_size": None}, ValueError, "batch_size=None needs a batch_sampler"),
        ({"num_workers": -1}, ValueError, "num_workers must not be negative, got -1"),
        ({"num_workers": 1.5}, TypeError, "num_workers must be an integer"),
        ({"shuffle": "yes"}, TypeError, "shuffle must be a bool, got 'yes'"),
        ({"shuffle": True, "sampler": [0]}, ValueError, "sampler excludes shuffle=True"),
        ({"batch_sampler": [[0]], "shuffle": True}, ValueError, "batch_sampler excludes"),
        ({"batch_sampler": [[0]], "batch_size": 2}, ValueError, "batch_sampler excludes"),
        ({"timeout": 1}, ValueError, "timeout needs num_workers of at least 1"),
        ({"timeout": -1, "num_workers": 1}, ValueError, "timeout must be a number of seconds"),
        ({"prefetch_factor": 0}, ValueError, "prefetch_factor must be at least 1"),
        ({"drop_last": 1}, TypeError, "drop_last must be a bool"),
        ({"dataset": 3}, TypeError, "dataset must have __getitem__, got int"),
    ],
)
def test_contradicting_arguments(arguments, error, message):
    with pytest.raises(error, match=message):
        DataLoader(**{"dataset": arrays(), **arguments})
