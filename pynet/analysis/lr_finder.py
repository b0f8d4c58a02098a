"""The learning-rate range test: train a copy while the rate grows, and look where the loss falls."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..autograd import Tensor
from ..nn import Module
from .samples import (
    check_model,
    copy_for_training,
    endless_batches,
    gather,
    set_rate,
    step,
    untouched_randomness,
)


@dataclass
class LRFinder:
    """What `lr_finder` returns.

    Attributes:
        rates: learning rates tried, rising. losses: of the batches, before each step. smoothed: their moving
            average.
        steepest: the rate at which the smoothed loss falls fastest over log(rate). tenth: a tenth of the rate
            at which it is lowest.
        suggestion: the smaller of the two; None where the loss never fell by a tenth, or only by its noise.
    """

    rates: np.ndarray = field(repr=False)
    losses: np.ndarray = field(repr=False)
    smoothed: np.ndarray = field(repr=False)
    steepest: float | None
    tenth: float | None
    suggestion: float | None

    def __str__(self) -> str:
        if self.suggestion is None:
            return "learning rate: none suggested, the loss fell by less than a tenth at every rate"
        return (
            f"learning rate: start with {self.suggestion:.1e} (steepest descent at {self.steepest:.1e}, "
            f"a tenth of the minimum at {self.tenth:.1e})"
        )

    def plot(self, path: str | os.PathLike[str]) -> None:
        """Write a PNG: the loss over the rate, with the suggestion marked. ImportError without matplotlib."""
        from .pictures import draw_rates, save

        save(draw_rates(self), path)


def lr_finder(
    model: Module,
    loader: Any,
    loss: Callable[..., Tensor],
    optimizer: Any = None,
    *,
    start: float = 1e-5,
    end: float = 10.0,
    steps: int = 120,
    batch_size: int = 64,
    smoothing: float = 0.8,
    samples: int = 2048,
) -> LRFinder:
    """The range test: one step a rate, rates growing exponentially from `start` to `end`.

    A copy is trained; model, optimizer and random numbers stay as they are. The test ends early where the
    smoothed loss exceeds four times its lowest value or is not finite.

    Args:
        model: the network.
        loader: a loader, a Dataset or a pair of arrays (inputs, targets).
        loss: ``loss(outputs, targets)`` -> scalar Tensor.
        optimizer: an Optimizer over the model's parameters, or a function ``parameters -> Optimizer``;
            default Adam.
        start, end: the first and the last learning rate. steps: how many, at least 10.
        batch_size: samples a step. samples: how many are taken from `loader`.
        smoothing: of the moving average, in [0, 1): the weight of the past.

    Returns:
        An `LRFinder`.

    Raises:
        ValueError: an argument out of range, or no data.

    Source:
        Smith 2017, "Cyclical Learning Rates for Training Neural Networks", section 3.3.

    Example:
        >>> found = analysis.lr_finder(model, loader, nn.CrossEntropyLoss())
        >>> found.plot("rates.png")
    """
    check_model("lr_finder", model)
    if not 0 < start < end:
        raise ValueError(f"lr_finder: start and end must be positive and rising, not {start} and {end}")
    if steps < 10 or not 0 <= smoothing < 1:
        raise ValueError(
            f"lr_finder: steps must be at least 10 and smoothing in [0, 1), not {steps} and {smoothing}"
        )
    x, y = gather(loader, samples, "lr_finder", model)
    rates = np.geomspace(start, end, steps)
    losses: list[float] = []
    smoothed: list[float] = []
    average = 0.0
    with untouched_randomness(), np.errstate(all="ignore"):
        copied, own = copy_for_training(model, optimizer)
        for index, (rate, (inputs, targets)) in enumerate(
            zip(rates, endless_batches(x, y, batch_size), strict=False)
        ):
            set_rate(own, float(rate))
            value = step(copied, own, loss, inputs, targets)
            if not np.isfinite(value):
                break
            average = smoothing * average + (1 - smoothing) * value
            losses.append(value)
            smoothed.append(average / (1 - smoothing ** (index + 1)))
            if index > 10 and smoothed[-1] > 4 * max(min(smoothed), 1e-12) and smoothed[-1] > smoothed[0]:
                break
    return _suggest(rates[: len(losses)], np.array(losses), np.array(smoothed))


def _suggest(rates: np.ndarray, losses: np.ndarray, smoothed: np.ndarray) -> LRFinder:
    nothing = LRFinder(rates, losses, smoothed, None, None, None)
    early = losses[: max(len(rates) // 6, 5)]  # at rates that change nothing yet
    if len(smoothed) <= len(early):
        return nothing
    first, lowest = float(early.mean()), int(smoothed.argmin())
    drop = first - float(smoothed[lowest])
    if not drop > max(0.1 * abs(first), float(early.std())):
        return nothing
    # The descent begins where a tenth of the drop is behind; before it are only the batches' differences.
    begin = int(np.flatnonzero(smoothed[: lowest + 1] > first - 0.1 * drop)[-1]) if lowest else 0
    part = slice(begin, lowest + 1)
    slopes = np.gradient(smoothed[part], np.log(rates[part]))
    steepest, tenth = float(rates[begin + int(slopes.argmin())]), float(rates[lowest] / 10)
    return LRFinder(rates, losses, smoothed, steepest, tenth, min(steepest, tenth))
