"""One trial: what the objective sees of it, and what is kept of it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np


@dataclasses.dataclass
class Trial:
    """What an objective is called with, besides its parameters.

    Attributes:
        number: from 0; the parameters are a function of it and the search's seed.
        budget: how much the trial may spend, epochs say; what the search was given, and in successive halving
            what this rung allows.
        seed: of this trial, an int; ``pynet.manual_seed(seed)`` has been called.
        folder: a folder of the trial's own, which exists and stays over its rungs and attempts; checkpoints
            in it let a trial go on where it stopped.
        attempt: 1, and more after a process was lost.
    """

    number: int
    budget: int | None
    seed: int
    folder: Path
    attempt: int = 1
    send: Callable[[tuple[str, Any]], None] | None = dataclasses.field(default=None, repr=False)

    def report(self, step: int, value: float) -> None:
        """Note a figure on the way, such as the accuracy after an epoch; it is kept as the trial's curve.

        Args:
            step: epoch or step, an int.
            value: a number.
        """
        if self.send is not None:
            self.send(("report", (int(step), float(value))))


def trial_seed(seed: int, number: int) -> int:
    """The seed of trial `number`, in [0, 2**32)."""
    return int(np.random.SeedSequence([seed, number]).generate_state(1)[0])


@dataclasses.dataclass
class Record:
    """A trial that has ended, at one budget.

    Attributes:
        number: of the trial.
        parameters: what was drawn.
        budget: what it might spend, or None.
        score: what the objective returned; NaN for a trial that failed.
        seconds: of the last attempt.
        attempts: how many there were.
        error: why it failed, or None.
        curve: [step, value] of each report.
    """

    number: int
    parameters: dict[str, Any]
    budget: int | None
    score: float
    seconds: float
    attempts: int = 1
    error: str | None = None
    curve: list[list[float]] = dataclasses.field(default_factory=list)

    @property
    def failed(self) -> bool:
        """Whether no attempt came to its end."""
        return self.error is not None

    def to_json(self) -> dict[str, Any]:
        """Return JSON values; NaN and infinities, which JSON lacks, as strings."""
        values = dataclasses.asdict(self)
        values["score"] = _encode(self.score)
        values["curve"] = [[step, _encode(value)] for step, value in self.curve]
        return values

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Record:
        """Return the record that ``to_json`` described."""
        record = cls(**values)
        record.score = float(record.score)
        record.curve = [[step, float(value)] for step, value in record.curve]
        return record


def _encode(value: float) -> float | str:
    return value if math.isfinite(value) else str(value)
