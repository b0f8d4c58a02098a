"""The Trainer: figures that are exact, modes that are restored, and clear errors."""

from __future__ import annotations

import numpy as np
import pytest
from small_training import two_classes

from pynet import nn, optim
from pynet.data import ArrayDataset, DataLoader
from pynet.train import Accuracy, Trainer


def test_it_learns(setup):
    one = setup()
    history = one.fit(12)
    assert len(history) == 12
    assert history.columns == ["epoch", "loss", "accuracy", "val_loss", "val_accuracy", "lr", "seconds"]
    assert history["loss"][-1] < history["loss"][0]
    assert history["val_accuracy"][-1] > 0.9
    assert history["epoch"] == list(range(1, 13))
    assert history is one.trainer.history


def test_the_learning_rate_of_each_epoch_is_recorded(setup):
    assert setup().fit(3)["lr"] == pytest.approx([0.01, 0.008, 0.0064])


def test_a_scheduler_may_step_with_each_batch(setup):
    one = setup(scheduler_interval="step")
    one.fit(1)
    assert one.optimizer.param_groups[0]["lr"] == pytest.approx(0.01 * 0.8 ** len(one.train))
    with pytest.raises(ValueError, match="must be 'epoch' or 'step', not 'batch'"):
        setup(scheduler_interval="batch")


@pytest.mark.parametrize("batch_size", [1, 7, 60, 100])
def test_evaluation_does_not_depend_on_the_batches(setup, batch_size):
    one = setup()
    one.fit(1)
    images, labels = two_classes()
    figures = one.trainer.evaluate(DataLoader(ArrayDataset(images, labels), batch_size))
    scores = one.trainer.predict(images).astype(np.float64)
    shifted = scores - scores.max(axis=1, keepdims=True)
    logs = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    assert figures["loss"] == pytest.approx(-logs[np.arange(60), labels].mean(), rel=1e-5)
    assert figures["accuracy"] == (scores.argmax(axis=1) == labels).mean()


def test_predict_takes_arrays_tensors_and_loaders(setup):
    one = setup()
    images, labels = two_classes()
    expected = one.trainer.predict(images)
    assert expected.shape == (60, 2)
    from pynet.autograd import Tensor

    for data in (
        Tensor(images),
        DataLoader(ArrayDataset(images, labels), 16),
        DataLoader(ArrayDataset(images), 16),
    ):
        assert np.array_equal(one.trainer.predict(data), expected)
    assert np.allclose(one.trainer.predict(images, batch_size=7), expected, atol=1e-6)
    assert np.array_equal(one.trainer.predict([(images, labels)]), expected)
    assert one.trainer.predict(images[:0]).shape == (0, 2)
    with pytest.raises(ValueError, match="batch_size must be at least 1, not 0"):
        one.trainer.predict(images, batch_size=0)


def test_a_three_channel_image_given_to_a_one_channel_network(setup):
    with pytest.raises(ValueError, match="3 channels"):
        setup().trainer.predict(np.zeros((2, 3, 4, 4), np.float32))


def test_labels_out_of_range_are_refused(setup):
    one = setup()
    images, _ = two_classes()
    with pytest.raises(IndexError, match="7"):
        one.trainer.fit([(images, np.full(60, 7))], progress=False)


def test_modes_are_restored_module_by_module(setup):
    one = setup()
    one.model[1].eval()
    seen = []
    one.model[4].register_forward_hook(lambda module, inputs, output: seen.append(module.training))
    one.fit(1)
    assert seen == [True] * 8 + [False] * 4
    assert [module.training for module in one.model.children()] == [True, False, True, True, True, True]
    with pytest.raises(ZeroDivisionError):
        one.trainer.evaluate(1 / 0 for _ in range(1))
    assert one.model.training


