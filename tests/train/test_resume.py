"""Resume: an interrupted and resumed training has the bits of an uninterrupted one; what does not fit changes
nothing.
"""

from __future__ import annotations

import copy

import numpy as np
import pytest

from pynet import nn, optim, random
from pynet.data import DataLoader
from pynet.data.augment import MixUp
from pynet.train import Callback, EarlyStopping, LambdaCallback, load_checkpoint
from pynet.train.checkpoint import PREVIOUS


class StopAt(Callback):
    def __init__(self, step):
        self.step = step

    def on_batch_end(self, step, logs):
        self.trainer.stop_training = self.trainer.global_step == self.step


def rows(history):
    return [{key: value for key, value in row.items() if key != "seconds"} for row in history]


@pytest.mark.parametrize("stop", [1, 7, 8, 9, 13, 16, 20])
@pytest.mark.parametrize("interval", ["epoch", "step"])
def test_the_bits_are_those_of_an_uninterrupted_training(setup, tmp_path, stop, interval):
    options = {"scheduler_interval": interval, "augment": MixUp(num_classes=2)}
    whole = setup(**options)
    expected = whole.fit(3)
    first = setup(**options)
    first.fit(3, callbacks=[StopAt(stop)], checkpoint=tmp_path)
    assert first.bits() != whole.bits()
    second = setup(seed=99, **options)
    history = second.fit(3, checkpoint=tmp_path, resume=True)
    assert second.bits() == whole.bits()
    assert rows(history) == rows(expected)
    assert random.get_rng_state() is not None
    for mine, theirs in zip(second.optimizer.state.values(), whole.optimizer.state.values(), strict=True):
        assert all(np.array_equal(np.asarray(mine[key]), np.asarray(theirs[key])) for key in theirs)


def test_loading_threads_change_nothing(setup, tmp_path):
    whole = setup()
    whole.fit(2)
    first = setup()
    first.fit(2, callbacks=[StopAt(5)], checkpoint=tmp_path)
    second = setup()
    second.train = DataLoader(second.train.dataset, 8, shuffle=True, num_workers=2)
    second.fit(2, resume=tmp_path)
    assert second.bits() == whole.bits()


def test_a_stop_in_a_validation_repeats_the_validation(setup, tmp_path, monkeypatch):
    whole = setup()
    whole.validation = DataLoader(whole.train.dataset, 16, shuffle=True)
    expected = whole.fit(2)
    first = setup()
    first.validation = DataLoader(first.train.dataset, 16, shuffle=True)

    def interrupt(step, logs):
        if step == 2:
            first.trainer.signals.received = "SIGINT"

    first.fit(2, callbacks=[LambdaCallback(on_test_batch_end=interrupt)], checkpoint=tmp_path)
    assert first.trainer.interrupted == "SIGINT"
    assert len(first.trainer.history) == 0
    second = setup(seed=5)
    second.validation = DataLoader(second.train.dataset, 16, shuffle=True)
    assert rows(second.fit(2, resume=tmp_path)) == rows(expected)
    assert second.bits() == whole.bits()


def test_a_plain_list_of_batches_is_skipped_forward(setup, tmp_path):
    batches = list(setup().train)
    whole = setup()
    whole.train = batches
    whole.fit(2)
    first = setup()
    first.train = batches
    first.fit(2, callbacks=[StopAt(11)], checkpoint=tmp_path)
    second = setup(seed=3)
    second.train = batches
    second.fit(2, resume=tmp_path)
    assert second.bits() == whole.bits()


def test_the_previous_checkpoint_gives_the_same_bits(setup, tmp_path):
    whole = setup()
    whole.fit(3)
    first = setup()
    first.fit(2, checkpoint=tmp_path)
    assert load_checkpoint(tmp_path / PREVIOUS)["epoch"] == 1
    second = setup(seed=4)
    second.fit(3, resume=tmp_path / PREVIOUS)
    assert second.bits() == whole.bits()


