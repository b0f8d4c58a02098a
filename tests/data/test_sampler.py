"""Samplers: what they draw, and that a seed and an epoch settle it."""

from __future__ import annotations

import numpy as np
import pytest

from pynet.data import (
    BatchSampler,
    RandomSampler,
    Sampler,
    SequentialSampler,
    SubsetRandomSampler,
    WeightedRandomSampler,
)
from pynet.data.sampler import draw_seed, host_generator
from pynet.random import Generator

SEEDED = [
    RandomSampler(range(40)),
    RandomSampler(range(40), replacement=True, num_samples=30),
    WeightedRandomSampler(np.arange(40.0), 30),
    WeightedRandomSampler(np.arange(40.0), 30, replacement=False),
    SubsetRandomSampler(np.arange(40) * 3),
]


@pytest.mark.parametrize("sampler", SEEDED, ids=lambda sampler: type(sampler).__name__)
def test_order_is_a_function_of_seed_and_epoch(sampler):
    orders = [
        sampler.order(seed, epoch).tolist()
        for seed, epoch in [((1, 0), 0), ((1, 0), 1), ((1, 1), 0), ((2, 0), 0)]
    ]
    assert sampler.order((1, 0), 1).tolist() == orders[1]
    assert all(orders[0] != other for other in orders[1:])
    assert len(orders[0]) == len(sampler)


@pytest.mark.parametrize("sampler", SEEDED, ids=lambda sampler: type(sampler).__name__)
def test_iterating_by_hand_takes_a_fresh_pass_of_plain_ints(sampler):
    first, second = list(sampler), list(sampler)
    assert first != second and {type(index) for index in first} == {int}


def test_sequential():
    assert list(SequentialSampler("abcd")) == [0, 1, 2, 3]


def test_random_is_a_permutation():
    assert sorted(RandomSampler(range(9), generator=4)) == list(range(9))
    more = list(RandomSampler(range(4), num_samples=10, generator=4))
    assert sorted(more[:4]) == sorted(more[4:8]) == [0, 1, 2, 3] and len(more) == 10


def test_random_with_replacement_covers_the_range():
    drawn = np.bincount(list(RandomSampler(range(4), True, 8000, generator=0)), minlength=4)
    assert len(drawn) == 4 and abs(drawn - 2000).max() < 200  # five standard deviations


def test_weighted_draws_in_proportion_and_never_at_weight_zero():
    drawn = np.bincount(list(WeightedRandomSampler([0, 1, 0, 3, 0], 8000, generator=0)), minlength=5)
    assert drawn[[0, 2, 4]].tolist() == [0, 0, 0] and abs(drawn[3] - 6000) < 200


def test_weighted_gives_a_draw_of_exactly_zero_to_no_weight_of_zero(monkeypatch):
    class Lowest:
        def random(self, count):
            return np.zeros(count)

    monkeypatch.setattr("pynet.data.sampler.host_generator", lambda seed, epoch: Lowest())
    assert WeightedRandomSampler([0, 0, 2, 1], 2).order((0, 0), 0).tolist() == [2, 2]


def test_weighted_without_replacement_draws_each_once():
    drawn = list(WeightedRandomSampler([0, 1, 2, 3, 0], 3, replacement=False, generator=0))
    assert sorted(drawn) == [1, 2, 3]


@pytest.mark.parametrize(
    ("drop_last", "expected"), [(False, [[0, 1, 2], [3, 4, 5], [6]]), (True, [[0, 1, 2], [3, 4, 5]])]
)
@pytest.mark.parametrize("sampler", [SequentialSampler(range(7)), range(7)])
def test_batches(drop_last, expected, sampler):
    batches = BatchSampler(sampler, 3, drop_last)
    assert [list(batch) for batch in batches] == expected and len(batches) == len(expected)


def test_batch_sampler_takes_over_the_generator_of_its_sampler():
    generator = Generator(5)
    assert BatchSampler(RandomSampler(range(3), generator=generator), 2).generator is generator


def test_streams_of_two_epochs_do_not_overlap():
    first, second = (host_generator((3, 1), epoch).integers(0, 2**63, 1000) for epoch in (0, 1))
    assert not set(first.tolist()) & set(second.tolist())


def test_draw_seed():
    assert draw_seed(12) == (12, 0)
    generator = Generator(7)
    first, second = draw_seed(generator), draw_seed(generator)
    assert first[0] == second[0] == 7 and first[1] != second[1]
    with pytest.raises(ValueError, match=r"a seed must be in \[0, 2\*\*64\), got -1"):
        draw_seed(-1)
    with pytest.raises(
        TypeError, match=r"generator must be a pynet\.random\.Generator, an int or None, got bool"
    ):
        draw_seed(True)


def test_refusals():
    with pytest.raises(ValueError, match="RandomSampler: the data set is empty"):
        RandomSampler([])
    with pytest.raises(ValueError, match="num_samples must be at least 1, got 0"):
        RandomSampler(range(3), num_samples=0)
    with pytest.raises(TypeError, match="replacement must be a bool"):
        RandomSampler(range(3), replacement=1)
    with pytest.raises(TypeError, match=r"batch_size must be an integer, got 2\.0"):
        BatchSampler(range(3), 2.0)
    with pytest.raises(ValueError, match="batch_size must be at least 1, got 0"):
        BatchSampler(range(3), 0)
    for weights in ([-1, 2], [np.nan, 1], [0, 0], [np.inf, 1]):
        with pytest.raises(ValueError, match="finite, not negative and not all zero"):
            WeightedRandomSampler(weights, 1)
    with pytest.raises(ValueError, match=r"one axis, got shape \(1, 2\)"):
        WeightedRandomSampler([[1, 2]], 1)
    with pytest.raises(ValueError, match="cannot draw 2 samples without replacement from 1 positive"):
        WeightedRandomSampler([0, 1], 2, replacement=False)
    with pytest.raises(NotImplementedError, match=r"must define order\(seed, epoch\)"):
        iter(Sampler())
