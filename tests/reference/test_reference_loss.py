"""Losses against sums written out, at extreme values and corner cases, and their gradients."""

from __future__ import annotations

import math

import numpy as np
import pytest

from pynet import reference

REDUCTIONS = ["none", "mean", "sum"]
IGNORED = -100


def gradient_of_loss(rng, loss):
    return np.asarray(rng.standard_normal(loss.shape))


def naive_cross_entropy(x, target, weight, ignore_index, smoothing):
    losses, weights = [], []
    for row, label in zip(x, target, strict=True):
        if label == ignore_index:
            losses.append(0.0)
            continue
        log_p = row - math.log(sum(math.exp(v) for v in row))
        hit = -weight[label] * log_p[label]
        spread = -sum(w * v for w, v in zip(weight, log_p, strict=True))
        losses.append((1 - smoothing) * hit + smoothing / len(row) * spread)
        weights.append(weight[label])
    return np.array(losses), sum(weights)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("ignore_index", [IGNORED, 2])
def test_cross_entropy(rng, check_gradient, reduction, smoothing, weighted, ignore_index):
    x = 2 * rng.standard_normal((6, 4))
    target = np.array([0, 3, 2, 1, 2, 0])
    if ignore_index == IGNORED:
        target[3] = IGNORED
    weight = 0.5 + rng.random(4) if weighted else None
    arguments = (target, weight, ignore_index, smoothing, reduction)
    loss, lse, total_weight = reference.cross_entropy_forward(x, *arguments)

    losses, total = naive_cross_entropy(x, target, np.ones(4) if weight is None else weight, *arguments[2:4])
    expected = {"none": losses, "sum": losses.sum(), "mean": losses.sum() / total}[reduction]
    np.testing.assert_allclose(loss, expected, rtol=1e-12)
    np.testing.assert_allclose(lse, np.log(np.exp(x).sum(axis=1)), rtol=1e-12)
    assert total_weight == pytest.approx(total)

    dout = gradient_of_loss(rng, loss)
    dx = reference.cross_entropy_backward(dout, x, lse, *arguments, total_weight)
    check_gradient(lambda v: reference.cross_entropy_forward(v, *arguments)[0], x, dx, dout)
    np.testing.assert_array_equal(dx[target == ignore_index], 0)


def test_cross_entropy_against_scikit_learn(rng):
    metrics = pytest.importorskip("sklearn.metrics")
    x, target = rng.standard_normal((20, 3)), rng.integers(0, 3, 20)
    loss, _, _ = reference.cross_entropy_forward(x, target, None, IGNORED, 0.0, "mean")
    assert loss == pytest.approx(metrics.log_loss(target, reference.softmax_forward(x), labels=[0, 1, 2]))


def test_cross_entropy_of_huge_logits():
    x = np.array([[1e4, 0.0], [0.0, 1e4]])
    loss, lse, total = reference.cross_entropy_forward(x, np.array([0, 0]), None, IGNORED, 0.0, "none")
    np.testing.assert_array_equal(loss, [0, 1e4])
    dx = reference.cross_entropy_backward(
        np.ones(2), x, lse, np.array([0, 0]), None, IGNORED, 0.0, "none", total
    )
    np.testing.assert_array_equal(dx, [[0, 0], [-1, 1]])


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("m", [0, 3])
def test_cross_entropy_with_every_label_ignored(smoothing, m):
    x, target = np.ones((m, 4)), np.full(m, IGNORED)
    loss, lse, total = reference.cross_entropy_forward(x, target, None, IGNORED, smoothing, "mean")
    assert np.isnan(loss)
    assert total == 0
    dx = reference.cross_entropy_backward(
        np.array(1.0), x, lse, target, None, IGNORED, smoothing, "mean", total
    )
    np.testing.assert_array_equal(dx, np.zeros((m, 4)))
    assert reference.cross_entropy_forward(x, target, None, IGNORED, smoothing, "sum")[0] == 0


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("margin", [1.0, 0.3])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("shape", [(5, 4), (1, 1)])
def test_multi_margin(rng, check_gradient, reduction, p, margin, weighted, shape):
    x, target = rng.standard_normal(shape), rng.integers(0, shape[1], shape[0])
    weight = 0.5 + rng.random(shape[1]) if weighted else None
    arguments = (target, p, margin, weight, reduction)
    loss = reference.multi_margin_forward(x, *arguments)

    losses = np.zeros(shape[0])
    for i, (row, y) in enumerate(zip(x, target, strict=True)):
        violations = [max(0.0, margin - row[y] + row[j]) ** p for j in range(shape[1]) if j != y]
        losses[i] = (1.0 if weight is None else weight[y]) * sum(violations) / shape[1]
    expected = {"none": losses, "sum": losses.sum(), "mean": losses.mean()}[reduction]
    np.testing.assert_allclose(loss, expected, rtol=1e-12, atol=1e-15)

    dout = gradient_of_loss(rng, loss)
    dx = reference.multi_margin_backward(dout, x, *arguments)
    check_gradient(lambda v: reference.multi_margin_forward(v, *arguments), x, dx, dout)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("shape", [(), (3, 4), (2, 3, 2, 2)])
