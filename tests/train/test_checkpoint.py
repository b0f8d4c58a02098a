"""Checkpoint files: trees come back, damage is found, and no moment exists in which everything could be
lost.
"""

from __future__ import annotations

import math
import os
import pickle
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from pynet.autograd import Tensor
from pynet.io import safetensors
from pynet.train import checkpoint
from pynet.train.checkpoint import LAST, PREVIOUS, CheckpointFolder, load_checkpoint, save_checkpoint


def state(number: int = 0) -> dict:
    return {"epoch": number, "step": 3, "model": {"w": np.full((2, 3), number, np.float32)}}


def test_a_tree_comes_back(tmp_path):
    tree = {
        "none": None,
        "flags": [True, False],
        "big": 2**64 - 1,
        "pi": 0.1 + 0.2,
        "inf": [math.inf, -math.inf],
        "nan": math.nan,
        "text": 'ä"\n\0',
        "betas": (0.9, (1, "x")),
        "keys": {0: {"exp_avg": np.arange(6, dtype=np.float32).reshape(2, 3).T}, -1: []},
        "a": {"b.c": np.zeros(0, np.int64)},
        "a.b": {"c": np.array(5, np.uint64)},
        "$odd": {"$array": 1},
        "tensor": Tensor(np.ones(2, np.float32)),
        "numpy": np.float64(1.5),
        "empty": {},
    }
    save_checkpoint(tree, tmp_path / "c")
    loaded = load_checkpoint(tmp_path / "c")
    assert list(loaded) == list(tree)
    for key in ("none", "flags", "big", "pi", "inf", "text", "betas", "$odd", "numpy", "empty"):
        assert loaded[key] == tree[key], key
        assert type(loaded[key]) is (float if key == "numpy" else type(tree[key]))
    assert math.isnan(loaded["nan"])
    assert np.array_equal(loaded["keys"][0]["exp_avg"], tree["keys"][0]["exp_avg"])
    assert loaded["keys"][-1] == []
    assert loaded["a"]["b.c"].shape == (0,)
    assert loaded["a.b"]["c"] == 5
    assert loaded["tensor"].tolist() == [1, 1]


def test_what_cannot_be_stored_is_named(tmp_path):
    with pytest.raises(TypeError, match=r"cannot hold object at 'model.x.1'"):
        save_checkpoint({"model": {"x": [1, object()]}}, tmp_path / "c")
    assert not list(tmp_path.iterdir())


def test_the_folder_keeps_two(tmp_path):
    folder = CheckpointFolder(tmp_path / "new" / "folder")
    for number in range(4):
        folder.save(state(number))
    assert sorted(os.listdir(folder.path)) == [LAST, PREVIOUS]
    assert load_checkpoint(folder.path)["epoch"] == 3
    assert load_checkpoint(folder.path / PREVIOUS)["epoch"] == 2


def test_without_hard_links_it_keeps_two_as_well(tmp_path, monkeypatch):
    def refuse(*paths):
        raise OSError("no links here")

    monkeypatch.setattr(os, "link", refuse)
    folder = CheckpointFolder(tmp_path)
    folder.save(state(0))
    folder.save(state(1))
    assert load_checkpoint(tmp_path / PREVIOUS)["epoch"] == 0
    (tmp_path / LAST).unlink()
    with pytest.warns(UserWarning, match="no last.safetensors; its previous"):
        assert load_checkpoint(tmp_path)["epoch"] == 0


@pytest.fixture
def two(tmp_path):
    folder = CheckpointFolder(tmp_path)
    folder.save(state(4))
    folder.save(state(5))
    return tmp_path


def test_truncation_is_found_and_the_previous_one_offered(two):
    data = (two / LAST).read_bytes()
    for length in range(0, len(data), 7):
        (two / LAST).write_bytes(data[:length])
        with pytest.raises(ValueError, match=rf"{LAST}.*epoch 5, step 3.*resume from .*{PREVIOUS}"):
            load_checkpoint(two)
    assert load_checkpoint(two / PREVIOUS)["epoch"] == 4


def test_every_flipped_bit_is_found(two):
    data = (two / LAST).read_bytes()
    for place in range(0, len(data), 5):
        damaged = bytearray(data)
        damaged[place] ^= 1 << (place % 8)
        (two / LAST).write_bytes(damaged)
        try:
            loaded = load_checkpoint(two)
        except ValueError as error:
            assert PREVIOUS in str(error)
        else:  # white space in the header
            assert loaded["epoch"] == 5
            assert np.array_equal(loaded["model"]["w"], state(5)["model"]["w"])


def test_a_flipped_bit_in_the_weights_is_a_checksum_error(two):
    data = bytearray((two / LAST).read_bytes())
    data[-3] ^= 4
    (two / LAST).write_bytes(data)
    with pytest.raises(ValueError, match="damaged: its checksum does not fit"):
        load_checkpoint(two)


