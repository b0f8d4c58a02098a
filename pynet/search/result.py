"""What a search has found: all trials, the best one, a table and a picture."""

from __future__ import annotations

import csv
import io
import math
import os
from pathlib import Path
from typing import Any

from ..io.atomic import write_atomically
from .trial import Record


class SearchResult:
    """The trials of a search, the best first.

    Trials at a larger budget come before those at a smaller one, failed ones last.

    Args:
        records: the trials.
        mode: "max" or "min", which scores are better.

    Attributes:
        trials: the records, sorted; each has number, parameters, budget, score, seconds, attempts, error and
            curve.
    """

    def __init__(self, records: list[Record], mode: str) -> None:
        self.mode = mode
        self.trials = sorted(records, key=lambda record: rank(record, mode))

    @property
    def best(self) -> Record:
        """The best trial.

        Raises:
            ValueError: none has a score.
        """
        if not self.trials or math.isnan(self.trials[0].score):
            raise ValueError("the search has no trial with a score yet")
        return self.trials[0]

    @property
    def best_parameters(self) -> dict[str, Any]:
        """The parameters of the best trial."""
        return self.best.parameters

    @property
    def best_score(self) -> float:
        """The score of the best trial."""
        return self.best.score

    def __len__(self) -> int:
        return len(self.trials)

    def __repr__(self) -> str:
        return self.table()

    def table(self, rows: int | None = None) -> str:
        """Return a table of text, a line a trial, the best first.

        Args:
            rows: how many lines at most, default all.
        """
        header, lines = self._cells()
        shown = [header, *([_short(cell) for cell in line] for line in lines[:rows])]
        widths = [max(len(line[column]) for line in shown) for column in range(len(header))]
        text = "\n".join(
            "  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)) for line in shown
        )
        left = len(lines) - (len(shown) - 1)
        return text + (f"\n... and {left} more" if left else "")

    def to_csv(self) -> str:
        """Return CSV text with a header line, the best trial first, numbers in full."""
        stream = io.StringIO()
        writer = csv.writer(stream, lineterminator="\n")
        header, lines = self._cells()
        writer.writerows([header, *lines])
        return stream.getvalue()

    def plot(self, path: str | os.PathLike[str], title: str = "Search") -> None:
        """Write a picture (PNG): a panel a parameter, its values against the scores.

        Raises:
            ImportError: matplotlib is missing.
            ValueError: no trial has a score, or no parameter varies.
        """
        from .plot import draw

        write_atomically(path, draw(self, title))

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write ``table.txt`` and ``trials.csv`` into a folder."""
        write_atomically(Path(folder) / "table.txt", self.table() + "\n")
        write_atomically(Path(folder) / "trials.csv", self.to_csv())

    def _cells(self) -> tuple[list[str], list[list[Any]]]:
        names = list(dict.fromkeys(name for record in self.trials for name in record.parameters))
        budgets = any(record.budget is not None for record in self.trials)
        faults = any(record.failed for record in self.trials)
        header = ["trial", *(["budget"] if budgets else []), "score", *names, "seconds", "attempts"]
        lines = [
            [
                record.number,
                *([record.budget] if budgets else []),
                "failed" if record.failed else record.score,
                *(record.parameters.get(name, "") for name in names),
                round(record.seconds, 3),
                record.attempts,
                *([(record.error or "").partition("\n")[0]] if faults else []),
            ]
            for record in self.trials
        ]
        return [*header, *(["error"] if faults else [])], lines


def rank(record: Record, mode: str) -> tuple[Any, ...]:
    """What trials are sorted by: budget, then score; no score last, equal scores by number."""
    none = record.failed or math.isnan(record.score)
    score = 0.0 if none else (-record.score if mode == "max" else record.score)
    return none, -(record.budget or 0), score, record.number


def _short(cell: Any) -> str:
    return f"{cell:.5g}" if isinstance(cell, float) else str(cell)


def describe(parameters: dict[str, Any]) -> str:
    """Return ``lr=0.00312 width=64``."""
    return " ".join(f"{name}={_short(value)}" for name, value in parameters.items())
