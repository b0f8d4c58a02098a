"""A bar an epoch on a terminal, a line an epoch elsewhere."""

from __future__ import annotations

import sys
from typing import Any

from ..callback import Callback, Logs
from ..history import mode_of


class ProgressBar(Callback):
    """One bar an epoch on a terminal, elsewhere one plain line an epoch, on standard error."""

    order = 2  # an epoch's line then shows what the other callbacks added to the logs

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


def format_logs(logs: Logs) -> str:
    """Return the figures as one line: losses with four digits, shares in per cent, without counters."""
    parts = []
    for key, value in logs.items():
        if key in ("epoch", "seconds", "lr"):
            continue
        share = mode_of(key) == "max" and 0 <= value <= 1
        parts.append(f"{key} {100 * value:.2f} %" if share else f"{key} {value:.4f}")
    return "  ".join(parts)
