"""Fixtures for the kernel tests: every ISA level that this CPU runs, and several thread counts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from pynet import _core

THREAD_COUNTS = (1, 2, 3)


@pytest.fixture(params=_core.isa_levels())
def isa(request: pytest.FixtureRequest) -> Iterator[str]:
    """Runs the test once at each level, and restores the level that was chosen."""
    before = _core.isa()
    _core._set_isa(request.param)
    yield request.param
    _core._set_isa(before)


def _arrays(result: Any) -> list[np.ndarray]:
    if isinstance(result, (tuple, list)):
        return [a for part in result for a in _arrays(part)]
    return [] if result is None else [np.asarray(result)]


@pytest.fixture
def same_bits() -> Iterator[Callable[[Callable[[], Any]], Any]]:
    """same_bits(fn): runs fn at 1, 2 and 3 threads, asserts the same bits, returns the first result."""
    before = _core.get_num_threads()

    def run(fn: Callable[[], Any]) -> Any:
        results = []
        for threads in THREAD_COUNTS:
            _core.set_num_threads(threads)
            results.append(fn())
        first = _arrays(results[0])
        for threads, result in zip(THREAD_COUNTS[1:], results[1:], strict=True):
            for a, b in zip(first, _arrays(result), strict=True):
                assert a.tobytes() == b.tobytes(), f"{threads} threads give other bits than one"
        return results[0]

    yield run
    _core.set_num_threads(before)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)
