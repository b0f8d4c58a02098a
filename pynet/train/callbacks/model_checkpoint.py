"""Saving the whole training, and the best weights."""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Iterable
from typing import Any

from .. import checkpoint as checkpoints
from ..callback import Callback, Logs
from .best import Best


class ModelCheckpoint(Callback):
    """Saves the whole training in a folder: ``last.safetensors``, ``previous.safetensors`` (the one before
    it), and the best weights if asked.

    An epoch whose loss is not finite is not saved, so that the last good checkpoint stays. A checkpoint that
    cannot be written ends the training: what is lost is at most what came after the one before it.

    Args:
        folder: created where it is missing.
        every: save after every so many epochs; an orderly stop saves in any case.
        best: a figure, such as "val_accuracy"; where it reached a new best, the model's weights (or the
            average that was validated) go to ``best.safetensors``.
        mode: "min" or "max"; by default what the figure's name suggests.
        every_steps: save also after every so many training steps, counted over all epochs.
        every_seconds: save also after the first training step that ends so many seconds after the last
            saving.
        keep: so many of the newest checkpoints stay besides, as ``step-00001234.safetensors``.

    Raises:
        ValueError: an argument is out of range.
        OSError: at the beginning of the training, the folder cannot be written.
        CheckpointError: an OSError whose one sentence says what could not be saved and what is intact.
    """

    order = 2  # the other callbacks' states are then those of the moment's end

    def __init__(
        self,
        folder: str | os.PathLike[str],
        every: int = 1,
        best: str | None = None,
        mode: str | None = None,
        *,
        every_steps: int | None = None,
        every_seconds: float | None = None,
        keep: int = 0,
    ) -> None:
        for name, value, least in (("every", every, 1), ("every_steps", every_steps, 1), ("keep", keep, 0)):
            optional = value is None and name == "every_steps"
            if not optional and (isinstance(value, bool) or not isinstance(value, int) or value < least):
                raise ValueError(
                    f"ModelCheckpoint: {name} must be an integer of at least {least}, not {value!r}"
                )
        if every_seconds is not None and not every_seconds >= 0:
            raise ValueError(f"ModelCheckpoint: every_seconds must not be negative, not {every_seconds!r}")
        self.folder = folder
        self.every, self.every_steps, self.every_seconds = every, every_steps, every_seconds
        self.keep = keep
        self._best = Best("ModelCheckpoint", best, mode) if best is not None else None
        self._target: checkpoints.CheckpointFolder | None = None
        self._saved_at: tuple[int, int] | None = None
        self._time = 0.0  # of the last saving

    def on_train_begin(self, logs: Logs) -> None:
        """Prove that the folder can be written."""
        self._target = checkpoints.CheckpointFolder(self.folder, self.keep)
        self._saved_at, self._time = None, time.monotonic()

    def on_batch_end(self, step: int, logs: Logs) -> None:
        """Save, where a number of steps or seconds is full and the loss is finite."""
        due = self.every_steps is not None and self.trainer.global_step % self.every_steps == 0
        if self.every_seconds is not None and time.monotonic() - self._time >= self.every_seconds:
            due = True
        if due and math.isfinite(logs["loss"]):
            self.save()

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
        self._saved_at, self._time = self.trainer.position, time.monotonic()

    def state_dict(self) -> dict[str, Any]:
        """Return the best value so far."""
        return {"best": None if self._best is None else self._best.value}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over the best value."""
        if self._best is not None and state["best"] is not None:
            self._best.value = state["best"]

    def _save_best(self) -> None:
        from ...io.safetensors import save_file

        assert self._target is not None and self._best is not None
        trainer = self.trainer
        figures = {"epoch": trainer.epoch + 1, "figure": self._best.monitor, "value": self._best.value}
        save_file(trainer.evaluated.state_dict(), self._target.path / checkpoints.BEST, figures)


def folder_of(callbacks: Iterable[Callback]) -> str | os.PathLike[str] | None:
    """Return where the first ModelCheckpoint among `callbacks` saves, None if there is none."""
    found = (callback.folder for callback in callbacks if isinstance(callback, ModelCheckpoint))
    return next(found, None)
