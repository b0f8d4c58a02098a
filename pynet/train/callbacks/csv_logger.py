"""The history as a CSV file."""

from __future__ import annotations

import os
import sys

from ...io.atomic import prepare_folder, write_atomically
from ..callback import Callback, Logs


class CSVLogger(Callback):
    """Writes the history to a CSV file after each epoch, atomically.

    A file that cannot be written for a while, on a full disk say, does not end the training: a sentence on
    standard error tells, and the next epoch writes all rows.

    Args:
        path: the file; a training that is resumed writes all its epochs, those before the resume too.

    Raises:
        OSError: at the beginning of the training, the folder cannot be written.
    """

    order = 1  # after what other callbacks add to the logs

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = path

    def on_train_begin(self, logs: Logs) -> None:
        """Prove that the folder can be written."""
        prepare_folder(os.path.dirname(self.path) or ".")

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        """Write the file."""
        try:
            write_atomically(self.path, self.trainer.history.to_csv())
        except OSError as error:
            print(
                f"CSVLogger: {self.path} was not written ({error.strerror or error}); the training goes on",
                file=sys.stderr,
            )