def test_evaluation_changes_neither_weights_nor_random_numbers(setup):
    from pynet import random

    one = setup()
    before, state = one.bits(), random.get_rng_state()
    one.trainer.evaluate(one.validation)
    one.trainer.predict(two_classes()[0])
    assert one.bits() == before
    assert np.array_equal(random.get_rng_state(), state)


@pytest.mark.parametrize(
    ("train", "validation", "match"),
    [
        (
            DataLoader(ArrayDataset(np.zeros((0, 1, 4, 4), np.float32), np.zeros(0, np.int64))),
            None,
            "fit: the training",
        ),
        ([], None, "fit: the training loader is empty"),
        (iter(()), None, "fit: the training loader is empty"),
        ([(two_classes(8))], [], "fit: the validation loader is empty"),
        ([(two_classes(8))], iter(()), "evaluate: the evaluation loader is empty"),
        (
            DataLoader(ArrayDataset(*two_classes(8)), 16, drop_last=True),
            None,
            "no samples, or drop_last and fewer than one batch",
        ),
    ],
)
def test_an_empty_loader_is_refused(setup, train, validation, match):
    one = setup(scheduler=None)
    with pytest.raises(ValueError, match=match):
        one.trainer.fit(train, validation, progress=False)


def test_an_empty_loader_is_refused_in_evaluate_and_predict(setup):
    one = setup()
    with pytest.raises(ValueError, match="the evaluation loader is empty"):
        one.trainer.evaluate([])
    with pytest.raises(ValueError, match="predict: the loader is empty"):
        one.trainer.predict([])


def test_arguments_are_checked(setup):
    one = setup()
    with pytest.raises(ValueError, match="epochs must be an integer of at least 0, not -1"):
        one.fit(-1)
    with pytest.raises(ValueError, match="no metric is called 'nonsense'"):
        setup(metrics=["nonsense"])
    with pytest.raises(ValueError, match="without a loss or an optimizer"):
        Trainer(one.model, None, None).fit([two_classes()])
    with pytest.raises(ValueError, match=r"a batch must be a tuple \(inputs..., targets\), not ndarray"):
        one.trainer.fit([two_classes()[0]], progress=False)
    with pytest.raises(ValueError, match="resume=True continues from the folder"):
        one.fit(1, resume=True)


def test_a_loss_that_is_no_number_is_refused(setup):
    one = setup()
    one.trainer.loss = nn.CrossEntropyLoss(reduction="none")
    with pytest.raises(ValueError, match=r"must be one number, not of shape \(8,\); use reduction='mean'"):
        one.fit(1)


def test_zero_epochs_do_nothing(setup):
    one = setup()
    before = one.bits()
    assert len(one.fit(0)) == 0
    assert one.bits() == before


def test_a_metric_object_is_not_touched(setup):
    metric = Accuracy()
    metric.update(np.eye(2), np.array([0, 1]))
    setup(metrics=[metric]).fit(1)
    assert (metric.total, metric.count) == (2, 2)


def test_several_inputs():
    class Sum(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(3, 2)

        def forward(self, a, b):
            return self.linear(a + b)

    model = Sum()
    trainer = Trainer(model, nn.CrossEntropyLoss(), optim.SGD(model.parameters(), lr=0.1))
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 8, 3)).astype(np.float32)
    labels = np.arange(8) % 2
    assert len(trainer.fit([(a, b, labels)], progress=False)) == 1
    assert trainer.predict([(a, b, labels)]).shape == (8, 2)


def test_augmentation_sees_training_batches_only(setup):
    seen = []

    def augment(images, labels):
        seen.append(len(images))
        return images, labels

    setup(augment=augment).fit(1)
    assert seen == [8] * 7 + [4]


def test_an_error_in_the_data_is_passed_on(setup):
    class Broken(ArrayDataset):
        def gather(self, indices):
            return None

        def __getitem__(self, index):
            raise OSError(f"sample {index} is gone")

    one = setup()
    with pytest.raises(OSError, match="sample 0 is gone"):
        one.trainer.fit(DataLoader(Broken(*two_classes())), progress=False)
