"""The wheel as a user gets it: built from the tree, installed elsewhere, small and self-sufficient."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
pytestmark = pytest.mark.timeout(900)


def run(*command: str, cwd: Path | None = None) -> str:
    env = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
    result = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


# The build that these tests run on has compiled all levels already: for the wheel the portable one is enough.
@pytest.fixture(scope="module", params=["", pytest.param("v2;v3;v4", marks=pytest.mark.slow)])
def wheel(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    levels = f"cmake.define.PYNET_LEVELS={request.param}"
    run(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-C", levels, "-w", str(folder), str(ROOT))
    (built,) = folder.glob("*.whl")
    return built


def test_wheel_is_small_and_holds_what_it_should(wheel):
    assert wheel.name.startswith("pynet_nn-")
    assert wheel.stat().st_size < 5e6
    names = zipfile.ZipFile(wheel).namelist()
    assert {"pynet/__init__.py", "pynet/py.typed", "pynet/_core.pyi"} <= set(names)
    assert [n for n in names if n.startswith("pynet/_core.") and n.endswith(".so")]
    assert any(n.endswith("licenses/LICENSE") for n in names)
    assert not [n for n in names if n.split("/")[0] in ("tests", "bench", "csrc")]


def test_wheel_works_elsewhere(wheel, tmp_path):
    run(sys.executable, "-m", "venv", "--system-site-packages", str(tmp_path / "env"))
    python = str(tmp_path / "env" / "bin" / "python")
    run(python, "-m", "pip", "install", "-q", "--no-deps", "--force-reinstall", str(wheel))
    code = (
        "import pynet; from pynet import nn, optim\n"
        "pynet.manual_seed(0)\n"
        "m = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3))\n"
        "o = optim.SGD(m.parameters(), lr=0.1)\n"
        "x, y = pynet.randn(8, 1, 8, 8), pynet.tensor([0, 1, 2, 0, 1, 2, 0, 1])\n"
        "first = None\n"
        "for _ in range(20):\n"
        "    loss = nn.functional.cross_entropy(m(x), y); first = first or loss.item()\n"
        "    o.zero_grad(); loss.backward(); o.step()\n"
        "assert loss.item() < first\n"
        "print(pynet.__file__)"
    )
    where = run(python, "-c", code, cwd=tmp_path).strip()
    assert str(tmp_path / "env") in where, "the wheel's own files run, not the source tree"
    doctor = run(str(tmp_path / "env" / "bin" / "pynet"), "doctor", cwd=tmp_path)
    assert pynet_level(doctor), doctor


def pynet_level(text: str) -> bool:
    return any(level in text for level in ("v4", "v3", "v2", "base"))


def test_unbuilt_tree_says_what_to_do(tmp_path):
    shutil.copytree(ROOT / "pynet", tmp_path / "pynet", ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    code = f"import sys; sys.path += {sys.path[1:]!r}; sys.path.insert(0, '.'); import pynet"
    command = [sys.executable, "-S", "-c", code]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode != 0
    way_out = "this is the source tree without a build: run `pip install -e .` or leave this folder"
    assert way_out in result.stderr
