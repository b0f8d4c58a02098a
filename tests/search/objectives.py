"""Objectives that worker processes import."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import time
from pathlib import Path

import numpy as np

import pynet


def parabola(parameters, trial):
    """Best at x = 0.3; its curve has a point a unit of budget."""
    for step in range(trial.budget or 1):
        trial.report(step, step + trial.number)
    return -((parameters["x"] - 0.3) ** 2)


def threads(parameters, trial):
    return pynet.get_num_threads()


def random_score(parameters, trial):
    return pynet.rand(1).item()


DEATHS = {
    "kill": "its process was killed by SIGKILL",
    "segfault": "its process was killed by SIGSEGV",
    "exit": "its process ended with exit code 3",
    "raise": "ArithmeticError: a bad number",
    "quit": "SystemExit",
}


def dies(parameters, trial):
    """Once, each trial in its way."""
    if trial.attempt == 1:
        match list(DEATHS)[trial.number]:
            case "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            case "segfault":
                ctypes.string_at(0)
            case "exit":
                os._exit(3)
            case "raise":
                raise ArithmeticError("a bad number")
            case "quit":
                raise SystemExit
    return 1.0


def hangs(parameters, trial):
    """Once: the first trial sleeps, the second is stopped."""
    if trial.attempt == 1 and trial.number == 0:
        time.sleep(1000)
    if trial.attempt == 1 and trial.number == 1:
        os.kill(os.getpid(), signal.SIGSTOP)
    return 1.0


def never_ends(parameters, trial):
    """Once: it works for ever."""
    while trial.attempt == 1:
        pass
    return 1.0


def always_fails(parameters, trial):
    raise ArithmeticError(f"never {parameters['x']:.3f}")


def fails_while_a_file_exists(parameters, trial):
    if trial.number == 1 and Path(parameters["file"]).exists():
        raise ArithmeticError("the file exists")
    return parameters["x"]


def strange(parameters, trial):
    return {"none": None, "nan": np.nan, "array": np.array(2.0), "true": True}[parameters["score"]]


def busy_child(parameters, trial):
    """Waits for a child that works."""
    subprocess.run(["timeout", "1.5", "sh", "-c", "while true; do :; done"], check=False)
    return 1.0


def with_a_child(parameters, trial):
    """Starts a child that outlives it, notes both, then hangs."""
    child = subprocess.Popen(["sleep", "1000"])
    (Path(parameters["folder"]) / f"{os.getpid()} {child.pid}").touch()
    time.sleep(1000)


def rungs(parameters, trial):
    """Goes on from its own note of the rung before."""
    note = trial.folder / "budget"
    begun = int(note.read_text()) if note.exists() else 0
    note.write_text(str(trial.budget))
    trial.report(trial.budget, begun)
    return parameters["x"] if parameters["x"] < 0.9 else float("nan")
