"""What a search draws from: a dictionary of distributions, and the drawing itself.

An entry is one of the distributions below, anything with scipy's ``rvs`` (``scipy.stats.norm(0, 1)``), a
function of a ``numpy.random.Generator``, or a fixed value. Every parameter of every trial has random numbers
of its own, a function of the search's seed, the trial's number and the parameter's name: it depends neither
on the order in which trials run nor on the other entries.
"""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np


class Distribution(NamedTuple):
    """A function that draws a value with a ``numpy.random.Generator``, and how it was written."""

    draw: Callable[[np.random.Generator], Any]
    text: str

    def __repr__(self) -> str:
        return self.text


def uniform(low: float, high: float) -> Distribution:
    """A float in [low, high), every one as likely.

    Raises:
        ValueError: `low` is not below `high`, or one is not finite.
    """
    _check_range("uniform", low, high)
    return Distribution(lambda rng: float(rng.uniform(low, high)), f"uniform({low}, {high})")


def loguniform(low: float, high: float) -> Distribution:
    """A float in [low, high) whose logarithm is uniform: for rates and penalties, whose magnitude is sought.

    Raises:
        ValueError: `low` is not positive or not below `high`, or one is not finite.
    """
    _check_range("loguniform", low, high)
    if low <= 0:
        raise ValueError(f"loguniform: low must be greater than 0, got {low}; zero has no logarithm")
    a, b = math.log(low), math.log(high)
    return Distribution(
        lambda rng: min(max(math.exp(rng.uniform(a, b)), low), high), f"loguniform({low}, {high})"
    )


def integer(low: int, high: int, *, log: bool = False) -> Distribution:
    """An int from `low` to `high`, both included.

    Args:
        low: the smallest.
        high: the largest.
        log: draw from a uniform logarithm, rounded: small ints are then likelier; needs `low` of at least 1.

    Raises:
        TypeError: a bound is no int. ValueError: `low` is not below `high`, or not positive with `log`.
    """
    for bound in (low, high):
        if isinstance(bound, bool) or not isinstance(bound, int):
            raise TypeError(f"integer: the bounds must be ints, got {bound!r}")
    _check_range("integer", low, high)
    if not log:
        return Distribution(lambda rng: int(rng.integers(low, high + 1)), f"integer({low}, {high})")
    if low < 1:
        raise ValueError(f"integer: low must be at least 1 where log=True, got {low}")
    a, b = math.log(low - 0.5), math.log(high + 0.5)
    return Distribution(
        lambda rng: min(max(round(math.exp(rng.uniform(a, b))), low), high),
        f"integer({low}, {high}, log=True)",
    )


def choice(values: Sequence[Any]) -> Distribution:
    """One of `values`, every one as likely.

    Raises:
        TypeError: a str, or no sequence. ValueError: nothing to choose from.
    """
    if isinstance(values, str) or not isinstance(values, Sequence):
        raise TypeError(f"choice: give a list of values, got {values!r}")
    if not values:
        raise ValueError("choice: there is nothing to choose from")
    options = list(values)
    return Distribution(lambda rng: options[int(rng.integers(len(options)))], f"choice({options})")


def check_space(owner: str, space: Mapping[str, Any]) -> None:
    """Refuse what is no space, in the name of `owner`.

    Raises:
        TypeError: no mapping, a name that is no str, or an entry that could be a choice or a value.
        ValueError: an empty space.
    """
    if not isinstance(space, Mapping):
        raise TypeError(f"{owner}: space must be a dict of distributions, got {type(space).__name__}")
    if not space:
        raise ValueError(f"{owner}: the space is empty; give a dict such as {{'lr': loguniform(1e-4, 1e-1)}}")
    for name, entry in space.items():
        if not isinstance(name, str):
            raise TypeError(f"{owner}: the names of the space must be strings, got {name!r}")
        if isinstance(entry, (list, tuple, set, dict)) and not isinstance(entry, Distribution):
            raise TypeError(
                f"{owner}: {name!r} is a {type(entry).__name__}; write choice([...]) to draw one of several "
                "values, choice([value]) to fix one"
            )


def draw(space: Mapping[str, Any], seed: int, number: int) -> dict[str, Any]:
    """The parameters of trial `number`: JSON values, always the same for the same space, seed and number.

    Raises:
        TypeError: a drawn value is no JSON value.
    """
    drawn = {}
    for name, entry in space.items():
        rng = np.random.default_rng([seed, number, zlib.crc32(name.encode())])
        if isinstance(entry, Distribution):
            value = entry.draw(rng)
        elif hasattr(entry, "rvs"):
            value = entry.rvs(random_state=rng)
        elif callable(entry):
            value = entry(rng)
        else:
            value = entry
        drawn[name] = _plain(name, value)
    return drawn


def _plain(name: str, value: Any) -> Any:
    """As JSON gives it back: a NumPy number becomes a Python number, a tuple a list."""
    if isinstance(value, (np.generic, np.ndarray)):
        value = value.tolist()
    try:
        return json.loads(json.dumps(value, allow_nan=False))
    except (TypeError, ValueError):
        raise TypeError(
            f"search: the parameter {name!r} is {value!r}, which a file of trials cannot hold; draw its name "
            "or a number, and look it up in the objective"
        ) from None


def _check_range(owner: str, low: float, high: float) -> None:
    if not (math.isfinite(low) and math.isfinite(high)):
        raise ValueError(f"{owner}: the bounds must be finite, got {low} and {high}")
    if not low < high:
        raise ValueError(f"{owner}: low must be below high, got {low} and {high}")
