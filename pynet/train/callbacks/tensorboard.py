"""The figures as TensorBoard reads them."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from ..callback import Callback, Logs


class TensorBoard(Callback):
    """Writes the figures of the epochs, and of the steps if asked, for ``tensorboard --logdir log_dir``.

    "loss/train" and "loss/validation" and so on, "lr" and "seconds" are written after each epoch; the axis is
    the number of training steps done. A training that is resumed hides what was written after its checkpoint.
    Needs tensorboardX: ``pip install 'pynet-nn[logging]'``.

    Args:
        log_dir: the folder, created where it is missing; default "logs".
        histogram_freq: after every so many epochs histograms of all parameters are written; default 0: never.
        update_freq: "epoch" (default), "batch" for the figures also after each training step, as "step/loss",
            or a number of steps. Those are means since the epoch began.

    Raises:
        ImportError: there is no tensorboardX.
        ValueError: an argument is out of range.
    """

    def __init__(
        self,
        log_dir: str | os.PathLike[str] = "logs",
        histogram_freq: int = 0,
        update_freq: str | int = "epoch",
    ) -> None:
        try:
            import tensorboardX  # noqa: F401
        except ImportError:
            raise ImportError("TensorBoard needs tensorboardX: pip install 'pynet-nn[logging]'") from None
        if isinstance(histogram_freq, bool) or not isinstance(histogram_freq, int) or histogram_freq < 0:
            raise ValueError(
                f"TensorBoard: histogram_freq must be an integer of at least 0, not {histogram_freq!r}"
            )
        number = isinstance(update_freq, int) and not isinstance(update_freq, bool) and update_freq >= 1
        if update_freq not in ("epoch", "batch") and not number:
            raise ValueError(
                f"TensorBoard: update_freq must be 'epoch', 'batch' or a number of steps, not {update_freq!r}"
            )
        self.log_dir, self.histogram_freq = log_dir, histogram_freq
        self._every = {"epoch": 0, "batch": 1}[update_freq] if isinstance(update_freq, str) else update_freq
        self._writer: Any = None

    def on_train_begin(self, logs: Logs) -> None:
        """Open a file."""
        from tensorboardX import SummaryWriter

        done = self.trainer.global_step
        # The files' names have the second in which they were opened; the steps tell two of one second apart.
        self._writer = SummaryWriter(
            os.fspath(self.log_dir), purge_step=done + 1, filename_suffix=f".{done:010d}"
        )

    def on_batch_end(self, step: int, logs: Logs) -> None:
        """Write the figures of a step."""
        done = self.trainer.global_step
        if self._every and done % self._every == 0:
            for key, value in logs.items():
                self._writer.add_scalar(f"step/{key}", value, done)

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        """Write the figures of an epoch."""
        done = self.trainer.global_step
        for key, value in logs.items():
            self._writer.add_scalar(_tag(key, logs), value, done)
        if self.histogram_freq and (epoch + 1) % self.histogram_freq == 0:
            for name, parameter in self.trainer.model.named_parameters():
                if np.isfinite(parameter.array).all():
                    self._writer.add_histogram(name.replace(".", "/"), parameter.array, done)
        self._writer.flush()

    def close(self) -> None:
        """Close the file."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None


def _tag(key: str, logs: Logs) -> str:
    """Put a figure of the training and that of the validation side by side."""
    if key.startswith("val_"):
        return f"{key.removeprefix('val_')}/validation"
    return f"{key}/train" if f"val_{key}" in logs else key