def test_a_finished_training_can_be_prolonged(setup, tmp_path):
    whole = setup()
    whole.fit(4)
    first = setup()
    first.fit(2, checkpoint=tmp_path)
    assert len(first.fit(2, resume=tmp_path)) == 2
    second = setup()
    assert len(second.fit(4, resume=tmp_path)) == 4
    assert second.bits() == whole.bits()


def test_early_stopping_goes_on_waiting(setup, tmp_path):
    def values(epoch, logs):
        logs["val_loss"] = [1.0, 0.5, 0.9, 0.8, 0.7, 0.6][epoch]

    def callbacks():
        return [LambdaCallback(on_epoch_end=values), EarlyStopping(patience=2, restore_best_weights=True)]

    whole = setup()
    assert len(whole.fit(6, callbacks=callbacks())) == 5
    first = setup()
    first.fit(3, callbacks=callbacks(), checkpoint=tmp_path / "c")
    second = setup()
    assert len(second.fit(6, callbacks=callbacks(), resume=tmp_path / "c")) == 5
    assert second.bits() == whole.bits()


def everything(one):
    return one.bits(), copy.deepcopy(one.optimizer.param_groups[0]["lr"]), one.train.state_dict()


def wider(one):
    one.model = nn.Sequential(*list(one.model.children())[:-1], nn.Linear(64, 3), nn.ReLU())
    one.trainer.model = one.model


def plain(one):
    one.optimizer = one.trainer.optimizer = optim.SGD(one.model.parameters(), lr=0.1)


def unscheduled(one):
    one.trainer.scheduler = None


def rebatched(one):
    one.train = DataLoader(one.train.dataset, 9, shuffle=True)


def listed(one):
    one.train = list(one.train)


def cosine(one):
    one.trainer.scheduler = optim.lr_scheduler.CosineAnnealingLR(one.optimizer, 10)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (wider, r"5.weight is \(2, 64\), in the model \(3, 64\); 5.bias is"),
        (plain, "the optimizer was Adam, here it is SGD"),
        (unscheduled, "there was a scheduler"),
        (rebatched, "this loader has 60 in batches of 9"),
        (listed, "the training loader was of another kind"),
        (cosine, "saved by another schedule"),
    ],
)
def test_a_state_that_does_not_fit_changes_nothing(setup, tmp_path, change, match):
    setup().fit(2, checkpoint=tmp_path)
    other = setup(seed=7)
    change(other)
    before = everything(other) if change is not listed else None
    with pytest.raises(ValueError, match=match):
        other.fit(3, resume=tmp_path)
    if before is not None:
        assert everything(other) == before


def test_other_metrics_are_refused_in_the_middle_of_an_epoch_only(setup, tmp_path):
    setup().fit(2, callbacks=[StopAt(3)], checkpoint=tmp_path / "middle")
    with pytest.raises(ValueError, match=r"in mid-epoch the figures must be \['accuracy', 'loss'\]"):
        setup(metrics=("top_1",)).fit(2, resume=tmp_path / "middle")
    setup().fit(1, checkpoint=tmp_path / "end")
    history = setup(metrics=("top_1",)).fit(2, resume=tmp_path / "end")
    assert history.columns[-2:] == ["top_1", "val_top_1"]


def test_a_truncated_checkpoint_changes_nothing_and_the_previous_one_works(setup, tmp_path):
    setup().fit(3, checkpoint=tmp_path)
    last = tmp_path / "last.safetensors"
    last.write_bytes(last.read_bytes()[:-100])
    other = setup(seed=1)
    before = everything(other)
    with pytest.raises(
        ValueError, match=r"last.safetensors is not a safetensors file.*resume from .*previous"
    ):
        other.fit(3, resume=tmp_path)
    assert everything(other) == before
    assert len(other.fit(3, checkpoint=tmp_path, resume=tmp_path / PREVIOUS)) == 3
    assert load_checkpoint(tmp_path)["epoch"] == 3
