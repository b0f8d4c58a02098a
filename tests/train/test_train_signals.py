"""Ctrl-C and SIGTERM, sent to a training in a process of its own."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from pynet.data.augment import MixUp
from pynet.train import EMAWeightAveraging, LambdaCallback, load_checkpoint, signals
from pynet.train.signals import StopSignals

_PROGRAM = """
import json, sys, time
sys.path.insert(0, sys.argv[1])
from small_training import Setup
from pynet.train import LambdaCallback
pause = float(sys.argv[3])

def step(step, logs):
    if one.trainer.global_step == 11:
        print("running", flush=True)
    if one.trainer.global_step > 10:
        time.sleep(pause)

one = Setup()
history = one.fit(3, callbacks=[LambdaCallback(on_batch_end=step)], checkpoint=sys.argv[2] or None)
state = {"interrupted": one.trainer.interrupted, "epochs": len(history), "step": one.trainer.step}
print(json.dumps(state), flush=True)
"""


def start(folder, pause: float = 0.05) -> subprocess.Popen:
    here = str(Path(__file__).parent)
    command = [sys.executable, "-c", _PROGRAM, here, str(folder), str(pause)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "running\n", process.stderr.read()
    return process


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_stops_after_the_step_and_saves(setup, tmp_path, number):
    process = start(tmp_path)
    begin = time.perf_counter()
    process.send_signal(number)
    out, err = process.communicate(timeout=20)
    assert time.perf_counter() - begin < 5
    assert process.returncode == 0, err
    assert f'"interrupted": "{number.name}", "epochs": 1, "step": ' in out
    assert f"{number.name}: stopping after this step (once more aborts at once)" in err
    assert f"training stopped after epoch 2, step {load_checkpoint(tmp_path)['step']}: {number.name}" in err
    assert "Traceback" not in err
    assert load_checkpoint(tmp_path)["epoch"] == 1
    # What was saved is the middle of the epoch, and going on from it gives the bits of an undisturbed
    # training.
    whole = setup()
    whole.fit(3)
    resumed = setup(seed=8)
    resumed.fit(3, resume=tmp_path)
    assert resumed.bits() == whole.bits()


def test_without_a_folder_the_message_says_so():
    process = start("")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert "no checkpoint folder was given; the model keeps its weights" in err
    assert '"epochs": 1' in out


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_second_signal_aborts_at_once(tmp_path, number):
    process = start(tmp_path, pause=30)
    process.send_signal(number)
    assert "stopping after this step" in process.stderr.readline() + process.stderr.readline()
    begin = time.perf_counter()
    process.send_signal(number)
    _, err = process.communicate(timeout=10)
    assert time.perf_counter() - begin < 1.5
    # A shell sees 130 and 143.
    assert process.returncode == -number
    assert ("KeyboardInterrupt" in err) == (number == signal.SIGINT)
    assert load_checkpoint(tmp_path)["epoch"] == 1


_SLOW = """
import os, sys, time
sys.path.insert(0, sys.argv[1])
from small_training import Setup
from pynet import nn
from pynet.data import DataLoader
from pynet.train import signals, EMAWeightAveraging
from pynet.data.augment import MixUp
mix = MixUp(num_classes=2)
folder, place, grace = sys.argv[2], sys.argv[3], float(sys.argv[4])
signals.GRACE = grace

def sleep():
    os.write(1, b"running\\n")  # in one piece, from whatever thread
    time.sleep(60)

class Slow(nn.Module):
    def forward(self, x):
        trainer = one.trainer
        if place == "model" and trainer.global_step == 12 and self.training:
            sleep()
        if place == "validation" and trainer.epoch == 1 and not self.training:
            sleep()
        return x

class Data:
    def __init__(self, data):
        self.data = data
    def __len__(self):
        return len(self.data)
    def __getitem__(self, index):
        if place == "loader" and one.trainer.global_step >= 12:
            sleep()
        return self.data[index]

def augment(images, labels):
    mixed = mix(images, labels)
    if place == "augment" and one.trainer.global_step == 12:
        sleep()
    return mixed

def sleep_on_the_way_back(gradient):
    if place == "backward" and one.trainer.global_step == 12:
        sleep()

one = Setup(augment=augment, accumulate_grad_batches=5)
one.model[1].weight.register_hook(sleep_on_the_way_back)
one.model.add_module("6", Slow())
one.train = DataLoader(Data(one.train.dataset), 8, shuffle=True, num_workers=int(sys.argv[5]))
one.fit(3, callbacks=[EMAWeightAveraging(0.9)], checkpoint=folder)
print(one.trainer.interrupted, flush=True)
"""


@pytest.mark.parametrize(
    ("place", "workers", "grace"),
    [
        ("model", 0, None),
        *((p, 0, 0.2) for p in ("backward", "augment", "validation", "loader")),
        ("loader", 2, 0.2),
    ],
)
def test_what_is_slow_is_cut_short_and_loses_nothing(setup, tmp_path, place, workers, grace):
    """In the step that is taken back dropout and batch norm have run; gradients are half summed."""
    here = str(Path(__file__).parent)
    arguments = [here, str(tmp_path), place, str(signals.GRACE if grace is None else grace), str(workers)]
    process = subprocess.Popen(
        [sys.executable, "-c", _SLOW, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "running\n", process.stderr.read()
    begin = time.perf_counter()
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=20)
    assert time.perf_counter() - begin < 5
    assert process.returncode == 0 and out.split()[-1] == "SIGTERM", err
    assert "Traceback" not in err
    state = load_checkpoint(tmp_path)
    if not workers:  # which load ahead
        assert (state["epoch"], state["step"]) == (1, 8 if place == "validation" else 4)
    whole, resumed = setup(augment=MixUp(num_classes=2), accumulate_grad_batches=5), None
    whole.fit(3, callbacks=[EMAWeightAveraging(0.9)])
    resumed = setup(seed=8, augment=MixUp(num_classes=2), accumulate_grad_batches=5)
    resumed.fit(3, callbacks=[EMAWeightAveraging(0.9)], resume=tmp_path)
    assert resumed.bits() == whole.bits()


def test_handlers_are_those_of_before(setup):
    seen = []

    def mine(number, frame):
        seen.append(number)

    before = signal.signal(signal.SIGTERM, mine)
    try:
        setup().fit(1)
        assert signal.getsignal(signal.SIGTERM) is mine
        with pytest.raises(RuntimeError):
            setup().fit(1, callbacks=[LambdaCallback(on_batch_end=lambda *a: 1 / 0)])
        assert signal.getsignal(signal.SIGTERM) is mine
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGTERM, before)
    assert seen == []


def test_an_ignored_signal_stays_ignored():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with StopSignals() as signals:
            signal.raise_signal(signal.SIGINT)
        assert signals.received is None
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_thread_trains_without_handlers(setup):
    results = []
    thread = threading.Thread(target=lambda: results.append(len(setup().fit(1))))
    thread.start()
    thread.join(60)
    assert results == [1]


def test_a_training_after_an_interrupted_one_is_undisturbed(setup):
    one = setup()

    def interrupt(step, logs):
        if one.trainer.global_step == 3:
            signal.raise_signal(signal.SIGINT)

    one.fit(2, callbacks=[LambdaCallback(on_batch_end=interrupt)])
    assert one.trainer.interrupted == "SIGINT"
    assert one.trainer.evaluate(one.validation)["accuracy"] >= 0
    assert len(one.fit(1)) == 1
    assert one.trainer.interrupted is None
