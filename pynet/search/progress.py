"""What a search says while it runs, on standard error: a bar on a terminal, a line a trial elsewhere."""

from __future__ import annotations

import math
import sys
from typing import Any

from .result import describe, rank
from .trial import Record


class Progress:
    """Counts trials and remembers the best.

    Args:
        total: trials to come, those already done included.
        mode: "max" or "min".
        shown: whether anything but faults is said.
    """

    def __init__(self, total: int, mode: str, shown: bool) -> None:
        self.total, self.mode, self.shown = total, mode, shown
        self.done = 0
        self.best: Record | None = None
        self._bar: Any = None
        if shown and sys.stderr.isatty():
            from tqdm import tqdm

            self._bar = tqdm(total=total, unit="trial", dynamic_ncols=True)

    def resumed(self, records: list[Record]) -> None:
        """Count trials of an earlier start."""
        if records:
            self.say(f"{len(records)} of {self.total} trials are done already")
        for record in records:
            self._count(record)

    def ended(self, record: Record) -> None:
        """Count a trial, and say how it went."""
        self._count(record)
        if not self.shown or self._bar is not None:
            return
        budget = "" if record.budget is None else f" (budget {record.budget})"
        score = "failed" if record.failed else f"{record.score:.5g}"
        print(
            f"[{self.done}/{self.total}] trial {record.number}{budget}: {score}  "
            f"{describe(record.parameters)}  {record.seconds:.1f} s  {self._best()}",
            file=sys.stderr,
            flush=True,
        )

    def say(self, sentence: str) -> None:
        """Say something besides."""
        if self._bar is not None:
            self._bar.write(sentence, file=sys.stderr)
        else:
            print(sentence, file=sys.stderr, flush=True)

    def close(self) -> None:
        """Leave the terminal in order."""
        if self._bar is not None:
            self._bar.close()

    def _count(self, record: Record) -> None:
        self.done += 1
        if not record.failed and not math.isnan(record.score):
            self.best = min(filter(None, (self.best, record)), key=lambda r: rank(r, self.mode))
        if self._bar is not None:
            self._bar.set_postfix_str(self._best(), refresh=False)
            self._bar.update()

    def _best(self) -> str:
        return "" if self.best is None else f"best {self.best.score:.5g} (trial {self.best.number})"
