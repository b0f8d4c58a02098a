"""Every test here starts from the same random numbers."""

from __future__ import annotations

import pytest

from pynet import random


@pytest.fixture(autouse=True)
def seeded():
    random.manual_seed(0)
