"""exp, log, tanh, sigmoid, erf and sqrt within 4 ULP at every ISA level, and the docs' table as measured."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.accuracy import sweep

WORST = 4.0
TABLE = Path(__file__).resolve().parents[2] / "docs" / "accuracy.md"


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    if reason := sweep.missing():
        pytest.skip(reason)
    return sweep.build(tmp_path_factory.mktemp("sweep"))


def documented() -> dict[tuple[str, str], float]:
    rows = re.findall(r"^\| (\w+) \| (v\d) \| ([\d.]+) \|", TABLE.read_text(), re.M)
    return {(function, level): float(ulp) for function, level, ulp in rows}


@pytest.mark.parametrize("function", sweep.FUNCTIONS)
def test_every_4001st_number(program, function):
    for row in sweep.run(program, function, 4001):
        assert row.ulp <= WORST, row
        assert row.ulp <= documented()[function, row.level] + 0.01, row


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("function", sweep.FUNCTIONS)
def test_all_numbers(program, function):
    for row in sweep.run(program, function, 1):
        assert row.ulp <= WORST, row
        assert row.ulp == pytest.approx(documented()[function, row.level], abs=0.01), row
