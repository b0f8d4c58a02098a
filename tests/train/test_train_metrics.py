"""Metrics: exact whatever the batches, and clear about outputs and targets that do not fit."""

from __future__ import annotations

import numpy as np
import pytest

from pynet.train import metrics


def batches(sizes):
    rng = np.random.default_rng(0)
    outputs = rng.integers(0, 4, size=(sum(sizes), 5)).astype(np.float32)  # with ties
    targets = rng.integers(0, 5, size=sum(sizes))
    start = 0
    for size in sizes:
        yield outputs[start : start + size], targets[start : start + size]
        start += size


@pytest.mark.parametrize("metric", ["accuracy", "top_2", "top_k"])
def test_the_size_of_the_batches_changes_nothing(metric):
    values = set()
    for sizes in ([20], [1] * 20, [13, 7], [19, 1]):
        counter = metrics.create(metric)
        for outputs, targets in batches(sizes):
            counter.update(outputs, targets)
        values.add(counter.compute())
    assert len(values) == 1


def test_accuracy_counts_right_samples():
    accuracy = metrics.Accuracy()
    accuracy.update(np.array([[0.1, 0.9], [0.8, 0.2], [0.3, 0.7]]), np.array([1, 1, 1]))
    assert accuracy.compute() == 2 / 3
    accuracy.reset()
    assert np.isnan(accuracy.compute())


def test_accuracy_of_maps():
    accuracy = metrics.Accuracy()
    outputs = np.zeros((2, 3, 4, 4))
    outputs[:, 2] = 1
    accuracy.update(outputs, np.full((2, 4, 4), 2))
    assert accuracy.compute() == 1


def test_top_k_agrees_with_a_stable_sort():
    for k in (1, 2, 3, 5):
        counter = metrics.TopK(k)
        outputs, targets = next(batches([50]))
        counter.update(outputs, targets)
        order = np.argsort(-outputs, axis=1, kind="stable")[:, :k]
        assert counter.compute() == (order == targets[:, None]).any(axis=1).mean()


def test_top_k_takes_nan_as_wrong():
    counter = metrics.TopK(1)
    counter.update(np.full((3, 2), np.nan), np.array([0, 1, 0]))
    assert counter.compute() == 0


def test_mean_is_weighted_by_samples():
    mean = metrics.Mean()
    mean.add(1.0, 30)
    mean.add(4.0, 10)
    assert mean.compute() == 1.75


def test_counts_can_be_continued():
    first, second = metrics.Accuracy(), metrics.Accuracy()
    parts = list(batches([6, 14]))
    first.update(*parts[0])
    second.load_state_dict(first.state_dict())
    for counter in (first, second):
        counter.update(*parts[1])
    assert first.compute() == second.compute()


@pytest.mark.parametrize(
    ("outputs", "targets", "error", "match"),
    [
        (np.zeros((3, 2)), np.zeros(4, int), ValueError, r"outputs \(3, 2\) and targets \(4,\)"),
        (np.zeros((3, 1)), np.zeros(3, int), ValueError, "C >= 2"),
        (np.zeros(3), np.zeros(3, int), ValueError, "do not fit"),
        (np.zeros((3, 2)), np.zeros(3), TypeError, "must be integers, not float64"),
    ],
)
def test_what_does_not_fit_is_refused(outputs, targets, error, match):
    for metric in ("accuracy", "top_1"):
        with pytest.raises(error, match=match):
            metrics.create(metric).update(outputs, targets)


def test_names():
    assert [m.name for m in metrics.create_all(["accuracy", "top5", "top_3"])] == [
        "accuracy",
        "top_5",
        "top_3",
    ]
    assert [m.name for m in metrics.create_all("accuracy")] == ["accuracy"]
    with pytest.raises(ValueError, match="no metric is called 'acc'"):
        metrics.create("acc")
    with pytest.raises(ValueError, match="two metrics are called top_5"):
        metrics.create_all(["top_5", "top_k"])
    with pytest.raises(ValueError, match="two metrics are called loss"):
        metrics.create_all([metrics.Mean()])
    with pytest.raises(ValueError, match="k must be an integer of at least 1"):
        metrics.TopK(0)


def test_confusion_matrix_has_true_classes_in_rows():
    matrix = metrics.confusion_matrix(np.array([0, 0, 2, 2]), np.array([0, 1, 2, 0]), 3)
    assert matrix.tolist() == [[1, 1, 0], [0, 0, 0], [1, 0, 1]]
    with pytest.raises(IndexError, match="prediction 3 is outside the 3 classes"):
        metrics.confusion_matrix(np.array([0]), np.array([3]), 3)
