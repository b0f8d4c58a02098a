"""Callbacks: when they are called, how their errors are reported, and what the built-in ones do."""

from __future__ import annotations

import csv
import datetime
import errno
import os
import sys

import numpy as np
import pytest

from pynet.autograd import Tensor
from pynet.io.atomic import write_atomically
from pynet.train import (
    Callback,
    CSVLogger,
    EarlyStopping,
    LambdaCallback,
    ModelCheckpoint,
    ProgressBar,
    TerminateOnNaN,
    TimeLimit,
    load_checkpoint,
)
from pynet.train.callback import EVENTS
from pynet.train.history import gap


class Recorder(Callback):
    def __init__(self):
        self.events = []
        for event in EVENTS:
            if event not in ("on_batch_begin", "on_batch_end"):
                setattr(self, event, lambda *arguments, event=event: self.events.append((event, *arguments)))


def test_the_order_of_moments(setup):
    recorder = Recorder()
    setup(batch_size=30, scheduler=None).fit(1, callbacks=[recorder])
    names = [event[0] for event in recorder.events]
    update = ["on_before_optimizer_step", "on_after_optimizer_step"]
    step = ["on_train_batch_begin", "on_loss", *update, "on_train_batch_end"]
    validation = ["on_test_begin", *["on_test_batch_begin", "on_test_batch_end"] * 4, "on_test_end"]
    assert names == [
        "on_train_begin", "on_epoch_begin", *step, *step, *validation, "on_epoch_end", "on_train_end"
    ]  # fmt: skip
    by_name = {event[0]: event for event in recorder.events}
    assert by_name["on_train_batch_end"][1] == 1
    assert set(by_name["on_train_batch_end"][2]) == {"loss", "accuracy"}
    assert {"loss", "val_accuracy", "lr", "seconds"} <= set(by_name["on_epoch_end"][2])


def test_evaluate_and_predict_call_the_trainers_own(setup):
    recorder = Recorder()
    one = setup(callbacks=[recorder])
    one.trainer.evaluate(one.validation)
    one.trainer.predict(np.zeros((3, 1, 4, 4), np.float32))
    assert [event[0] for event in recorder.events][-4:] == [
        "on_predict_begin", "on_predict_batch_begin", "on_predict_batch_end", "on_predict_end"
    ]  # fmt: skip


def test_keras_names_of_batches_both_work(setup):
    calls = []
    callback = LambdaCallback(
        on_batch_end=lambda step, logs: calls.append("batch"),
    )
    other = LambdaCallback(on_train_batch_begin=lambda step, logs: calls.append("train_batch"))
    setup(batch_size=30).fit(1, callbacks=[callback, other])
    assert calls == ["train_batch", "batch"] * 2


@pytest.mark.parametrize(
    ("event", "place"),
    [
        ("on_train_begin", "epoch 1, step 0"),
        ("on_batch_end", "epoch 1, step 1"),
        ("on_epoch_end", "epoch 1, step 8"),
        ("on_test_batch_begin", "epoch 1, step 1"),
    ],
)
def test_an_error_names_callback_moment_and_place(setup, event, place):
    def fail(*arguments):
        raise KeyError("oops")

    named = event.replace("on_batch", "on_train_batch")
    with pytest.raises(
        RuntimeError, match=f"LambdaCallback failed in {named} at {place}: KeyError: 'oops'"
    ) as caught:
        setup().fit(2, callbacks=[LambdaCallback(**{event: fail})])
    assert isinstance(caught.value.__cause__, KeyError)


def test_callbacks_are_closed_after_an_error(setup):
    class Closing(Callback):
        closed = 0

        def close(self):
            self.closed += 1

    closing = Closing()
    with pytest.raises(RuntimeError):
        setup().fit(1, callbacks=[closing, LambdaCallback(on_epoch_end=lambda *a: 1 / 0)])
    assert closing.closed == 1


def test_what_is_no_callback_is_refused(setup):
    with pytest.raises(TypeError, match=r"is no pynet.train.Callback"):
        setup().fit(1, callbacks=[print])
    with pytest.raises(TypeError, match="no moment 'on_epoch'"):
        LambdaCallback(on_epoch=print)
    with pytest.raises(TypeError, match="on_epoch_end must be a function, not int"):
        LambdaCallback(on_epoch_end=3)


def test_stop_training_ends_after_the_step(setup, capsys):
    class Stop(Callback):
        def on_batch_end(self, step, logs):
            self.trainer.stop_training = self.trainer.global_step == 11

    one = setup()
    history = one.fit(5, callbacks=[Stop()])
    assert len(history) == 1
    assert one.trainer.step == 3
    assert "training stopped after epoch 2, step 3: a callback asked for it" in capsys.readouterr().err


