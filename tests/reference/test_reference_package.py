"""The package as a whole: what it exports, and that it stands alone."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from pynet import reference

FILES = sorted(Path(reference.__file__).parent.glob("*.py"))


def test_exports_are_sorted_and_exist():
    assert reference.__all__ == sorted(reference.__all__)
    for name in reference.__all__:
        assert callable(getattr(reference, name))


def test_every_forward_has_a_backward():
    names = set(reference.__all__)
    for name in names:
        if name.endswith("_forward"):
            stem = name.removesuffix("_forward")
            assert {f"{stem}_backward", f"{stem}_backward_data"} & names, f"{name} has no backward"


@pytest.mark.parametrize("path", FILES, ids=[path.name for path in FILES])
def test_only_numpy_and_the_standard_library_are_imported(path):
    allowed = {"__future__", "math", "numpy"}
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            assert {alias.name.partition(".")[0] for alias in node.names} <= allowed
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 1 or (node.level == 0 and (node.module or "").partition(".")[0] in allowed)
