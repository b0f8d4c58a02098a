"""Stopping when a figure no longer improves, or when the network learns its training data by heart."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..callback import Callback, Logs
from ..history import gap
from .best import Best


class EarlyStopping(Callback):
    """Stops the training when a figure has not improved for a while, or only with too wide a gap.

    The gap of a figure is how much worse it is in the validation than in the training: ``val_loss - loss``
    where smaller is better, ``accuracy - val_accuracy`` where larger is. A negative gap is no fault: the
    training's figures are means over the epoch, with dropout and augmentation and weights that were still
    changing. With `max_gap` an epoch whose gap is wider is no improvement, whatever its figure: the training
    stops when it has learnt its data by heart for more than `patience` epochs, and the best epoch is the best
    one within the gap.

    Args:
        monitor: the figure, by default the validation loss.
        patience: epochs without improvement that are allowed.
        min_delta: what counts as an improvement.
        restore_best_weights: end with the weights of the best epoch (of the average that was validated, where
            weights are averaged).
        mode: "min" or "max"; by default what the figure's name suggests.
        max_gap: the widest gap between training and validation, in the units of the figure; default None:
            any.

    Raises:
        ValueError: an argument is out of range, or a gap is asked of a figure that is not of a validation; at
            the first epoch's end, the figure does not exist.
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        patience: int = 0,
        min_delta: float = 0.0,
        restore_best_weights: bool = False,
        mode: str | None = None,
        max_gap: float | None = None,
    ) -> None:
        if isinstance(patience, bool) or not isinstance(patience, int) or patience < 0:
            raise ValueError(f"EarlyStopping: patience must be an integer of at least 0, not {patience!r}")
        if max_gap is not None and not monitor.startswith("val_"):
            raise ValueError(
                f"EarlyStopping: max_gap compares a validation's figure with the training's; monitor "
                f"'val_{monitor}', not {monitor!r}"
            )
        if max_gap is not None and max_gap != max_gap:
            raise ValueError("EarlyStopping: max_gap must be a number or None, not nan")
        self.patience = patience
        self.restore_best_weights = restore_best_weights
        self.max_gap = max_gap
        self._best = Best("EarlyStopping", monitor, mode, min_delta)
        self._waited = 0
        self._weights: dict[str, np.ndarray] | None = None
        self._resumed = False

    def on_train_begin(self, logs: Logs) -> None:
        """Forget an earlier training, but not the one that is resumed."""
        if not self._resumed:
            self._best.value, self._waited, self._weights = None, 0, None
        self._resumed = False

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        """Compare, and stop where patience is at its end."""
        self._best.check(logs)
        wide = self._too_wide(logs)
        if wide is None and self._best.improved(logs):
            self._waited = 0
            if self.restore_best_weights:
                weights = self.trainer.evaluated.state_dict()
                self._weights = {key: np.array(value) for key, value in weights.items()}
            return
        self._waited += 1
        if self._waited > self.patience:
            self.trainer.stop(wide or self._no_better())

    def on_train_end(self, logs: Logs) -> None:
        """Restore the best weights, if asked and if the training ended by itself."""
        if self._weights is not None and self.trainer.interrupted is None:
            self.trainer.model.load_state_dict(self._weights)

    def state_dict(self) -> dict[str, Any]:
        """Return the best value, its weights if they are kept, and the epochs waited."""
        return {"best": self._best.value, "waited": self._waited, "weights": self._weights}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over a state."""
        self._best.value, self._waited, self._weights = state["best"], state["waited"], state["weights"]
        self._resumed = True

    def _too_wide(self, logs: Logs) -> str | None:
        """Say that the gap is too wide, if it is."""
        if self.max_gap is None:
            return None
        key = self._best.monitor.removeprefix("val_")
        width = gap(logs, key, self._best.mode)
        if width <= self.max_gap:
            return None
        return f"the gap of {key} between training and validation is {width:.4g}, above {self.max_gap:g}"

    def _no_better(self) -> str:
        value = "a number" if self._best.value is None else f"{self._best.value:.6g}"
        return f"{self._best.monitor} has not improved on {value} for {self._waited} epochs"
