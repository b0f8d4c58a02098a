"""Several runs side by side: which settings differ, what came out, and their curves."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..train.history import History, mode_of
from ..train.run import Run
from . import figures
from .page import Page
from .run_page import duration, name_of


def compare(runs: Sequence[Run]) -> tuple[Page, str]:
    """A page and a plain table that set runs side by side.

    Args:
        runs: at least two.

    Returns:
        The page, and the text for a terminal.

    Raises:
        ValueError: fewer than two runs. FileNotFoundError: a run has no history yet.
        ImportError: matplotlib is missing.
    """
    if len(runs) < 2:
        raise ValueError("compare: give at least two runs")
    names = names_of(runs)
    histories = dict(zip(names, map(history_of, runs), strict=True))
    results = [(name_of(key), *values) for key, values in _results(runs, list(histories.values())).items()]
    differing = [(name_of(key), *values) for key, values in differences(runs).items()]
    page = Page("Runs side by side", " · ".join(names))
    page.section("Results")
    page.table(results, ("", *names))
    page.section("Settings that differ")
    if differing:
        page.table(differing, ("", *names))
    else:
        page.text("None: the runs were started alike.")
    if any(len(history) for history in histories.values()):
        page.section("Curves")
        page.figure(
            figures.overlaid({name: history for name, history in histories.items() if len(history)}),
            "Validation curves, a colour a run; dashed: training curves where there is no validation.",
        )
    page.section("To repeat them")
    for name, run in zip(names, runs, strict=True):
        page.text(name)
        page.code(run.description.get("command") or "(not started from the command line)")
    return page, text_table([("", *names), *results, *differing])


def names_of(runs: Sequence[Run]) -> list[str]:
    """The folders' names, with as much of the path as tells them apart."""
    paths = [run.path.resolve() for run in runs]
    for depth in range(1, max(len(path.parts) for path in paths) + 1):
        names = ["/".join(path.parts[-depth:]) for path in paths]
        if len(set(names)) == len(names):
            return names
    return [f"{path.name} ({number})" for number, path in enumerate(paths, 1)]  # one run, given twice


def history_of(run: Run) -> History:
    """The history in a run's folder.

    Raises:
        FileNotFoundError: the run has not finished an epoch.
    """
    file = Path(run.path) / "history.json"
    if not file.is_file():
        raise FileNotFoundError(f"{run.path} has no history yet: no epoch is finished")
    return History.load(file)


def differences(runs: Sequence[Run]) -> dict[str, list[str]]:
    """Settings that are not the same in all runs: name to a value for each."""
    told = [{"model": run.description["model"]["name"], **run.description["settings"]} for run in runs]
    keys = dict.fromkeys(key for settings in told for key in settings)
    rows = {key: [_shown(settings.get(key)) for settings in told] for key in keys}
    return {key: values for key, values in rows.items() if len(set(values)) > 1}


def _results(runs: Sequence[Run], histories: Sequence[History]) -> dict[str, list[str]]:
    rows: dict[str, list[str]] = {"status": [str(run.description.get("status", "")) for run in runs]}
    accuracy = [run.description["figures"].get("test_accuracy") for run in runs]
    if any(value is not None for value in accuracy):
        rows["test_accuracy"] = ["" if value is None else f"{100 * value:.2f} %" for value in accuracy]
    keys = dict.fromkeys(
        key for history in histories for key in history.columns if key not in ("epoch", "seconds", "lr")
    )
    for key in keys:
        rows[f"{key}"] = [_figure(history, key) for history in histories]
    rows["epochs"] = [str(len(history)) for history in histories]
    rows["time"] = [duration(sum(history["seconds"])) if len(history) else "" for history in histories]
    return rows


def _figure(history: History, key: str) -> str:
    if key not in history:
        return ""
    value = history[key][-1]
    return f"{100 * value:.2f} %" if mode_of(key) == "max" else f"{value:.4f}"


def _shown(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


def text_table(rows: Sequence[Sequence[str]]) -> str:
    """Rows as lines: the first column to the left, the others to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if column else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )
