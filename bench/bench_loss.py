"""Softmax and the losses through the public API, `F.cross_entropy` and so on; forward without a gradient,
and forward + backward with the tape."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from bench import shapes
from bench.framework import Framework, forward_and_backward, labels, numbers
from bench.shapes import Case

TITLE = "Softmax and losses"
MODES = ("eager",)
CASES = [
    *(
        Case(f"{name}: {rows}x{classes}", {"name": name, "rows": rows, "classes": classes})
        for name in ("cross_entropy", "log_softmax", "softmax")
        for rows, classes in shapes.LOGITS
    ),
    *(
        Case(f"{name}: 4096x1000", {"name": name, "rows": 4096, "classes": 1000})
        for name in ("mse_loss", "binary_cross_entropy_with_logits", "multi_margin_loss")
    ),
]


def prepare(fw: Framework, name: str, rows: int, classes: int) -> dict[str, Callable[[], Any]]:
    """One loss, its mean over the batch."""
    x = numbers(rows, classes)
    function = getattr(fw.F, name)
    if "softmax" in name:
        return forward_and_backward(
            fw, lambda values: function(values, 1), x, dout=numbers(rows, classes, seed=1)
        )
    if name in ("cross_entropy", "multi_margin_loss"):
        target = fw.tensor(labels(rows, classes))
    else:
        target = fw.tensor(np.abs(np.tanh(numbers(rows, classes, seed=1))))
    return forward_and_backward(fw, lambda values: function(values, target), x)
