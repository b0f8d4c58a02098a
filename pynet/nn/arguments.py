"""Checks of constructor arguments that several layers share: sizes, pairs, probabilities."""

from __future__ import annotations

import operator
from typing import Any

from ..devices import on_cpu as on_cpu


def integer(owner: str, name: str, value: Any, least: int = 1) -> int:
    """`value` as an int.

    Raises:
        TypeError: a bool, a float or anything else that is no integer.
        ValueError: less than `least`.
    """
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"{owner}: {name} must be an int, got {value!r}")
    value = operator.index(value)
    if value < least:
        raise ValueError(f"{owner}: {name} must be at least {least}, got {value}")
    return value


def pair(owner: str, name: str, value: Any, least: int = 1) -> tuple[int, int]:
    """`value`, an int or two of them, as (height, width).

    Raises:
        TypeError: something else.
        ValueError: another count than two, or less than `least`.
    """
    if isinstance(value, (tuple, list)):
        if len(value) != 2:
            raise ValueError(f"{owner}: {name} must be an int or a pair (height, width), got {value!r}")
        return integer(owner, name, value[0], least), integer(owner, name, value[1], least)
    value = integer(owner, name, value, least)
    return value, value


def single(owner: str, name: str, value: Any, least: int = 1) -> tuple[int]:
    """`value`, an int or a tuple of one, as a tuple; errors as ``pair``."""
    if isinstance(value, (tuple, list)):
        if len(value) != 1:
            raise ValueError(f"{owner}: {name} must be one int, got {value!r}")
        value = value[0]
    return (integer(owner, name, value, least),)


def unchanged(owner: str, name: str, value: Any, least: int = 1) -> Any:
    """`value` as it was given, an int or a tuple, once ``pair`` accepts it."""
    checked = pair(owner, name, value, least)
    return checked if isinstance(value, (tuple, list)) else checked[0]


def probability(owner: str, value: Any) -> float:
    """`value` in [0, 1].

    Raises:
        TypeError: no number.
        ValueError: outside [0, 1], or NaN.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{owner}: p must be a number, got {value!r}")
    if not 0 <= value <= 1:
        raise ValueError(f"{owner}: p must be a probability in [0, 1], got {value}")
    return value


def non_negative(owner: str, name: str, value: Any) -> float:
    """`value` >= 0.

    Raises:
        TypeError: no number.
        ValueError: negative, infinite or NaN.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{owner}: {name} must be a number, got {value!r}")
    if not 0 <= value < float("inf"):
        raise ValueError(f"{owner}: {name} must be finite and not negative, got {value}")
    return value
