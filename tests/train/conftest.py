"""Fixtures of the training tests."""

from __future__ import annotations

import pytest
from small_training import Setup


@pytest.fixture
def setup() -> type[Setup]:
    """The class that makes everything of one small training; calling it makes it afresh."""
    return Setup
