"""Random numbers (`pynet._core.random_*` against `torch.rand` and `torch.randn`, kernels alone) and dropout
(public API, forward without a gradient, forward + backward with the tape)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bench.framework import Framework, forward_and_backward, numbers
from bench.shapes import Case

TITLE = "Random numbers and dropout"
MODES = ("eager", "channels_last")
# The two sides draw different numbers of one distribution.
CHECK_TOLERANCE = 2e-2
CASES = [
    Case("uniform: 64x64x32x32", {"name": "uniform", "x": (64, 64, 32, 32)}),
    Case("normal: 64x64x32x32", {"name": "normal", "x": (64, 64, 32, 32)}),
    Case("dropout: 64x64x32x32", {"name": "dropout", "x": (64, 64, 32, 32)}),
    Case("dropout: 128x1024", {"name": "dropout", "x": (128, 1024)}),
]


def prepare(fw: Framework, name: str, x: tuple[int, ...]) -> dict[str, Callable[[], Any]]:
    """One distribution, or dropout with p = 0.5."""
    if name == "dropout":
        return forward_and_backward(
            fw, lambda values: fw.F.dropout(values, 0.5, True), numbers(*x), dout=numbers(*x, seed=1)
        )
    if fw.name == "torch":
        draw = fw.lib.rand if name == "uniform" else fw.lib.randn
        return {"draw": lambda: draw(x)}
    core, shape = fw.core, tuple(x)
    if name == "uniform":
        return {"draw": lambda: core.random_uniform(shape, 0.0, 1.0, 0, 1)}
    return {"draw": lambda: core.random_normal(shape, 0.0, 1.0, 0, 1)}
