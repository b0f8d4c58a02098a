"""What a training run has shown: one row of figures an epoch, kept in JSON and CSV files."""

from __future__ import annotations

import csv
import io
import json
import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ..io.atomic import write_atomically

_FORMAT = "pynet-history"


class History:
    """Rows of figures, an epoch each: ``history["val_accuracy"]`` is a list, ``history.rows[-1]`` the last
    epoch.

    Keys are those of the logs: "epoch" (from 1), "loss", the metrics, the same with "val_" for validation,
    "lr", "seconds".

    Args:
        rows: rows to begin with.
    """

    def __init__(self, rows: list[dict[str, float]] | None = None) -> None:
        self.rows: list[dict[str, float]] = [dict(row) for row in rows or []]

    def append(self, row: Mapping[str, float]) -> None:
        """Add the figures of one epoch."""
        self.rows.append(dict(row))

    @property
    def columns(self) -> list[str]:
        """All keys of all rows, in the order of their first appearance."""
        return list(dict.fromkeys(key for row in self.rows for key in row))

    @property
    def history(self) -> dict[str, list[float]]:
        """All columns by name, as in Keras; an epoch without a figure (no validation, say) counts as NaN."""
        return {key: self[key] for key in self.columns}

    def __getitem__(self, key: str) -> list[float]:
        """Return the figure `key`, an epoch each; KeyError lists what there is."""
        if key not in self.columns:
            raise KeyError(f"the history has no {key!r}; it has {', '.join(self.columns) or 'no epoch yet'}")
        return [row.get(key, math.nan) for row in self.rows]

    def __contains__(self, key: object) -> bool:
        return key in self.columns

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[dict[str, float]]:
        return iter(self.rows)

    def __repr__(self) -> str:
        return f"History({len(self)} epochs: {', '.join(self.columns)})"

    def best(self, key: str, mode: str | None = None) -> dict[str, float]:
        """Return the row whose figure `key` is best; `mode` is "min" or "max", by default what the name
        suggests.
        """
        values = self[key]
        sign = -1 if (mode or mode_of(key)) == "max" else 1
        finite = [i for i, value in enumerate(values) if not math.isnan(value)]
        if not finite:
            raise ValueError(f"the history has no finite {key!r}")
        return self.rows[min(finite, key=lambda i: sign * values[i])]

    def to_json(self) -> str:
        """Return JSON text; NaN and infinities, which JSON lacks, are written as strings."""
        rows = [{key: _encode(value) for key, value in row.items()} for row in self.rows]
        return json.dumps({"format": _FORMAT, "version": 1, "rows": rows}, indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str, name: str = "the text") -> History:
        """Return the history that ``to_json`` wrote; ValueError names `name` where it is something else."""
        try:
            data = json.loads(text)
            if data["format"] != _FORMAT or data["version"] > 1:
                raise ValueError(f"format {data['format']!r} version {data['version']!r}")
            return cls([{key: _decode(value) for key, value in row.items()} for row in data["rows"]])
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise ValueError(f"{name} is no history that this pynet can read ({error})") from None

    def to_csv(self) -> str:
        """Return CSV text with a header line; a missing figure is an empty cell."""
        stream = io.StringIO()
        writer = csv.DictWriter(stream, self.columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        return stream.getvalue()

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write `path`, atomically: CSV where the name ends so, else JSON."""
        write_atomically(path, self.to_csv() if Path(path).suffix == ".csv" else self.to_json())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> History:
        """Return the history in the JSON file `path`."""
        try:
            text = Path(path).read_text(encoding="utf-8")
        except UnicodeDecodeError:
            raise ValueError(f"{path} is no history that this pynet can read (it is no text)") from None
        return cls.from_json(text, str(path))


def mode_of(key: str) -> str:
    """Return "max" for figures that are better when larger, judged by name (accuracy, top_k), else "min"."""
    name = key.removeprefix("val_")
    return (
        "max" if any(part in name for part in ("acc", "top_", "f1", "precision", "recall", "auc")) else "min"
    )


def gap(figures: Mapping[str, float], key: str, mode: str | None = None) -> float:
    """Return how much worse the figure `key` is in the validation than in the training.

    That is ``val_loss - loss`` where smaller is better and ``accuracy - val_accuracy`` where larger is, as
    `mode` ("min", "max") or the name says.

    Raises:
        KeyError: one of the two figures is missing.
    """
    difference = figures[f"val_{key}"] - figures[key]
    return -difference if (mode or mode_of(key)) == "max" else difference


def _encode(value: Any) -> Any:
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _decode(value: Any) -> float:
    return float(value) if isinstance(value, str) else value