def test_a_damaged_last_does_not_push_out_the_previous_one(two):
    (two / LAST).write_bytes(b"damaged")
    CheckpointFolder(two).save(state(6))
    assert load_checkpoint(two)["epoch"] == 6
    assert load_checkpoint(two / PREVIOUS)["epoch"] == 4


def test_after_a_kill_between_the_two_renames(two):
    (two / PREVIOUS).unlink()
    os.link(two / LAST, two / PREVIOUS)
    folder = CheckpointFolder(two)
    folder.save(state(6))
    assert sorted(os.listdir(two)) == [LAST, PREVIOUS]
    assert load_checkpoint(two / PREVIOUS)["epoch"] == 5


def test_a_newer_format_is_refused(tmp_path):
    header = {"format": checkpoint.FORMAT, "version": checkpoint.VERSION + 1, "tree": {}}
    safetensors.save_file({}, tmp_path / "c", header)
    with pytest.raises(ValueError, match="format 2, and this pynet reads formats up to 1; use a newer pynet"):
        load_checkpoint(tmp_path / "c")


def test_weights_alone_are_no_checkpoint(tmp_path):
    safetensors.save_file({"w": np.ones(2, np.float32)}, tmp_path / "w")
    with pytest.raises(ValueError, match="no checkpoint; load weights with"):
        load_checkpoint(tmp_path / "w")


def test_a_pickle_is_refused(tmp_path):
    (tmp_path / "c").write_bytes(pickle.dumps({"epoch": 1}))
    with pytest.raises(ValueError, match="not a safetensors file"):
        load_checkpoint(tmp_path / "c")


def test_missing_files_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no checkpoint .*nothing"):
        load_checkpoint(tmp_path / "nothing")
    with pytest.raises(FileNotFoundError, match="holds no checkpoint"):
        load_checkpoint(tmp_path)


def test_a_full_disk_keeps_both(two):
    folder = CheckpointFolder(two)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(OSError, match="too large"):
            folder.save({**state(6), "model": {"w": np.zeros(10_000, np.float32)}})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert sorted(os.listdir(two)) == [LAST, PREVIOUS]
    assert load_checkpoint(two)["epoch"] == 5
    assert load_checkpoint(two / PREVIOUS)["epoch"] == 4


_FULL_DISK = """
import errno, resource, sys
sys.path.insert(0, sys.argv[1])
from small_training import Setup
from pynet.train import LambdaCallback

def fill(epoch, logs):
    if epoch == 1:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))

one = Setup()
try:
    one.fit(3, callbacks=[LambdaCallback(on_epoch_end=fill)], checkpoint=sys.argv[2])
except OSError as error:
    assert error.errno == errno.EFBIG
    print(error)
"""


def test_a_disk_that_fills_up_during_training_loses_nothing(setup, tmp_path):
    here = str(Path(__file__).parent)
    command = [sys.executable, "-c", _FULL_DISK, here, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.stdout == (
        f"the checkpoint (epoch 3, step 0) was not saved: File too large ({tmp_path / LAST}); "
        f"{LAST} (epoch 2, step 0) is intact: make room there and resume from it\n"
    ), done.stderr
    assert os.listdir(tmp_path) == [LAST]
    whole = setup()
    whole.fit(3)
    resumed = setup(seed=2)
    resumed.fit(3, resume=tmp_path)
    assert resumed.bits() == whole.bits()


_WRITER = """
import sys, numpy as np
from pynet.train.checkpoint import CheckpointFolder
folder = CheckpointFolder(sys.argv[1])
for number in range(10**6):
    folder.save({"epoch": number, "step": 0, "w": np.full(200_000, number, np.float32)})
    if number == 0:
        print("ready", flush=True)
"""


@pytest.mark.parametrize("delay", [0.0, 0.003, 0.011, 0.017, 0.031])
def test_kill_9_while_writing_leaves_a_whole_checkpoint(tmp_path, delay):
    process = subprocess.Popen(
        [sys.executable, "-c", _WRITER, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout.readline() == "ready\n"
        time.sleep(0.02 + delay)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
    loaded = load_checkpoint(tmp_path)
    assert (loaded["w"] == loaded["epoch"]).all()
    CheckpointFolder(tmp_path)
    assert set(os.listdir(tmp_path)) <= {LAST, PREVIOUS}


def test_two_writers_leave_a_whole_file(tmp_path):
    loop = _WRITER.replace("10**6", "15")
    writers = [
        subprocess.Popen([sys.executable, "-c", loop, str(tmp_path)], stdout=subprocess.DEVNULL) for _ in "ab"
    ]
    assert [writer.wait(timeout=60) for writer in writers] == [0, 0]
    loaded = load_checkpoint(tmp_path)
    assert (loaded["w"] == loaded["epoch"]).all()
