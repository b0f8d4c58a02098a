"""A disk that fills up during a training: one sentence, whole files, nothing half written, and a way on."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pynet import cli
from pynet.io import atomic
from pynet.train import CheckpointError, LambdaCallback, ModelCheckpoint, load_checkpoint
from pynet.train.checkpoint import LAST, PREVIOUS


def full(*arguments, **options):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class FullFile:
    """A file that takes the first bytes only."""

    def __init__(self, path, mode):
        self.file = open(path, mode)  # noqa: SIM115

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.file.close()

    def write(self, data):
        self.file.write(data[:100])
        full()


def fill(patch, moment):
    """From now on the disk is full at one moment of writing a file."""
    real = os.replace
    if moment == "write":
        patch.setattr(atomic, "open", FullFile, raising=False)
    elif moment == "fsync":
        patch.setattr(os, "fsync", full)
    elif moment == "rename":
        patch.setattr(os, "replace", lambda a, b: full() if Path(b).name == LAST else real(a, b))
    else:
        patch.setattr(os, "replace", lambda a, b: full() if Path(b).name == PREVIOUS else real(a, b))


@pytest.mark.parametrize("moment", ["write", "fsync", "rename", "rename of the previous one"])
@pytest.mark.parametrize("step", [2, 8, 13, 16])
def test_nothing_is_lost_and_the_training_goes_on_when_there_is_room(setup, tmp_path, moment, step):
    whole = setup()
    whole.fit(3)
    one = setup()
    with pytest.MonkeyPatch.context() as patch:

        def look(*_):
            if one.trainer.global_step == step:
                fill(patch, moment)

        checkpoint = ModelCheckpoint(tmp_path, every_steps=1)
        with pytest.raises(CheckpointError) as caught:
            one.fit(3, callbacks=[LambdaCallback(on_batch_begin=look), checkpoint])
    assert caught.value.errno == errno.ENOSPC
    now, before = step + 1, step

    def place(done):
        return f"(epoch {(done - 1) // 8 + 1}, step {(done - 1) % 8 + 1})"

    # At the end of an epoch the checkpoint before may be the one of that epoch's end.
    kept = place(before) if before % 8 else f"(epoch {before // 8 + 1}, step 0)"
    assert str(caught.value) == (
        f"the checkpoint {place(now)} was not saved: No space left on device ({tmp_path / LAST}); "
        f"{LAST} {kept} is intact: make room there and resume from it"
    )
    assert sorted(os.listdir(tmp_path)) == [LAST, PREVIOUS]
    assert load_checkpoint(tmp_path)["global_step"] == before
    load_checkpoint(tmp_path / PREVIOUS)
    # The same objects go on, and so does a new process.
    one.fit(3, callbacks=[ModelCheckpoint(tmp_path / "new")], resume=tmp_path)
    assert one.bits() == whole.bits()
    other = setup(seed=5)
    other.fit(3, checkpoint=tmp_path, resume=True)
    assert other.bits() == whole.bits()


def test_the_first_checkpoint_that_fails_says_that_there_is_none(setup, tmp_path, monkeypatch):
    one = setup()
    begin = LambdaCallback(on_epoch_begin=lambda *_: fill(monkeypatch, "fsync"))
    with pytest.raises(CheckpointError, match=r"No space left on device .*; there is none before it"):
        one.fit(1, callbacks=[begin], checkpoint=tmp_path)
    assert os.listdir(tmp_path) == []


def test_a_signal_on_a_full_disk_still_says_so(setup, tmp_path, monkeypatch):
    one = setup()

    def look(step, logs):
        if one.trainer.global_step == 11:
            fill(monkeypatch, "write")
            one.trainer.signals.received = "SIGTERM"

    with pytest.raises(
        CheckpointError, match=r"\(epoch 2, step 4\) was not saved.*\(epoch 2, step 0\) is intact"
    ):
        one.fit(3, callbacks=[LambdaCallback(on_batch_begin=look)], checkpoint=tmp_path)
    assert os.listdir(tmp_path) == [LAST]


def test_the_command_says_it_in_one_sentence(capsys):
    error = CheckpointError(errno.ENOSPC, "the checkpoint was not saved")
    assert cli._sentence(error) == str(error) == "the checkpoint was not saved"


_ON_A_SMALL_DISK = """
import errno, os, subprocess, sys
folder = sys.argv[2]
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=200k", "none", folder], check=True)
sys.path.insert(0, sys.argv[1])
from small_training import Setup
from pynet.train import CheckpointError, LambdaCallback, ModelCheckpoint

def occupy(epoch, logs):
    if epoch == 2:
        try:
            with open(os.path.join(folder, "other"), "wb", buffering=0) as file:
                while True:
                    file.write(bytes(4096))
        except OSError:
            pass

whole = Setup()
whole.fit(4)
one = Setup()
try:
    one.fit(4, callbacks=[LambdaCallback(on_epoch_begin=occupy), ModelCheckpoint(folder, every_steps=3)])
except CheckpointError as error:
    assert error.errno == errno.ENOSPC
    print(error)
print(sorted(os.listdir(folder)))
os.remove(os.path.join(folder, "other"))
two = Setup(seed=7)
two.fit(4, checkpoint=folder, resume=True)
print(two.bits() == whole.bits(), flush=True)
"""


def _may_mount() -> bool:
    if shutil.which("unshare") is None:
        return False
    command = ["unshare", "-Urm", "mount", "-t", "tmpfs", "none", "/mnt"]
    return subprocess.run(command, capture_output=True).returncode == 0


@pytest.mark.skipif(not _may_mount(), reason="mounting a small disk is not allowed here")
def test_a_real_disk_of_200_kilobytes(tmp_path):
    here = str(Path(__file__).parent)
    command = ["unshare", "-Urm", sys.executable, "-c", _ON_A_SMALL_DISK, here, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines() == [
        f"the checkpoint (epoch 3, step 2) was not saved: No space left on device ({tmp_path / LAST}); "
        f"{LAST} (epoch 3, step 0) is intact: make room there and resume from it",
        f"['{LAST}', 'other', '{PREVIOUS}']",
        "True",
    ], done.stderr