def test_an_evaluation_in_a_callback_disturbs_nothing(setup, tmp_path):
    plain = setup()
    plain.fit(2)
    one, figures = setup(), []

    def look(epoch, logs):
        figures.append(one.trainer.evaluate(one.validation)["loss"])
        one.trainer.predict(np.zeros((2, 1, 4, 4), np.float32))

    history = one.fit(2, callbacks=[LambdaCallback(on_epoch_end=look)], checkpoint=tmp_path)
    assert figures == history["val_loss"]
    assert one.bits() == plain.bits()
    assert load_checkpoint(tmp_path)["epoch"] == 2


class Figures(Callback):
    """Puts given values into the logs."""

    def __init__(self, values):
        self.values = values

    def on_epoch_end(self, epoch, logs):
        logs["val_loss"] = self.values[epoch]


def test_early_stopping_waits_and_restores(setup, capsys):
    one = setup()
    seen = []
    remember = LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(one.bits()))
    values = Figures([1.0, 0.5, 0.495, 0.6, 0.7, 0.1])
    stopping = EarlyStopping(patience=1, min_delta=0.01, restore_best_weights=True)
    history = one.fit(6, callbacks=[values, remember, stopping])
    assert len(history) == 4
    assert one.bits() == seen[1]
    assert "val_loss has not improved on 0.5 for 2 epochs" in capsys.readouterr().err
    # The next training begins anew.
    assert len(one.fit(2, callbacks=[Figures([3.0, 2.0]), stopping])) == 2


def test_early_stopping_takes_the_direction_from_the_name(setup):
    for mode, epochs in ((None, 1), ("min", 3)):
        rising = LambdaCallback(on_epoch_end=lambda epoch, logs: logs.update(val_accuracy=-epoch))
        assert len(setup().fit(3, callbacks=[rising, EarlyStopping("val_accuracy", mode=mode)])) == epochs + (
            mode is None
        )


class Both(Callback):
    """Puts given accuracies of training and validation into the logs."""

    def __init__(self, training, validation):
        self.training, self.validation = training, validation

    def on_epoch_end(self, epoch, logs):
        logs.update(accuracy=self.training[epoch], val_accuracy=self.validation[epoch])


def test_early_stopping_on_the_gap(setup, capsys):
    # From epoch 4 on the validation still improves, but the gap is above 0.1.
    figures = Both([0.5, 0.6, 0.7, 0.85, 0.9, 0.95], [0.55, 0.6, 0.65, 0.7, 0.72, 0.8])
    one = setup()
    seen = []
    remember = LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(one.bits()))
    stopping = EarlyStopping("val_accuracy", patience=1, max_gap=0.1, restore_best_weights=True)
    assert len(one.fit(6, callbacks=[figures, remember, stopping])) == 5
    assert one.bits() == seen[2]
    text = "the gap of accuracy between training and validation is 0.18, above 0.1"
    assert text in capsys.readouterr().err
    assert len(setup().fit(6, callbacks=[figures, EarlyStopping("val_accuracy", patience=1)])) == 6


def test_the_gap_is_how_much_worse_the_validation_is():
    logs = {"loss": 1.0, "val_loss": 1.5, "accuracy": 0.9, "val_accuracy": 0.7}
    assert gap(logs, "loss") == pytest.approx(0.5)
    assert gap(logs, "accuracy") == pytest.approx(0.2)
    assert gap(logs, "accuracy", "min") == pytest.approx(-0.2)
    with pytest.raises(ValueError, match="monitor 'val_accuracy', not 'accuracy'"):
        EarlyStopping("accuracy", max_gap=0.1)
    with pytest.raises(ValueError, match="max_gap must be a number or None, not nan"):
        EarlyStopping(max_gap=float("nan"))


def test_a_time_limit_stops_and_saves(setup, tmp_path, capsys):
    clock = [100.0]
    one = setup()
    slow = LambdaCallback(on_batch_begin=lambda step, logs: clock.__setitem__(0, clock[0] + 2))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pynet.train.callbacks.time_limit.time.monotonic", lambda: clock[0])
        one.fit(4, callbacks=[slow, TimeLimit(datetime.timedelta(seconds=21))], checkpoint=tmp_path)
    assert one.trainer.global_step == 11
    assert load_checkpoint(tmp_path)["step"] == 3
    message = "training stopped after epoch 2, step 3: the time limit of 21 s is over; the checkpoint is in"
    assert message in capsys.readouterr().err
    for wrong in (0, -1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="TimeLimit: duration must be above 0 seconds"):
            TimeLimit(wrong)


