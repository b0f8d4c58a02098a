"""Activations through the public API (`F.relu` and so on); forward without a gradient, and forward +
backward with the tape. The smallest shape shows the cost of a call. PyTorch has no Maxout: a view and a
maximum over the pieces stand in for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bench import shapes
from bench.framework import Framework, forward_and_backward, numbers
from bench.shapes import Case

TITLE = "Activations"
MODES = ("eager", "channels_last")
ACTIVATIONS = (
    *("relu", "leaky_relu", "elu", "sigmoid", "tanh"),
    *("gelu", "silu", "mish", "softplus", "selu", "celu", "hardtanh", "hardswish"),
)
CASES = [
    *(
        Case(f"{name}: {shapes.text(x)}", {"name": name, "x": x})
        for x in shapes.MAPS
        for name in (ACTIVATIONS if x == shapes.MAPS[0] else ACTIVATIONS[:1])
    ),
    Case("maxout, 2 pieces: 64x64x32x32", {"name": "maxout", "x": (64, 64, 32, 32)}),
]
PIECES = 2


def prepare(fw: Framework, name: str, x: tuple[int, ...]) -> dict[str, Callable[[], Any]]:
    """One activation."""
    out = (x[0], x[1] // PIECES, *x[2:]) if name == "maxout" else x

    def activate(values: Any) -> Any:
        if name != "maxout":
            return getattr(fw.F, name)(values)
        if fw.name == "pynet":
            return fw.F.maxout(values, PIECES)
        return values.unflatten(1, (-1, PIECES)).max(dim=2).values

    return forward_and_backward(fw, activate, numbers(*x), dout=numbers(*out, seed=1))
