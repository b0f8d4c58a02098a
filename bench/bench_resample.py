"""Resampling through the public API: `F.interpolate`, `F.pad` and `F.pixel_shuffle`; forward without a
gradient, and forward + backward with the tape."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bench import shapes
from bench.framework import Framework, forward_and_backward, numbers
from bench.shapes import Case

TITLE = "Resampling"
MODES = ("eager", "channels_last")
CASES = [
    Case(f"{label}: {shapes.text(x)}", {"kind": kind, "x": x, "out": out, "options": options})
    for label, kind, x, out, options in shapes.RESAMPLE
]


def prepare(
    fw: Framework, kind: str, x: tuple[int, ...], out: tuple[int, ...], options: dict[str, Any]
) -> dict[str, Callable[[], Any]]:
    """One way of making another map of each map."""

    def resample(image: Any) -> Any:
        return getattr(fw.F, kind)(image, **options)

    return forward_and_backward(fw, resample, numbers(*x), dout=numbers(*out, seed=1))
