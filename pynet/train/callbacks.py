"""The built-in callbacks: progress, checkpoints, early stopping, divergence, CSV."""

from __future__ import annotations

import math
import os
import sys
from typing import Any

import numpy as np

from ..io.atomic import write_atomically
from . import checkpoint as checkpoints
from .callback import Callback, Logs
from .history import mode_of


class ProgressBar(Callback):
    """One bar an epoch on a terminal, elsewhere one plain line an epoch, on standard error."""

    runs_last = True  # an epoch's line then shows what the other callbacks added to the logs

    def __init__(self) -> None:
        self._bar: Any = None

    def on_epoch_begin(self, epoch: int, logs: Logs) -> None:
        """Open the bar."""
        if not sys.stderr.isatty():
            return
        from tqdm import tqdm

        trainer = self.trainer
        self._bar = tqdm(
            desc=self._title(epoch),
            total=trainer.steps,
            initial=trainer.step,
            unit="batch",
            dynamic_ncols=True,
            leave=True,
        )

    def on_batch_end(self, step: int, logs: Logs) -> None:
        """Advance the bar."""
        if self._bar is not None:
            self._bar.set_postfix_str(format_logs(logs), refresh=False)
            self._bar.update()

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        """Finish the bar, or write the line."""
        if self._bar is not None:
            self._bar.set_postfix_str(format_logs(logs), refresh=True)
            self.close()
        else:
            print(
                f"{self._title(epoch)}  {logs['seconds']:6.1f} s  {format_logs(logs)}",
                file=sys.stderr,
                flush=True,
            )

    def close(self) -> None:
        """Leave the terminal in order."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _title(self, epoch: int) -> str:
        total = self.trainer.epochs
        return f"epoch {epoch + 1:{len(str(total))}d}/{total}"


class ModelCheckpoint(Callback):
    """Saves the whole training in a folder: ``last.safetensors``, the one before it, and the best weights if
    asked.

    An epoch whose loss is not finite is not saved, so that the last good checkpoint stays.

    Args:
        folder: created where it is missing.
        every: save after every so many epochs; an orderly stop saves in any case.
        best: a figure, such as "val_accuracy"; where it reached a new best, the model's weights go to
            ``best.safetensors``.
        mode: "min" or "max"; by default what the figure's name suggests.

    Raises:
        ValueError: `every` or `mode` is out of range.
        OSError: at the beginning of the training, the folder cannot be written.
    """

    runs_last = True  # the other callbacks' states are then those of the epoch's end

    def __init__(
        self, folder: str | os.PathLike[str], every: int = 1, best: str | None = None, mode: str | None = None
    ) -> None:
        if isinstance(every, bool) or not isinstance(every, int) or every < 1:
            raise ValueError(f"ModelCheckpoint: every must be an integer of at least 1, not {every!r}")
        self.folder = folder
        self.every = every
        self._best = _Best("ModelCheckpoint", best, mode) if best is not None else None
        self._target: checkpoints.CheckpointFolder | None = None
        self._saved_at: tuple[int, int] | None = None

    def on_train_begin(self, logs: Logs) -> None:
        """Prove that the folder can be written."""
        self._target = checkpoints.CheckpointFolder(self.folder)

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        """Save, unless the loss is not finite."""
        if not math.isfinite(logs["loss"]):
            print(
                f"epoch {epoch + 1}: the loss is {logs['loss']}; the last good checkpoint stays",
                file=sys.stderr,
            )
            return
        # First the best: its value is part of the checkpoint.
        if self._best is not None and self._best.improved(logs):
            self._save_best()
        if (epoch + 1) % self.every == 0:
            self.save()

    def on_train_end(self, logs: Logs) -> None:
        """Save what a stop between two savings would lose."""
        if (
            self.trainer.position != self._saved_at
            and not self.trainer.diverged
            and math.isfinite(logs.get("loss", 0.0))
        ):
            self.save()

    def save(self) -> None:
        """Save the training as it stands."""
        if self._target is None:
            raise RuntimeError("ModelCheckpoint: there is no training to save; pass the callback to fit")
        self._target.save(self.trainer.state_dict())
        self._saved_at = self.trainer.position

    def state_dict(self) -> dict[str, Any]:
        """Return the best value so far."""
        return {"best": None if self._best is None else self._best.value}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over the best value."""
        if self._best is not None and state["best"] is not None:
            self._best.value = state["best"]

    def _save_best(self) -> None:
        from ..io.safetensors import save_file

        assert self._target is not None and self._best is not None
        trainer = self.trainer
        figures = {"epoch": trainer.epoch + 1, "figure": self._best.monitor, "value": self._best.value}
        save_file(trainer.model.state_dict(), self._target.path / checkpoints.BEST, figures)


