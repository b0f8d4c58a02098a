"""Where a search keeps its trials: one JSON line each in ``trials.jsonl``, rewritten whole or not at all."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ..io.atomic import prepare_folder, write_atomically
from .trial import Record

FILE = "trials.jsonl"


class Folder:
    """The records of a search, in a folder or, without one, in memory.

    Attributes:
        path: the folder; a temporary one where none was given.
        records: all trials that ended, by number and budget, those that failed included.
    """

    def __init__(self, path: Path, kept: bool) -> None:
        self.path, self.kept = path, kept
        self.records: dict[tuple[int, int | None], Record] = {}

    def add(self, record: Record) -> None:
        """Keep a trial, on disk before this returns."""
        self.records[record.number, record.budget] = record
        if self.kept:
            write_atomically(self.path / FILE, self._text())

    def place_of(self, number: int) -> Path:
        """The folder of trial `number`, made where it is missing."""
        place = self.path / f"trial-{number:04d}"
        place.mkdir(exist_ok=True)
        return place

    def check(self, owner: str, expected: Callable[[int], dict[str, Any]]) -> None:
        """Refuse trials that another space or seed has drawn.

        Raises:
            ValueError: one has other parameters than ``expected(number)``.
        """
        for record in self.records.values():
            new = expected(record.number)
            if record.parameters != new:
                raise ValueError(
                    f"{owner}: trial {record.number} in {self.path} has {record.parameters}, and this space "
                    f"and seed give {new}; go on with those of the folder, or use another folder (a function "
                    "in the space must draw from the generator it is given)"
                )

    def _text(self) -> str:
        rows = sorted(self.records.values(), key=lambda record: (record.budget or 0, record.number))
        return "".join(json.dumps(record.to_json()) + "\n" for record in rows)

    def read(self) -> None:
        """Take over what ``trials.jsonl`` holds, if there is one.

        Raises:
            ValueError: a line is no trial.
        """
        file = self.path / FILE
        if not file.exists():
            return
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
            try:
                record = Record.from_json(json.loads(line))
            except (ValueError, TypeError) as error:
                raise ValueError(
                    f"{file}, line {number} is no trial ({error}); remove it, and it is done again"
                ) from None
            self.records[record.number, record.budget] = record


@contextlib.contextmanager
def open_folder(owner: str, path: str | os.PathLike[str] | None) -> Iterator[Folder]:
    """The folder `path` with what it holds, locked against another search; a temporary one for None.

    Raises:
        OSError: it cannot be made or written.
        RuntimeError: another search uses it.
    """
    if path is None:
        with tempfile.TemporaryDirectory(prefix="pynet-search-", ignore_cleanup_errors=True) as temporary:
            yield Folder(Path(temporary), kept=False)
        return
    folder = Folder(prepare_folder(path), kept=True)
    with open(folder.path / ".lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RuntimeError(
                f"{owner}: another search is at work in {folder.path}; wait for it, or use another folder"
            ) from None
        folder.read()
        yield folder