def test_mse(rng, check_gradient, reduction, shape):
    x, target = np.asarray(rng.standard_normal(shape)), np.asarray(rng.standard_normal(shape))
    loss = reference.mse_forward(x, target, reduction)
    losses = (x - target) ** 2
    np.testing.assert_allclose(loss, losses if reduction == "none" else getattr(losses, reduction)())
    dout = gradient_of_loss(rng, loss)
    dx = reference.mse_backward(dout, x, target, reduction)
    check_gradient(lambda v: reference.mse_forward(v, target, reduction), x, dx, dout)
    check_gradient(lambda v: reference.mse_forward(x, v, reduction), target, -dx, dout)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("pos_weighted", [False, True])
@pytest.mark.parametrize("shape", [(), (3, 4), (2, 3, 2, 2)])
def test_bce_with_logits(rng, check_gradient, reduction, weighted, pos_weighted, shape):
    x, target = np.asarray(2 * rng.standard_normal(shape)), np.asarray(rng.random(shape))
    weight = np.asarray(0.5 + rng.random(shape)) if weighted else None
    pos_weight = np.asarray(0.5 + rng.random(shape)) if pos_weighted else None
    arguments = (target, weight, pos_weight, reduction)
    loss = reference.bce_with_logits_forward(x, *arguments)
    p = 1 / (1 + np.exp(-x))
    losses = -((pos_weight if pos_weighted else 1) * target * np.log(p) + (1 - target) * np.log(1 - p))
    losses = np.asarray(losses * weight if weighted else losses)
    np.testing.assert_allclose(loss, losses if reduction == "none" else getattr(losses, reduction)())
    dout = gradient_of_loss(rng, loss)
    dx = reference.bce_with_logits_backward(dout, x, *arguments)
    check_gradient(lambda v: reference.bce_with_logits_forward(v, *arguments), x, dx, dout)


def test_bce_with_huge_logits():
    x, target = np.array([1e4, -1e4, 1e4, -1e4]), np.array([1.0, 0.0, 0.0, 1.0])
    loss = reference.bce_with_logits_forward(x, target, None, None, "none")
    np.testing.assert_array_equal(loss, [0, 0, 1e4, 1e4])
    dx = reference.bce_with_logits_backward(np.ones(4), x, target, None, None, "none")
    np.testing.assert_array_equal(dx, [0, 0, 1, -1])


def test_float32_stays_float32(rng):
    x, target = rng.standard_normal((3, 4)).astype(np.float32), np.array([0, 1, 3])
    t, weight = rng.random((3, 4)).astype(np.float32), rng.random(4).astype(np.float32)
    for reduction in REDUCTIONS:
        loss, lse, total = reference.cross_entropy_forward(x, target, weight, IGNORED, 0.1, reduction)
        losses = [
            loss,
            reference.multi_margin_forward(x, target, 2, 1.0, weight, reduction),
            reference.mse_forward(x, t, reduction),
            reference.bce_with_logits_forward(x, t, t, t, reduction),
        ]
        gradients = [
            reference.cross_entropy_backward(loss, x, lse, target, weight, IGNORED, 0.1, reduction, total),
            reference.multi_margin_backward(losses[1], x, target, 2, 1.0, weight, reduction),
            reference.mse_backward(losses[2], x, t, reduction),
            reference.bce_with_logits_backward(losses[3], x, t, t, t, reduction),
        ]
        for array in (*losses, *gradients, lse):
            assert isinstance(array, np.ndarray)
            assert array.dtype == np.float32


def test_means_of_nothing_are_nan():
    x, empty = np.zeros((0, 3)), np.zeros(0, np.int64)
    assert np.isnan(reference.multi_margin_forward(x, empty, 1, 1.0, None, "mean"))
    assert np.isnan(reference.mse_forward(x, x, "mean"))
    assert np.isnan(reference.bce_with_logits_forward(x, x, None, None, "mean"))
