"""The example of the README runs as it stands and learns what it says."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest


def test_first_network(capsys):
    pytest.importorskip("sklearn")
    runpy.run_path(str(Path(__file__).parents[2] / "examples" / "first_network.py"))
    match = re.fullmatch(r"test accuracy: (\d+\.\d) %\n", capsys.readouterr().out)
    assert match is not None
    assert float(match[1]) >= 98
