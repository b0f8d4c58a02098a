"""The table of named architectures."""

from __future__ import annotations

import difflib
import inspect
import json
from collections.abc import Callable
from typing import Any, TypeVar

from ..nn import Module

Builder = TypeVar("Builder", bound=Callable[..., Module])
_BUILDERS: dict[str, Callable[..., Module]] = {}


def architecture(builder: Builder) -> Builder:
    """Enter `builder` into the table under its own name (a decorator)."""
    _BUILDERS[builder.__name__] = builder
    return builder


def available() -> list[str]:
    """Return the names that ``create`` knows, sorted."""
    return sorted(_BUILDERS)


def describe(name: str) -> str:
    """Return the first line of the documentation of the architecture `name`."""
    return (inspect.getdoc(_find(name)) or "").partition("\n")[0]


def create(name: str, **arguments: Any) -> Module:
    """Build the architecture `name` with freshly initialised weights.

    Args:
        name: one of ``available()``.
        **arguments: the architecture's own, JSON values all; mostly in_channels, image_size, num_classes.

    Raises:
        ValueError: the name is unknown, or a size does not fit the architecture.
        TypeError: an argument is unknown to it, or is no JSON value.
    """
    builder = _find(name)
    try:
        json.dumps(arguments)
    except (TypeError, ValueError) as error:
        raise TypeError(f"models.create: the arguments of {name} must be JSON values ({error})") from None
    known = list(inspect.signature(builder).parameters)
    unknown = [key for key in arguments if key not in known]
    if unknown:
        raise TypeError(
            f"models.create: {name} has no argument {', '.join(unknown)}; it takes {', '.join(known)}"
        )
    return builder(**arguments)


def _find(name: str) -> Callable[..., Module]:
    if name not in _BUILDERS:
        close = difflib.get_close_matches(str(name), _BUILDERS, n=1)
        hint = f"did you mean {close[0]!r}? There are" if close else "there are"
        raise ValueError(
            f"models.create: no architecture is called {name!r}; {hint} {', '.join(available())}"
        )
    return _BUILDERS[name]


def check_sizes(name: str, *, smallest_image: int | None = None, **sizes: int) -> None:
    """Refuse sizes that are no positive integers, or an image below `smallest_image` pixels a side."""
    for key, value in sizes.items():
        if isinstance(value, bool) or not isinstance(value, int):
            raise TypeError(f"{name}: {key} must be an int, not {value!r}")
        if value < 1:
            raise ValueError(f"{name}: {key} must be at least 1, not {value}")
    if smallest_image is not None and sizes["image_size"] < smallest_image:
        raise ValueError(
            f"{name}: image_size {sizes['image_size']} is too small; use at least {smallest_image}"
        )
