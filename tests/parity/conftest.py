"""Parity needs PyTorch: `make test-parity` brings its own environment; without it the tests skip."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
MISSING: set[str] = set()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if importlib.util.find_spec("torch") is None:
        skip = pytest.mark.skip(reason="PyTorch is not installed here; run `make test-parity`")
        for item in items:
            if HERE in item.path.parents:
                item.add_marker(skip)


@pytest.fixture
def missing():
    """missing(name): this case is about something that pynet does not have; listed in the summary."""

    def skip(name: str) -> None:
        MISSING.add(name)
        pytest.skip(f"pynet has no {name}")

    return skip


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if MISSING:
        terminalreporter.section("in PyTorch, not in pynet")
        terminalreporter.write_line(", ".join(sorted(MISSING)))
