"""EMA and SWA in a training: what is averaged and validated, what the training ends with, what is resumed."""

from __future__ import annotations

import numpy as np
import pytest

from pynet.data import DataLoader
from pynet.data.augment import MixUp
from pynet.optim.swa_utils import AveragedModel, update_bn
from pynet.train import (
    Callback,
    EarlyStopping,
    EMAWeightAveraging,
    LambdaCallback,
    ModelCheckpoint,
    StochasticWeightAveraging,
    Trainer,
    load_checkpoint,
)


class Weights(Callback):
    """Remembers the model's weights after each optimizer step and at each epoch's end."""

    def __init__(self):
        self.steps, self.epochs = [], []

    def on_after_optimizer_step(self, step, logs):
        self.steps.append(arrays(self.trainer.model))

    def on_epoch_end(self, epoch, logs):
        self.epochs.append(arrays(self.trainer.model))


class StopAt(Callback):
    def __init__(self, step):
        self.step = step

    def on_batch_end(self, step, logs):
        self.trainer.stop_training = self.trainer.global_step == self.step


def arrays(module):
    return {key: value.array.copy() for key, value in module.state_dict().items()}


def same(left, right, **tolerance):
    tolerance = {"rtol": 0, "atol": 1e-6, **tolerance}
    return all(np.allclose(left[key], right[key], **tolerance) for key in left)


PARAMETERS = ("0.weight", "0.bias", "1.weight", "1.bias", "5.weight", "5.bias")


def test_ema_is_the_recursion_over_the_optimizer_steps(setup):
    weights, ema = Weights(), EMAWeightAveraging(0.9, update_every_n_steps=2, update_starting_at_step=3)
    one = setup(accumulate_grad_batches=2)
    one.fit(3, callbacks=[weights, ema])
    expected = None
    for number, now in enumerate(weights.steps, 1):
        if number >= 3 and (number - 3) % 2 == 0:
            keys = PARAMETERS
            expected = expected or {key: now[key].astype(np.float64) for key in keys}
            expected = {key: 0.9 * expected[key] + 0.1 * now[key] for key in keys}
    assert len(weights.steps) == 12
    assert int(ema.average.n_averaged.array) == 5
    assert same(expected, arrays(ema.average.module))
    assert arrays(one.model).keys() == arrays(ema.average.module).keys()
    assert all(np.array_equal(arrays(one.model)[key], arrays(ema.average.module)[key]) for key in PARAMETERS)


def test_validation_measures_the_average_and_training_goes_on_without_it(setup):
    plain = setup()
    plain.fit(3)
    ema, weights, figures = EMAWeightAveraging(0.95), Weights(), []
    one = setup()

    def evaluate(epoch, logs):
        other = Trainer(ema.average.module, one.trainer.loss, None, metrics=("accuracy",))
        figures.append(other.evaluate(one.validation)["loss"])

    history = one.fit(3, callbacks=[ema, weights, LambdaCallback(on_epoch_end=evaluate)])
    assert history["val_loss"] == figures
    assert history["val_loss"] != plain.trainer.history["val_loss"]
    assert history["loss"] == plain.trainer.history["loss"]
    assert {key: value.tobytes() for key, value in weights.epochs[-1].items()} == plain.bits()
    assert one.bits() != plain.bits()
    assert one.trainer.evaluate(one.validation)["loss"] == figures[-1]


def test_until_it_begins_the_model_is_validated(setup):
    plain = setup()
    expected = plain.fit(2)
    one = setup()
    history = one.fit(2, callbacks=[EMAWeightAveraging(update_starting_at_step=10**6)])
    assert history["val_loss"] == expected["val_loss"]
    assert one.bits() == plain.bits()


def test_swa_is_the_mean_over_epochs_with_statistics_of_its_own(setup):
    plain = setup()
    plain.fit(4)
    weights, swa = Weights(), StochasticWeightAveraging(swa_epoch_start=2)
    one = setup()
    history = one.fit(4, callbacks=[swa, weights])
    # What it measures leaves no trace in the training.
    assert {key: value.tobytes() for key, value in weights.epochs[-1].items()} == plain.bits()
    assert int(swa.average.n_averaged.array) == 2
    ours = arrays(one.model)
    for key in PARAMETERS:
        assert np.allclose(ours[key], (weights.epochs[2][key] + weights.epochs[3][key]) / 2, atol=1e-6)
    assert not np.allclose(ours["1.running_mean"], weights.epochs[3]["1.running_mean"], atol=1e-5)
    # All batches but the last have equal weight in a pass, whatever the order.
    fresh = AveragedModel(one.model)
    update_bn(DataLoader(one.train.dataset, 60), fresh)
    assert np.allclose(ours["1.running_mean"], fresh.module[1].running_mean.array, atol=0.1)
    assert history["val_loss"][:2] == plain.trainer.history["val_loss"][:2]
    assert history["val_loss"][2:] != plain.trainer.history["val_loss"][2:]
    assert one.trainer.evaluate(one.validation)["loss"] == history["val_loss"][-1]


def test_swa_without_a_validation(setup):
    with_one = setup()
    with_one.fit(3, callbacks=[StochasticWeightAveraging(swa_epoch_start=0.5)])
    without = setup()
    without.trainer.fit(
        without.train, epochs=3, callbacks=[StochasticWeightAveraging(swa_epoch_start=0.5)], progress=False
    )
    ours, theirs = arrays(without.model), arrays(with_one.model)
    assert all(np.array_equal(ours[key], theirs[key]) for key in PARAMETERS)


