"""Builds and runs `sweep.cpp`; `python -m tests.accuracy.sweep` prints the table of docs/accuracy.md."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from pynet import _core

HERE = Path(__file__).resolve().parent
FUNCTIONS = ("exp", "log", "tanh", "sigmoid", "erf", "sqrt")
LEVELS = {  # lanes and flags as in cmake/levels.cmake
    "v2": (4, ["-march=x86-64-v2"]),
    "v3": (8, ["-march=x86-64-v3"]),
    "v4": (16, ["-march=x86-64-v4", "-mprefer-vector-width=512"]),
}
KERNEL_FLAGS = [
    *("-std=gnu++17", "-O3", "-ffp-contract=fast", "-fno-math-errno", "-fno-trapping-math"),
    *("-fno-exceptions", "-fno-rtti", "-Wno-psabi", "-DPYNET_X86_LEVELS"),
]


class Worst(NamedTuple):
    """The largest error of a function at a level, and the argument that has it."""

    function: str
    level: str
    ulp: float
    at: float


def missing() -> str | None:
    """Why the program cannot be built here, or None."""
    if shutil.which("g++") is None:
        return "no g++"
    return None if "v2" in _core.isa_levels() else "the levels of this CPU are not x86-64's"


def build(folder: Path) -> Path:
    """Compiles the functions once a level and links them with the sweep."""
    objects = []
    for level, (lanes, flags) in LEVELS.items():
        objects.append(str(folder / f"{level}.o"))
        defines = [f"-DPYNET_LEVEL={level}", f"-DPYNET_LANES={lanes}"]
        command = ["g++", *KERNEL_FLAGS, *flags, *defines, "-c", str(HERE / "level.cpp"), "-o", objects[-1]]
        subprocess.run(command, check=True)
    program = folder / "sweep"
    link = ["g++", "-std=gnu++17", "-O2", "-fno-math-errno", "-fopenmp"]
    subprocess.run([*link, str(HERE / "sweep.cpp"), *objects, "-o", str(program)], check=True)
    return program


def run(program: Path, function: str, stride: int) -> list[Worst]:
    """The largest errors at every level that this CPU has, over every stride-th bit pattern."""
    levels = [level for level in LEVELS if level in _core.isa_levels()]
    command = [str(program), str(stride), function, *levels]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    rows = [line.split() for line in printed.splitlines()]
    return [Worst(name, level, float(ulp), float(at)) for name, level, ulp, at in rows]


def main() -> None:
    stride = int(sys.argv[1]) if len(sys.argv) > 1 else 1
    with tempfile.TemporaryDirectory() as folder:
        program = build(Path(folder))
        print("| function | level | largest error, ULP | at |\n| --- | --- | ---: | ---: |")
        for function in FUNCTIONS:
            for row in run(program, function, stride):
                print(f"| {row.function} | {row.level} | {row.ulp:.2f} | {row.at:.9g} |", flush=True)


if __name__ == "__main__":
    main()
