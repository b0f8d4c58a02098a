"""Random numbers: generators that hand out streams, and the state of the default one.

Numbers are counter-based (Philox4x32-10, Salmon et al. 2011): element i of draw number d under a seed is a
fixed function of (seed, d, i), whatever the thread count. A generator is therefore just a seed and a count
of draws.
"""

from __future__ import annotations

import operator
import secrets
import threading
from typing import Any

import numpy as np

__all__ = [
    "Generator",
    "default_generator",
    "get_rng_state",
    "initial_seed",
    "manual_seed",
    "numpy_generator",
    "set_rng_state",
]


def _checked_seed(seed: Any) -> int:
    if isinstance(seed, (bool, np.bool_)):
        raise TypeError(f"a seed must be an int, got {seed!r}")
    try:
        number = operator.index(seed)
    except TypeError:
        raise TypeError(f"a seed must be an int, got {type(seed).__name__} {seed!r}") from None
    if not -(2**63) <= number < 2**64:
        raise OverflowError(f"a seed must fit into 64 bits, got {number}")
    return number % 2**64  # a negative seed counts from 2**64 down, as in PyTorch


class Generator:
    """A seed, and how many draws were made from it.

    Args:
        seed: an int of 64 bits; default 0.
    """

    __slots__ = ("_lock", "offset", "seed")

    def __init__(self, seed: int = 0) -> None:
        self.seed = _checked_seed(seed)
        self.offset = 0
        self._lock = threading.Lock()

    def next_offset(self) -> int:
        """The number of the next draw; every call gives another stream."""
        with self._lock:
            offset = self.offset
            self.offset = offset + 1
        return offset

    def manual_seed(self, seed: int) -> Generator:
        """Starts anew from a seed, and returns the generator."""
        self.seed, self.offset = _checked_seed(seed), 0
        return self

    def initial_seed(self) -> int:
        """The seed."""
        return self.seed

    def get_state(self) -> dict[str, int]:
        """Seed and offset, for `set_state`; plain ints, fit for JSON."""
        return {"seed": self.seed, "offset": self.offset}

    def set_state(self, state: dict[str, int]) -> None:
        """Continues where `get_state` was called.

        Raises:
            ValueError: not a state.
        """
        if not isinstance(state, dict) or set(state) != {"seed", "offset"}:
            raise ValueError(f"a generator's state is a dict of seed and offset, got {state!r}")
        offset = operator.index(state["offset"])
        if offset < 0:
            raise ValueError(f"a generator's offset must not be negative, got {offset}")
        self.seed, self.offset = _checked_seed(state["seed"]), offset

    def __deepcopy__(self, memo: dict[int, Any]) -> Generator:
        copy = Generator(self.seed)
        copy.offset = self.offset
        return copy

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (self.seed, self.offset)

    def __repr__(self) -> str:
        return f"Generator(seed={self.seed}, offset={self.offset})"


def _restored(seed: int, offset: int) -> Generator:
    generator = Generator(seed)
    generator.offset = offset
    return generator


# Seeded by the system, so that two runs differ unless `manual_seed` is called.
default_generator = Generator(secrets.randbits(63))


def manual_seed(seed: int) -> Generator:
    """Seeds the default generator, which rules initialisation, dropout, shuffling and `rand`.

    Args:
        seed: an int of 64 bits.
    Raises:
        TypeError: no int. OverflowError: more than 64 bits.
    """
    return default_generator.manual_seed(seed)


def initial_seed() -> int:
    """The seed of the default generator."""
    return default_generator.seed


def get_rng_state() -> dict[str, int]:
    """The state of the default generator."""
    return default_generator.get_state()


def set_rng_state(state: dict[str, int]) -> None:
    """Puts the default generator back into a state of `get_rng_state`."""
    default_generator.set_state(state)


def numpy_generator(generator: Generator | None = None) -> np.random.Generator:
    """A fresh NumPy generator on the next stream: for shuffling and drawing on the host.

    Args:
        generator: where the stream comes from; None for the default generator.
    """
    source = default_generator if generator is None else generator
    return np.random.Generator(np.random.Philox(key=np.array([source.seed, source.next_offset()], np.uint64)))
