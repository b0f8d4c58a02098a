"""Pooling through the public API: `F.max_pool2d`, `F.avg_pool2d`, `F.adaptive_avg_pool2d`; forward without
a gradient, and forward + backward with the tape."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bench import shapes
from bench.framework import Framework, forward_and_backward, numbers
from bench.shapes import Case

TITLE = "Pooling"
MODES = ("eager", "channels_last")
CASES = [
    Case(
        f"{label}: {shapes.text(x)}",
        {"kind": kind, "x": x, "kernel": kernel, "stride": stride, "padding": padding},
    )
    for label, kind, x, kernel, stride, padding in shapes.POOL
]


def prepare(
    fw: Framework, kind: str, x: tuple[int, ...], kernel: int | None, stride: int | None, padding: int | None
) -> dict[str, Callable[[], Any]]:
    """One kind of pooling."""
    out = (*x[:2], 1, 1)
    if kernel is not None and stride is not None and padding is not None:
        out = (*x[:2], *((size + 2 * padding - kernel) // stride + 1 for size in x[2:]))

    def pool(image: Any) -> Any:
        if kind == "global":
            return fw.F.adaptive_avg_pool2d(image, 1)
        return (fw.F.max_pool2d if kind == "max" else fw.F.avg_pool2d)(image, kernel, stride, padding)

    return forward_and_backward(fw, pool, numbers(*x), dout=numbers(*out, seed=1))
