"""Who may import whom: reads every module's imports and holds them to the table of docs/architecture.md."""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent / "pynet"

LOWEST = {"autograd", "_core", "devices", "reference", "random", "runtime"}
ALLOWED = {
    "autograd": LOWEST,
    "reference": {"reference"},
    "random": LOWEST,
    "devices": set(),
    "runtime": {"_core"},
    "ops": LOWEST | {"ops"},
    "gradcheck": LOWEST | {"ops"},
    "nn": {"ops", "autograd", "devices", "random", "nn"},
    "optim": LOWEST | {"ops", "nn", "optim"},
    "data": {"autograd", "_core", "random", "data"},
}
PUBLIC = LOWEST | {
    "compiled",
    "ops",
    "nn",
    "optim",
    "data",
    "train",
    "io",
    "models",
    "analysis",
    "report",
    "search",
    "ensemble",
    "sklearn",
    "cli",
    "gradcheck",
    "__version__",
}


def imports_of(path: Path) -> set[str]:
    """Top-level names inside pynet that a module imports, wherever in the file."""
    package = path.relative_to(ROOT.parent).with_suffix("").parts
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {a.name.split(".")[1] for a in node.names if a.name.startswith("pynet.")}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level] if node.level else ()
            module = (
                [*base, *(node.module or "").split(".")] if node.level else (node.module or "").split(".")
            )
            module = [m for m in module if m]
            if module[:1] != ["pynet"]:
                continue
            names |= {module[1]} if len(module) > 1 else {a.name for a in node.names}
    return names


def test_layers():
    wrong = []
    for path in sorted(ROOT.rglob("*.py")):
        layer = path.relative_to(ROOT).parts[0].removesuffix(".py")
        if layer in ("__init__", "__main__"):
            continue
        for name in imports_of(path) - ALLOWED.get(layer, PUBLIC):
            wrong.append(f"{path.relative_to(ROOT)} imports {name}")
    assert not wrong, "\n".join(wrong)


def test_the_reader_sees_imports():
    """The test above must be able to fail: it sees what it should see."""
    assert "autograd" in imports_of(ROOT / "ops" / "conv2d.py")
    assert {"reference"} >= imports_of(ROOT / "reference" / "__init__.py")