class EarlyStopping(Callback):
    """Stops the training when a figure has not improved for a while.

    Args:
        monitor: the figure, by default the validation loss.
        patience: epochs without improvement that are allowed.
        min_delta: what counts as an improvement.
        restore_best_weights: end with the weights of the best epoch.
        mode: "min" or "max"; by default what the figure's name suggests.

    Raises:
        ValueError: an argument is out of range; at the first epoch's end, the figure does not exist.
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        patience: int = 0,
        min_delta: float = 0.0,
        restore_best_weights: bool = False,
        mode: str | None = None,
    ) -> None:
        if isinstance(patience, bool) or not isinstance(patience, int) or patience < 0:
            raise ValueError(f"EarlyStopping: patience must be an integer of at least 0, not {patience!r}")
        self.patience = patience
        self.restore_best_weights = restore_best_weights
        self._best = _Best("EarlyStopping", monitor, mode, min_delta)
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
        if self._best.improved(logs):
            self._waited = 0
            if self.restore_best_weights:
                self._weights = {
                    key: np.array(value) for key, value in self.trainer.model.state_dict().items()
                }
            return
        self._waited += 1
        if self._waited > self.patience:
            trainer = self.trainer
            trainer.stop(
                f"{self._best.monitor} has not improved on {self._best.value:.6g} for {self._waited} epochs"
            )

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


class CSVLogger(Callback):
    """Writes the history to a CSV file after each epoch, atomically.

    Args:
        path: the file; a training that is resumed writes all its epochs, those before the resume too.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = path

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        """Write the file."""
        write_atomically(self.path, self.trainer.history.to_csv())


class _Best:
    """The best value of one figure so far."""

    def __init__(self, owner: str, monitor: str, mode: str | None, min_delta: float = 0.0) -> None:
        if mode not in (None, "min", "max"):
            raise ValueError(f"{owner}: mode must be 'min', 'max' or None, not {mode!r}")
        if not min_delta >= 0:
            raise ValueError(f"{owner}: min_delta must not be negative, got {min_delta!r}")
        self.owner, self.monitor, self.min_delta = owner, monitor, min_delta
        self.sign = -1.0 if (mode or mode_of(monitor)) == "max" else 1.0
        self.value: float | None = None

    def improved(self, logs: Logs) -> bool:
        """Compare with the best value, and take over a better one."""
        if self.monitor not in logs:
            raise ValueError(
                f"{self.owner} watches {self.monitor!r}, which is not among {', '.join(logs)}"
                + ("; give fit a validation loader" if self.monitor.startswith("val_") else "")
            )
        value = logs[self.monitor]
        if math.isnan(value):
            return False
        if self.value is not None and not self.sign * value < self.sign * self.value - self.min_delta:
            return False
        self.value = value
        return True


def format_logs(logs: Logs) -> str:
    """Return the figures as one line: losses with four digits, shares in per cent, without counters."""
    parts = []
    for key, value in logs.items():
        if key in ("epoch", "seconds", "lr"):
            continue
        share = mode_of(key) == "max" and 0 <= value <= 1
        parts.append(f"{key} {100 * value:.2f} %" if share else f"{key} {value:.4f}")
    return "  ".join(parts)
