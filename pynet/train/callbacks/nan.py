"""Stopping before a loss that is no number reaches the weights."""

from __future__ import annotations

import math

from ..callback import Callback, Logs


class TerminateOnNaN(Callback):
    """Stops the training before the step in which the loss is NaN or infinite: the weights stay the last good
    ones.
    """

    def on_loss(self, step: int, logs: Logs) -> None:
        """Look at the loss."""
        if not math.isfinite(logs["loss"]):
            trainer = self.trainer
            trainer.diverged = True
            trainer.stop(
                f"the loss is {logs['loss']} at epoch {trainer.epoch + 1}, step {step + 1}; "
                "try a lower learning rate"
            )
