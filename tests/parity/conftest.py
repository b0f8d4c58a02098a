"""Parity needs PyTorch: `make test-parity` brings its own environment; elsewhere the tests are not collected."""

from __future__ import annotations

import importlib.util

import pytest

MISSING: set[str] = set()


collect_ignore_glob: list[str] = []
if importlib.util.find_spec("torch") is None:
    collect_ignore_glob = ["test_*.py"]


@pytest.fixture
def missing():
    """missing(name): this case is about something that pynet does not have; listed in the summary."""

    def skip(name: str) -> None:
        MISSING.add(name)
        pytest.skip(f"pynet has no {name}")

    return skip


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if collect_ignore_glob:
        terminalreporter.write_line(
            "parity with PyTorch was not tested: it is not installed; `make test-parity`"
        )
    if MISSING:
        terminalreporter.section("in PyTorch, not in pynet")
        terminalreporter.write_line(", ".join(sorted(MISSING)))