def test_swa_takes_the_learning_rate_over(setup):
    rates = []
    one = setup(scheduler_interval="step")
    see = LambdaCallback(on_epoch_begin=lambda epoch, logs: rates.append(one.optimizer.param_groups[0]["lr"]))
    swa = StochasticWeightAveraging(
        swa_lrs=0.05, swa_epoch_start=2, annealing_epochs=2, annealing_strategy="linear"
    )
    one.fit(6, callbacks=[swa, see])
    first = 0.01 * 0.8**16
    assert rates == pytest.approx([0.01, 0.01 * 0.8**8, first, (first + 0.05) / 2, 0.05, 0.05])


def averagings():
    return {
        "ema": lambda: EMAWeightAveraging(0.9),
        "ema_copied_buffers": lambda: EMAWeightAveraging(0.9, 3, 2, use_buffers=False),
        "swa": lambda: StochasticWeightAveraging(0.02, swa_epoch_start=1, annealing_epochs=2),
    }


@pytest.mark.parametrize("name", averagings())
@pytest.mark.parametrize("stop", [5, 8, 16, 21])
def test_a_resumed_average_has_the_same_bits(setup, tmp_path, name, stop):
    make = averagings()[name]
    options = {"augment": MixUp(num_classes=2), "scheduler_interval": "step"}
    whole, average = setup(**options), make()
    expected = whole.fit(4, callbacks=[average])
    first = setup(**options)
    first.fit(4, callbacks=[StopAt(stop), make()], checkpoint=tmp_path)
    second, again = setup(seed=4, **options), make()
    history = second.fit(4, callbacks=[again], resume=tmp_path)
    assert second.bits() == whole.bits()
    assert history["val_loss"] == expected["val_loss"] and history["lr"] == expected["lr"]
    mine, theirs = arrays(again.average), arrays(average.average)
    assert all(np.array_equal(mine[key], theirs[key]) for key in theirs)


def test_a_validation_cut_short_is_repeated_with_the_same_average(setup, tmp_path):
    def make():
        return StochasticWeightAveraging(swa_epoch_start=1)

    whole = setup()
    expected = whole.fit(3, callbacks=[make()])
    first = setup()

    def interrupt(step, logs):
        if first.trainer.epoch == 2 and step == 1:
            first.trainer.signals.received = "SIGTERM"

    stopping = LambdaCallback(on_test_batch_end=interrupt)
    first.fit(3, callbacks=[make(), stopping], checkpoint=tmp_path)
    assert first.trainer.interrupted == "SIGTERM" and len(first.trainer.history) == 2
    assert load_checkpoint(tmp_path)["trained"]
    second = setup(seed=2)
    assert second.fit(3, callbacks=[make()], resume=tmp_path)["val_loss"] == expected["val_loss"]
    assert second.bits() == whole.bits()


def test_the_best_weights_are_those_that_were_validated(setup, tmp_path):
    one = setup()
    seen, ema = [], EMAWeightAveraging(0.8)
    look = LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(arrays(ema.average.module)))
    values = LambdaCallback(on_epoch_end=lambda epoch, logs: logs.update(val_loss=[3.0, 1.0, 2.0][epoch]))
    best = ModelCheckpoint(tmp_path, best="val_loss")
    stopping = EarlyStopping(patience=9, restore_best_weights=True)
    one.fit(3, callbacks=[best, values, stopping, ema, look])
    from pynet.io.safetensors import load_file

    stored = load_file(tmp_path / "best.safetensors")
    assert all(np.array_equal(stored[key], seen[1][key]) for key in stored)
    assert all(np.array_equal(arrays(one.model)[key], seen[1][key]) for key in seen[1])


def test_the_checkpoint_of_a_finished_training_holds_the_weights_that_were_trained(setup, tmp_path):
    whole = setup()
    whole.fit(5, callbacks=[EMAWeightAveraging(0.9)])
    first = setup()
    first.fit(3, callbacks=[EMAWeightAveraging(0.9), ModelCheckpoint(tmp_path, every=2)])
    second = setup(seed=6)
    second.fit(5, callbacks=[EMAWeightAveraging(0.9)], resume=tmp_path)
    assert second.bits() == whole.bits()


def test_early_stopping_between_two_savings_saves_what_was_trained(setup, tmp_path):
    def values(epoch, logs):
        logs["val_loss"] = [1.0, 2.0, 3.0, 0.5, 0.4][epoch]

    def callbacks(patience):
        stopping = EarlyStopping(patience=patience, restore_best_weights=True)
        return [LambdaCallback(on_epoch_end=values), stopping, ModelCheckpoint(tmp_path, every=2)]

    whole = setup()
    whole.fit(5, callbacks=callbacks(9))
    first = setup()
    assert len(first.fit(5, callbacks=callbacks(1))) == 3
    second = setup(seed=6)
    second.fit(5, callbacks=callbacks(9), resume=tmp_path)
    assert second.bits() == whole.bits()


def test_a_second_training_begins_a_new_average(setup):
    ema = EMAWeightAveraging(0.9)
    one = setup()
    one.fit(1, callbacks=[ema])
    one.fit(1, callbacks=[ema])
    assert int(ema.average.n_averaged.array) == 8
    swa = StochasticWeightAveraging(0.01, swa_epoch_start=0)
    one.fit(2, callbacks=[swa])
    one.fit(2, callbacks=[swa])
    assert int(swa.average.n_averaged.array) == 2


def test_arguments_out_of_range_are_refused():
    for arguments in ({"decay": 1.5}, {"update_every_n_steps": 0}, {"update_starting_at_step": -1}):
        with pytest.raises(ValueError, match=next(iter(arguments)).removeprefix("update_")):
            EMAWeightAveraging(**arguments)
    for arguments in ({"swa_epoch_start": 1.5}, {"annealing_strategy": "step"}, {"swa_lrs": -1.0}):
        with pytest.raises(ValueError, match=next(iter(arguments))):
            StochasticWeightAveraging(**arguments)
