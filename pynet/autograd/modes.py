"""Whether operations are recorded, and whether they may be fused: context variables and what sets them."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any

grad_mode: ContextVar[bool] = ContextVar("pynet_grad_mode", default=True)
fusion_mode: ContextVar[bool] = ContextVar("pynet_fusion_mode", default=True)


def is_grad_enabled() -> bool:
    """Whether operations are recorded for `backward` in this thread or task."""
    return grad_mode.get()


class Mode:
    """Sets a context variable for a `with` block or, as a decorator, for every call of a function."""

    _variable: ContextVar[bool] = grad_mode
    _value = True

    def __init__(self) -> None:
        self._previous: list[bool] = []

    def __enter__(self) -> None:
        self._previous.append(self._variable.get())
        self._variable.set(self._value)

    def __exit__(self, *exception: object) -> None:
        self._variable.set(self._previous.pop())

    def _fresh(self) -> Mode:
        # Every call gets its own instance: threads that share one would mix up each other's previous values.
        return type(self)()

    def __call__(self, function: Callable) -> Callable:
        if inspect.isgeneratorfunction(function):

            @functools.wraps(function)
            def steps(*args: Any, **kwargs: Any) -> Iterator[Any]:
                iterator = function(*args, **kwargs)
                while True:
                    with self._fresh():
                        try:
                            item = next(iterator)
                        except StopIteration:
                            return
                    yield item

            return steps

        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            with self._fresh():
                return function(*args, **kwargs)

        return call


class no_grad(Mode):
    """Context manager and decorator: inside, nothing is recorded and results need no gradient."""

    _value = False

    def __new__(cls, function: Callable | None = None) -> Any:
        # `@no_grad` without parentheses is accepted as well.
        made = super().__new__(cls)
        if function is None:
            return made
        made.__init__()  # type: ignore[misc]
        return made(function)


class enable_grad(no_grad):
    """Context manager and decorator: records again inside `no_grad`."""

    _value = True


class set_grad_enabled(Mode):
    """Turns recording on or off at once; as a context manager until the end of the block.

    Args:
        mode: True records, False does not.
    """

    def __init__(self, mode: bool) -> None:
        super().__init__()
        self._value = bool(mode)
        self._before = grad_mode.get()
        grad_mode.set(self._value)

    def __enter__(self) -> None:
        self._previous.append(self._before)
        grad_mode.set(self._value)

    def _fresh(self) -> Mode:
        return set_grad_enabled(self._value)

    def __call__(self, function: Callable) -> Callable:
        grad_mode.set(self._before)
        return super().__call__(function)
