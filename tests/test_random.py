"""Generators: seeds, states, streams."""

from __future__ import annotations

import copy
import pickle
import threading

import numpy as np
import pytest

import pynet
from pynet.random import (
    Generator,
    default_generator,
    get_rng_state,
    initial_seed,
    numpy_generator,
    set_rng_state,
)


def test_every_draw_has_its_own_number():
    generator = Generator(3)
    assert [generator.next_offset() for _ in range(3)] == [0, 1, 2]
    assert generator.manual_seed(5) is generator and (generator.seed, generator.offset) == (5, 0)
    assert generator.initial_seed() == 5 and repr(generator) == "Generator(seed=5, offset=0)"


def test_threads_never_share_a_number():
    generator = Generator()
    drawn = []
    threads = [
        threading.Thread(target=lambda: drawn.extend([generator.next_offset() for _ in range(500)]))
        for _ in range(4)
    ]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert sorted(drawn) == list(range(2000))


def test_state_continues_the_stream():
    pynet.manual_seed(11)
    assert initial_seed() == 11 and default_generator.seed == 11
    pynet.rand(3)
    state = get_rng_state()
    first = pynet.rand(3).tolist()
    set_rng_state(state)
    assert pynet.rand(3).tolist() == first
    with pytest.raises(ValueError, match="dict of seed and offset"):
        set_rng_state({"seed": 1})
    with pytest.raises(ValueError, match="must not be negative"):
        set_rng_state({"seed": 1, "offset": -1})


def test_copies():
    generator = Generator(2)
    generator.next_offset()
    for made in (copy.deepcopy(generator), pickle.loads(pickle.dumps(generator))):
        assert made.get_state() == generator.get_state() and made is not generator


def test_seeds_that_are_refused():
    for seed in (1.0, "1", None, True):
        with pytest.raises(TypeError, match="a seed must be an int"):
            Generator(seed)
    with pytest.raises(OverflowError, match="must fit into 64 bits"):
        pynet.manual_seed(2**64)
    assert Generator(np.int64(4)).seed == 4 and Generator(-1).seed == 2**64 - 1


def test_numpy_generator():
    first = numpy_generator(Generator(1)).permutation(50).tolist()
    assert numpy_generator(Generator(1)).permutation(50).tolist() == first
    source = Generator(1)
    assert numpy_generator(source).permutation(50).tolist() == first
    assert numpy_generator(source).permutation(50).tolist() != first
