"""Stopping when the time is over."""

from __future__ import annotations

import datetime
import math
import time

from ..callback import Callback, Logs


class TimeLimit(Callback):
    """Stops the training, in good order and with a checkpoint, after the step in which the time is over.

    The time is that of one ``fit``, on the wall: a training that is resumed has it anew, as a batch job has.

    Args:
        duration: seconds, or a ``datetime.timedelta``.

    Raises:
        ValueError: not above 0.
    """

    def __init__(self, duration: float | datetime.timedelta) -> None:
        seconds = duration.total_seconds() if isinstance(duration, datetime.timedelta) else float(duration)
        if not 0 < seconds < math.inf:
            raise ValueError(f"TimeLimit: duration must be above 0 seconds, not {duration!r}")
        self.seconds = seconds
        self._end = math.inf

    def on_train_begin(self, logs: Logs) -> None:
        """Start the clock."""
        self._end = time.monotonic() + self.seconds

    def on_batch_end(self, step: int, logs: Logs) -> None:
        """Look at the clock."""
        if time.monotonic() >= self._end:
            self.trainer.stop(f"the time limit of {self.seconds:g} s is over")
