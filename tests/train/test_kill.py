"""kill -9 at random moments of a training: what is resumed ends with the bits of an undisturbed training."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from killable_training import train

import pynet
from pynet.train import load_checkpoint, save_checkpoint
from pynet.train.checkpoint import LAST, PREVIOUS

PROGRAM = Path(__file__).with_name("killable_training.py")


def start(folder: Path, epochs: int) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, str(PROGRAM), str(folder), str(epochs)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(pynet.__file__).parent.parent)},
    )


def live_and_die(folder: Path, epochs: int, chance: random.Random) -> int:
    """Let the training make some steps, kill it in the midst of one or of what follows; return the step."""
    process = start(folder, epochs)
    line = ""
    for _ in range(chance.randint(1, 6)):
        line = process.stdout.readline()
        assert line.startswith("step"), process.stderr.read()
    time.sleep(chance.uniform(0, 0.02))
    process.send_signal(signal.SIGKILL)
    rest, errors = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL, errors
    return int((rest.split("\n")[-2] if rest.count("\n") else line).split()[1])


@pytest.mark.parametrize(
    ("kills", "epochs"), [(3, 5), pytest.param(50, 70, marks=[pytest.mark.slow, pytest.mark.timeout(600)])]
)
def test_killed_and_resumed_the_bits_are_the_same(tmp_path, kills, epochs):
    save_checkpoint(train(None, epochs), tmp_path / "expected.safetensors")
    folder = tmp_path / "run"
    chance = random.Random(kills)
    places = [live_and_die(folder, epochs, chance) for _ in range(kills)]
    assert max(places) < 8 * epochs  # the last was killed before the end
    process = start(folder, epochs)
    first = process.stdout.readline()
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    # It did go on, and not begin again.
    assert int(first.split()[1]) >= max(places) - 2 > 0
    # Temporary files of the killed are gone.
    assert sorted(os.listdir(folder)) == [LAST, PREVIOUS, "result.safetensors"]
    result, expected = folder / "result.safetensors", tmp_path / "expected.safetensors"
    assert load_checkpoint(result)["history"] == load_checkpoint(expected)["history"]
    assert result.read_bytes() == expected.read_bytes()
