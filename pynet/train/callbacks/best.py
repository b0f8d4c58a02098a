"""The best value of a figure."""

from __future__ import annotations

import math

from ..callback import Logs
from ..history import mode_of


class Best:
    """The best value of one figure so far."""

    def __init__(self, owner: str, monitor: str, mode: str | None, min_delta: float = 0.0) -> None:
        if mode not in (None, "min", "max"):
            raise ValueError(f"{owner}: mode must be 'min', 'max' or None, not {mode!r}")
        if not min_delta >= 0:
            raise ValueError(f"{owner}: min_delta must not be negative, got {min_delta!r}")
        self.owner, self.monitor, self.min_delta = owner, monitor, min_delta
        self.mode = mode or mode_of(monitor)
        self.value: float | None = None

    def check(self, logs: Logs) -> None:
        """Raise ValueError where the figure is not in `logs`."""
        if self.monitor not in logs:
            raise ValueError(
                f"{self.owner} watches {self.monitor!r}, which is not among {', '.join(logs)}"
                + ("; give fit a validation loader" if self.monitor.startswith("val_") else "")
            )

    def improved(self, logs: Logs) -> bool:
        """Compare with the best value, and take over a better one."""
        self.check(logs)
        value, sign = logs[self.monitor], -1.0 if self.mode == "max" else 1.0
        if math.isnan(value):
            return False
        if self.value is not None and not sign * value < sign * self.value - self.min_delta:
            return False
        self.value = value
        return True
