"""Processes that die, hang or cannot start; interrupted searches."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pynet.search import choice, random_search, uniform

from . import objectives

SPACE = {"x": uniform(0, 1)}
ROOT = Path(__file__).resolve().parent.parent.parent


def environment():
    return {**os.environ, "PYTHONPATH": str(ROOT)}


def wait_for(condition, seconds=60.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


def is_alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_what_dies_is_tried_again(capfd):
    result = random_search(objectives.dies, SPACE, len(objectives.DEATHS), n_workers=2, progress=False)
    assert [(record.score, record.attempts) for record in result.trials] == [(1, 2)] * 5
    said = capfd.readouterr().err
    for number, words in enumerate(objectives.DEATHS.values()):
        assert f"trial {number}, attempt 1 of 3, after " in said and words in said
        assert f"trial {number}: trying again" in said


def test_what_hangs_is_reported_within_five_seconds_and_tried_again(capfd):
    """Within some five, where the machine is busy: a look every quarter of a second after four."""
    result = random_search(objectives.hangs, SPACE, 2, n_workers=2, progress=False)
    assert [(record.score, record.attempts) for record in result.trials] == [(1, 2)] * 2
    said = [line for line in capfd.readouterr().err.splitlines() if "hung" in line]
    assert len(said) == 2 and all("no processor time used for 4 s" in line for line in said)
    assert all(4 <= float(line.partition("after ")[2].split()[0]) < 10 for line in said)


def test_what_never_ends_is_tried_again(capfd):
    result = random_search(objectives.never_ends, SPACE, 1, n_workers=1, progress=False, time_limit=1.0)
    assert result.best_score == 1 and result.best.attempts == 2
    assert "it ran over the time limit of 1 s" in capfd.readouterr().err


def test_who_waits_for_a_busy_child_does_not_hang():
    result = random_search(objectives.busy_child, SPACE, 1, idle_limit=0.7, n_workers=1, progress=False)
    assert result.best.attempts == 1


def test_a_killed_process_takes_its_children_along(tmp_path):
    space = {"folder": str(tmp_path)}
    with pytest.raises(RuntimeError, match="the first 1 trials all failed, the last with: it ran over"):
        random_search(
            objectives.with_a_child, space, 1, time_limit=1.0, retries=1, n_workers=1, progress=False
        )
    pids = [int(pid) for file in tmp_path.iterdir() for pid in file.name.split()]
    assert len(pids) == 4
    wait_for(lambda: not any(map(is_alive, pids)), 5)


def test_when_nothing_succeeds_the_search_gives_up():
    with pytest.raises(
        RuntimeError, match="first 3 trials all failed, the last with: ArithmeticError: never"
    ):
        random_search(objectives.always_fails, SPACE, 50, retries=0, n_workers=1, progress=False)
    with pytest.raises(RuntimeError, match="must return its score, a number; it returned None"):
        random_search(objectives.strange, {"score": "none"}, 1, retries=0, n_workers=1, progress=False)


def test_an_objective_that_cannot_be_sent(monkeypatch):
    def local(parameters, trial):
        return 0.0

    begin = time.monotonic()
    for objective in (local, lambda parameters, trial: 0.0):
        with pytest.raises(TypeError, match=r"cannot get the objective .*at the top level of a file"):
            random_search(objective, SPACE, 5)
    with pytest.raises(TypeError, match="must be a function, not float"):
        random_search(0.5, SPACE, 5)
    assert time.monotonic() - begin < 1


def test_an_objective_that_a_worker_cannot_load(tmp_path, monkeypatch):
    """Its module can be imported here, and not there."""
    import types

    module = types.ModuleType("only_here")
    exec("def f(parameters, trial): return 0.0", module.__dict__)
    monkeypatch.setitem(sys.modules, "only_here", module)
    with pytest.raises(RuntimeError, match=r"cannot load the objective \(ModuleNotFoundError"):
        random_search(module.f, SPACE, 5, n_workers=2, progress=False)


SCRIPT = """
from pynet.search import random_search, uniform
def objective(parameters, trial):
    return 1.0
{guard}random_search(objective, {{"x": uniform(0, 1)}}, 4, n_workers=2)
"""


def test_a_script_without_guard(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.format(guard=""))
    done = subprocess.run([sys.executable, script], env=environment(), capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.count("Traceback") == 1
    assert done.stderr.splitlines()[-1].endswith("put the call under `if __name__ == '__main__':`")
    script.write_text(SCRIPT.format(guard="if __name__ == '__main__': "))
    done = subprocess.run([sys.executable, script], env=environment(), capture_output=True, text=True)
    assert done.returncode == 0 and "[4/4]" in done.stderr


def test_a_session_without_file():
    text = SCRIPT.format(guard="")
    done = subprocess.run(
        [sys.executable, "-"], input=text, env=environment(), capture_output=True, text=True
    )
    assert "typed into an interactive session; write it into a file" in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_search_leaves_no_process_and_goes_on(number, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        f"""
import os, sys, time
from pathlib import Path
from pynet.search import random_search, uniform
def objective(parameters, trial):
    place = Path({str(tmp_path)!r}) / "running"
    place.mkdir(exist_ok=True)
    (place / f"{{os.getpid()}} {{trial.number}}").touch()
    if trial.number >= 2 and not Path({str(tmp_path)!r}, "go").exists():
        time.sleep(1000)
    return parameters["x"]
if __name__ == "__main__":
    options = {{"folder": {str(tmp_path / "s")!r}, "n_workers": 2, "idle_limit": None}}
    random_search(objective, {{"x": uniform(0, 1)}}, 4, **options)
"""
    )
    running = tmp_path / "running"
    process = subprocess.Popen(
        [sys.executable, script], env=environment(), stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    wait_for(lambda: running.exists() and len(list(running.glob("* [23]"))) == 2)
    pids = {int(file.name.split()[0]) for file in running.iterdir()}
    begin = time.monotonic()
    os.killpg(process.pid, number)  # as a terminal does: the whole foreground group
    said = process.communicate(timeout=60)[1]
    assert process.returncode == -number
    wait_for(lambda: not any(map(is_alive, pids)), 10)
    assert time.monotonic() - begin < 10
    if number == signal.SIGINT:
        assert "interrupted, 2 of 4 trials are done; call again with the folder" in said
        assert (tmp_path / "s" / "table.txt").exists()
    (tmp_path / "go").touch()
    done = subprocess.run([sys.executable, script], env=environment(), capture_output=True, text=True)
    assert "2 of 4 trials are done already" in done.stderr and "[4/4]" in done.stderr
    assert len((tmp_path / "s" / "trials.jsonl").read_text().splitlines()) == 4


def test_two_searches_in_one_folder(tmp_path):
    import fcntl

    (tmp_path / ".lock").touch()
    with open(tmp_path / ".lock") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(RuntimeError, match="another search is at work"):
            random_search(objectives.parabola, SPACE, 1, folder=tmp_path)
    values = {"x": choice([0.1, 0.2])}
    assert (
        len(random_search(objectives.parabola, values, 1, folder=tmp_path, progress=False, n_workers=1)) == 1
    )