def test_a_figure_that_does_not_exist_is_refused(setup):
    with pytest.raises(
        RuntimeError, match="EarlyStopping watches 'val_auc', which is not among loss, accuracy"
    ):
        setup().fit(1, callbacks=[EarlyStopping("val_auc")])
    with pytest.raises(ValueError, match="mode must be 'min', 'max' or None"):
        EarlyStopping(mode="best")
    with pytest.raises(ValueError, match="patience must be an integer of at least 0"):
        EarlyStopping(patience=-1)
    with pytest.raises(ValueError, match="min_delta must not be negative"):
        EarlyStopping(min_delta=-1)


class Diverging:
    """A loss that is NaN from the step `at` on."""

    def __init__(self, loss, at):
        self.loss, self.at, self.calls = loss, at, 0

    def __call__(self, outputs, targets):
        self.calls += 1
        value = self.loss(outputs, targets)
        return value * Tensor(np.array(np.nan, np.float32)) if self.calls >= self.at else value


def test_a_nan_stops_before_the_weights_are_touched(setup, tmp_path, capsys):
    one = setup()
    one.trainer.loss = Diverging(one.trainer.loss, 8 + 4 + 5)  # an epoch, its validation, and five steps
    one.fit(4, callbacks=[TerminateOnNaN()], checkpoint=tmp_path)
    assert one.trainer.diverged
    assert one.trainer.step == 4
    assert len(one.trainer.history) == 1
    assert all(np.isfinite(value.array).all() for value in one.model.state_dict().values())
    assert "the loss is nan at epoch 2, step 5; try a lower learning rate" in capsys.readouterr().err
    assert load_checkpoint(tmp_path)["epoch"] == 1


def test_without_it_the_last_good_checkpoint_stays_as_well(setup, tmp_path, capsys):
    one = setup()
    one.trainer.loss = Diverging(one.trainer.loss, 8 + 4 + 5)
    one.fit(3, checkpoint=tmp_path)
    assert len(one.trainer.history) == 3
    assert load_checkpoint(tmp_path)["epoch"] == 1
    assert "epoch 2: the loss is nan; the last good checkpoint stays" in capsys.readouterr().err


def test_model_checkpoint_saves_every_so_often_and_at_the_end(setup, tmp_path):
    saved = []
    checkpoint = ModelCheckpoint(tmp_path, every=2)
    look = LambdaCallback(
        on_epoch_begin=lambda epoch, logs: saved.append(
            (tmp_path / "last.safetensors").exists() and load_checkpoint(tmp_path)["epoch"]
        )
    )
    setup().fit(5, callbacks=[checkpoint, look])
    assert saved == [False, False, 2, 2, 4]
    assert load_checkpoint(tmp_path)["epoch"] == 5


def test_model_checkpoint_keeps_the_best_weights(setup, tmp_path):
    one = setup()
    seen = []
    remember = LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(one.bits()))
    one.fit(3, callbacks=[Figures([0.7, 0.2, 0.3]), remember, ModelCheckpoint(tmp_path, best="val_loss")])
    from pynet.io.safetensors import read_file

    best = read_file(tmp_path / "best.safetensors")
    assert best.metadata == {"epoch": 2, "figure": "val_loss", "value": 0.2}
    one.model.load_state_dict(best.tensors)
    assert one.bits() == seen[1]


def test_model_checkpoint_refuses_before_training(setup, tmp_path):
    (tmp_path / "file").write_text("")
    one = setup()
    before = one.bits()
    with pytest.raises(OSError, match="cannot be written"):
        one.fit(1, checkpoint=tmp_path / "file" / "folder")
    assert one.bits() == before
    for name, value in (("every", 0), ("every_steps", 0), ("keep", -1), ("every_steps", 1.5)):
        with pytest.raises(ValueError, match=rf"{name} must be an integer of at least \d, not {value}"):
            ModelCheckpoint(tmp_path, **{name: value})
    with pytest.raises(ValueError, match="every_seconds must not be negative, not -1"):
        ModelCheckpoint(tmp_path, every_seconds=-1)


def test_model_checkpoint_saves_in_the_middle_of_an_epoch(setup, tmp_path):
    places = []

    def look(step, logs):
        state = load_checkpoint(tmp_path) if (tmp_path / "last.safetensors").exists() else None
        places.append(state and (state["epoch"], state["step"]))

    setup().fit(2, callbacks=[ModelCheckpoint(tmp_path, every_steps=3), LambdaCallback(on_batch_begin=look)])
    assert places[:8] == [None, None, None, (0, 3), (0, 3), (0, 3), (0, 6), (0, 6)]
    assert places[8:] == [(1, 0), (1, 1), (1, 1), (1, 1), (1, 4), (1, 4), (1, 4), (1, 7)]


