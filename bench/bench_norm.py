"""Batch norm in training through the public API, alone and as users write it in ResNets:
`F.relu(F.batch_norm(...))`, `F.relu(F.batch_norm(...) + shortcut)`; group norm with 8 groups; forward, and
forward + backward."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from bench import shapes
from bench.framework import Framework, forward_and_backward, numbers
from bench.shapes import Case

TITLE = "Batch norm and group norm"
MODES = ("eager", "channels_last")
CASES = [
    Case(f"{kind}: {shapes.text(x)}", {"kind": kind, "x": x})
    for x in shapes.NORM_MAPS
    for kind in ("norm", "norm + relu", "norm + shortcut + relu", "group norm")
]


def prepare(fw: Framework, kind: str, x: tuple[int, ...]) -> dict[str, Callable[[], Any]]:
    """A norm with what follows it; gradients for x, weight, bias and the shortcut."""
    running_mean = fw.tensor(np.zeros(x[1], np.float32))
    running_var = fw.tensor(np.ones(x[1], np.float32))

    def norm(values: Any, weight: Any, bias: Any, *shortcut: Any) -> Any:
        if kind == "group norm":
            return fw.F.group_norm(values, 8, weight, bias)
        out = fw.F.batch_norm(values, running_mean, running_var, weight, bias, training=True)
        if shortcut:
            out = out + shortcut[0]
        return out if kind == "norm" else fw.F.relu(out)

    arrays = [numbers(*x), numbers(x[1], seed=1), numbers(x[1], seed=2)]
    if "shortcut" in kind:
        arrays.append(numbers(*x, seed=3))
    return forward_and_backward(fw, norm, *arrays, dout=numbers(*x, seed=4))
