"""The build's symbol gate refuses an object that defines something outside its level's namespace."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
CLEAN = "namespace pynet { namespace v3 { int add(int a, int b) { return a + b; } } }"
LEAKS = {
    "a std template": "#include <algorithm>\n#include <vector>\n" + CLEAN
    + "\nnamespace pynet { namespace v3 { void fill(std::vector<int>& v) { v.push_back(1); } } }",
    "a free function": CLEAN + "\nint leaked(int a) { return a; }",
    "another level": "namespace pynet { namespace v4 { int add(int a) { return a; } } }",
    "the shared namespace": "namespace pynet { int shared(int a) { return a; } }",
}  # fmt: skip


def tool(name: str) -> str:
    """A build tool, from the environment of this Python (cmake is a wheel there) or the system."""
    found = shutil.which(name, path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
    assert found, f"{name} is not installed"
    return found


def gate(tmp_path: Path, source: str) -> subprocess.CompletedProcess[str]:
    (tmp_path / "kernel.cpp").write_text(source)
    subprocess.run([tool("g++"), "-O0", "-c", "kernel.cpp", "-o", "kernel.o"], cwd=tmp_path, check=True)
    script = str(ROOT / "cmake" / "check_symbols.cmake")
    names = {
        "NM": tool("nm"),
        "NAMESPACE": "v3",
        "STAMP": tmp_path / "stamp",
        "OBJECTS": tmp_path / "kernel.o",
    }
    command = [tool("cmake"), *(f"-D{key}={value}" for key, value in names.items()), "-P", script]
    return subprocess.run(command, capture_output=True, text=True)


def test_clean_object_passes(tmp_path):
    result = gate(tmp_path, CLEAN)
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "stamp").exists()


@pytest.mark.parametrize("kind", LEAKS)
def test_planted_leak_fails(tmp_path, kind):
    result = gate(tmp_path, LEAKS[kind])
    assert result.returncode != 0
    assert "outside pynet::v3" in result.stderr
    assert not (tmp_path / "stamp").exists()