def test_model_checkpoint_saves_every_so_many_seconds(setup, tmp_path, monkeypatch):
    clock, saved = [0.0], []
    monkeypatch.setattr("pynet.train.callbacks.model_checkpoint.time.monotonic", lambda: clock[0])
    checkpoint = ModelCheckpoint(tmp_path, every_seconds=5)
    monkeypatch.setattr(checkpoint, "save", lambda save=checkpoint.save: saved.append(clock[0]) or save())
    tick = LambdaCallback(on_batch_begin=lambda step, logs: clock.__setitem__(0, clock[0] + 2))
    setup().fit(1, callbacks=[checkpoint, tick])
    assert saved == [6, 12, 16]


def test_model_checkpoint_keeps_the_newest(setup, tmp_path):
    setup().fit(2, callbacks=[ModelCheckpoint(tmp_path, every_steps=2, keep=3)])
    assert sorted(os.listdir(tmp_path)) == [
        "last.safetensors", "previous.safetensors",
        "step-00000012.safetensors", "step-00000014.safetensors", "step-00000016.safetensors",
    ]  # fmt: skip
    whole = setup()
    whole.fit(2)
    second = setup(seed=3)
    second.fit(2, resume=tmp_path / "step-00000012.safetensors")
    assert second.bits() == whole.bits()
    # A training that goes on from further back writes smaller numbers: those are the newest then.
    third = setup(seed=3)
    third.fit(
        2,
        callbacks=[ModelCheckpoint(tmp_path, every_steps=1, keep=2), *stop_at(third, 14)],
        resume=tmp_path / "step-00000012.safetensors",
    )
    assert [name for name in sorted(os.listdir(tmp_path)) if name.startswith("step")] == [
        "step-00000013.safetensors",
        "step-00000014.safetensors",
    ]


def stop_at(one, step):
    def look(*_):
        one.trainer.stop_training = one.trainer.global_step == step

    return [LambdaCallback(on_batch_end=look)]


def test_csv_logger(setup, tmp_path):
    history = setup().fit(3, callbacks=[CSVLogger(tmp_path / "log.csv")])
    with open(tmp_path / "log.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [float(row["val_loss"]) for row in rows] == history["val_loss"]
    assert os.listdir(tmp_path) == ["log.csv"]


def test_csv_logger_goes_on_when_the_disk_is_full(setup, tmp_path, monkeypatch, capsys):
    from pynet.train.callbacks import csv_logger

    def full(path, data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def fill(epoch, logs):
        monkeypatch.setattr(csv_logger, "write_atomically", full if epoch == 1 else write_atomically)

    history = setup().fit(3, callbacks=[LambdaCallback(on_epoch_begin=fill), CSVLogger(tmp_path / "log.csv")])
    assert len(history) == 3
    text = capsys.readouterr().err
    assert text.count("log.csv was not written (No space left on device); the training goes on") == 1
    assert (tmp_path / "log.csv").read_text() == history.to_csv()
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="cannot be written"):
        setup().fit(1, callbacks=[CSVLogger(tmp_path / "file" / "log.csv")])


def test_progress_is_a_line_an_epoch_where_there_is_no_terminal(setup, capsys):
    one = setup()
    one.trainer.fit(one.train, one.validation, 12)
    captured = capsys.readouterr()
    lines = captured.err.splitlines()
    assert captured.out == ""
    assert len(lines) == 12
    assert lines[0].startswith("epoch  1/12  ")
    for figure in ("loss 0.", "accuracy ", " %", "val_loss 0.", "val_accuracy "):
        assert figure in lines[11]


def test_progress_is_a_bar_an_epoch_on_a_terminal(setup, capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    one = setup()
    one.trainer.fit(one.train, one.validation, 2)
    text = capsys.readouterr().err
    last = text.rstrip("\n").split("\n")[-1].split("\r")[-1]
    assert text.count("\n") == 2
    assert "epoch 2/2: 100%" in last
    assert "8/8" in last
    assert "val_accuracy" in last


def test_a_progress_bar_of_the_users_own_replaces_the_default(setup, capsys):
    one = setup()
    one.trainer.fit(one.train, callbacks=[ProgressBar()])
    assert len(capsys.readouterr().err.splitlines()) == 1
