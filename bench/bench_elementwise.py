"""Arithmetic on tensors through the operators: `a + b`, `x.exp()`, `x.sum()`, and broadcasting; forward
without a gradient, and forward + backward with the tape. The smallest shape shows the cost of a call."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from bench import shapes
from bench.framework import Framework, forward_and_backward, numbers
from bench.shapes import Case

TITLE = "Arithmetic"
MODES = ("eager", "channels_last")
BINARY: dict[str, Callable[..., Any]] = {
    "add": operator.add,
    "multiply": operator.mul,
    "divide": operator.truediv,
}
UNARY: dict[str, Callable[..., Any]] = {
    "exp": lambda x: x.exp(),
    "sqrt": lambda x: x.sqrt(),
    "square": lambda x: x * x,
    "sum": lambda x: x.sum(),
    "sum over channels' maps": lambda x: x.sum((0, 2, 3)),
}
LARGE, _, SMALL = shapes.MAPS
CASES = [
    *(Case(f"{name}: {shapes.text(LARGE)}", {"name": name, "x": LARGE}) for name in (*BINARY, *UNARY)),
    Case(f"add a bias: {shapes.text(LARGE)}", {"name": "add", "x": LARGE, "other": (LARGE[1], 1, 1)}),
    Case(f"add: {shapes.text(SMALL)}", {"name": "add", "x": SMALL}),
]


def prepare(
    fw: Framework, name: str, x: tuple[int, ...], other: tuple[int, ...] | None = None
) -> dict[str, Callable[[], Any]]:
    """One operator; values are positive, so that roots and quotients are harmless."""
    first = np.abs(numbers(*x)) + 0.5
    if name in BINARY:
        second = np.abs(numbers(*(other or x), seed=1)) + 0.5
        return forward_and_backward(fw, BINARY[name], first, second, dout=numbers(*x, seed=2))
    dout = {"sum": None, "sum over channels' maps": numbers(x[1], seed=2)}.get(name, numbers(*x, seed=2))
    return forward_and_backward(fw, UNARY[name], first, dout=dout)
