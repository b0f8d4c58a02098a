"""Compares pynet/_core.pyi with what pybind11-stubgen makes of the built core; --write renews the file."""

from __future__ import annotations

import difflib
import subprocess
import sys
import tempfile
from pathlib import Path

STUB = Path(__file__).resolve().parent.parent / "pynet" / "_core.pyi"
HEADER = "# Generated from the native core by `make stubs`; do not edit.\n"


def generated() -> str:
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(
            [
                sys.executable,
                "-m",
                "pybind11_stubgen",
                "pynet._core",
                "-o",
                folder,
                "--numpy-array-use-type-var",
            ],
            check=True,
            capture_output=True,
        )
        return HEADER + next(Path(folder).rglob("_core.pyi")).read_text()


def main() -> int:
    fresh = generated()
    if "--write" in sys.argv:
        STUB.write_text(fresh)
        return 0
    kept = STUB.read_text() if STUB.exists() else ""
    if kept == fresh:
        return 0
    sys.stdout.writelines(
        difflib.unified_diff(kept.splitlines(True), fresh.splitlines(True), "pynet/_core.pyi", "fresh")
    )
    print("pynet/_core.pyi has drifted from the core; run `make stubs`")
    return 1


if __name__ == "__main__":
    raise SystemExit(main())
