"""The reasons for differences stand in docs/parity.md, and none is about a case that is gone."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.parity.differences import DIFFERENCES, SPECIAL_DIFFERENCES
from tests.parity.test_values import CASES

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "parity.md").read_text()


@pytest.mark.parametrize("reason", sorted({*DIFFERENCES.values(), *SPECIAL_DIFFERENCES.values()}))
def test_the_page_has_the_reason(reason):
    assert reason in PAGE


def test_every_difference_belongs_to_a_case():
    texts = {case.text for case in CASES.values()}
    assert {*DIFFERENCES, *SPECIAL_DIFFERENCES} <= texts
