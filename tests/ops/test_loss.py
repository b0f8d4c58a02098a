"""Losses: values against their definitions, gradients, labels and shapes that are refused."""

from __future__ import annotations

import numpy as np
import pytest

import pynet
from pynet import gradcheck, ops

REDUCTIONS = ["mean", "sum", "none"]


def log_softmax(x):
    x = x - x.max(-1, keepdims=True)
    return x - np.log(np.exp(x).sum(-1, keepdims=True))


def cross_entropy(x, target, weight=None, ignore_index=-100, reduction="mean", label_smoothing=0.0):
    """PyTorch's definition for rows."""
    weight = np.ones(x.shape[-1]) if weight is None else weight
    logp = log_softmax(x)
    kept = target != ignore_index
    safe = np.where(kept, target, 0)
    picked = -np.take_along_axis(logp, safe[:, None], 1)[:, 0] * weight[safe]
    smooth = -(logp * weight).sum(1) / x.shape[1]
    loss = np.where(kept, (1 - label_smoothing) * picked + label_smoothing * smooth, 0.0)
    if reduction == "none":
        return loss
    return loss.sum() / (weight[safe] * kept).sum() if reduction == "mean" else loss.sum()


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_cross_entropy(reduction, weighted, smoothing, make, check_float32):
    x, target = make(5, 4), np.array([0, 3, 1, 2, 3])
    weight = np.array([1.0, 0.5, 2.0, 0.25]) if weighted else None

    def function(t):
        w = None if weight is None else weight.astype(t.dtype)
        return ops.cross_entropy(t, target, w, ignore_index=1, reduction=reduction, label_smoothing=smoothing)

    expected = cross_entropy(x.array, target, weight, 1, reduction, smoothing)
    np.testing.assert_allclose(function(x).array, expected)
    assert gradcheck(function, (x,))
    check_float32(function, x)


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_cross_entropy_of_maps_and_of_one_row(reduction, make, check_float32):
    x, target = make(2, 3, 2, 4), np.random.default_rng(0).integers(0, 3, (2, 2, 4))
    rows = cross_entropy(
        x.array.transpose(0, 2, 3, 1).reshape(-1, 3), target.reshape(-1), reduction=reduction
    )
    got = ops.cross_entropy(x, target, reduction=reduction)
    np.testing.assert_allclose(got.array, rows.reshape(target.shape) if reduction == "none" else rows)
    assert gradcheck(lambda t: ops.cross_entropy(t, target, reduction=reduction), (x,))
    check_float32(lambda t: ops.cross_entropy(t, target, reduction=reduction), x)
    one = make(4)
    assert ops.cross_entropy(one, 2, reduction=reduction).shape == ()
    assert gradcheck(lambda t: ops.cross_entropy(t, 2, reduction=reduction), (one,))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_cross_entropy_of_huge_logits(dtype):
    x = pynet.tensor([[1e4, -1e4], [-1e4, 1e4]], dtype=dtype, requires_grad=True)
    loss = ops.cross_entropy(x, [0, 0])
    assert loss.item() == 1e4
    loss.backward()
    assert x.grad.tolist() == [[0.0, 0.0], [-0.5, 0.5]]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_all_ignored_is_nan_in_the_mean_and_zero_in_the_sum(dtype):
    x = pynet.zeros(2, 3, dtype=dtype)
    assert np.isnan(ops.cross_entropy(x, [-100, -100]).item())
    assert ops.cross_entropy(x, [-100, -100], reduction="sum").item() == 0.0


def test_batch_zero():
    x = pynet.zeros(0, 3, dtype=np.float64, requires_grad=True)
    loss = ops.cross_entropy(x, np.zeros(0, np.int64), reduction="sum")
    assert loss.item() == 0.0
    loss.backward()
    assert x.grad.shape == (0, 3)


@pytest.mark.parametrize("target", [[0, 1], np.array([0, 1], np.uint8), pynet.tensor([0, 1], dtype=np.int32)])
def test_labels_of_any_integer_type(target):
    x = pynet.tensor([[1.0, 2.0], [3.0, 5.0]])
    assert ops.cross_entropy(x, target).item() == pytest.approx(
        cross_entropy(x.numpy(), np.array([0, 1])), rel=1e-6
    )


@pytest.mark.parametrize("function", [ops.cross_entropy, ops.multi_margin_loss])
def test_labels_out_of_range(function):
    x = pynet.zeros(2, 3)
    for label in (3, -1, 2**40, -(2**40)):
        with pytest.raises(IndexError, match=f"label {label} is out of range for 3 classes"):
            function(x, np.array([0, label]))
    with pytest.raises(IndexError, match=str(2**64 - 1)):
        function(x, np.array([0, 2**64 - 1], np.uint64))
    with pytest.raises(TypeError, match="class labels must be integers, got float64"):
        function(x, np.array([0.0, 1.0]))
    with pytest.raises(TypeError, match="class labels must be integers, got bool"):
        function(x, np.array([True, False]))
    with pytest.raises(ValueError, match=r"target has shape \(3,\), expected \(2,\)"):
        function(x, np.array([0, 1, 2]))
    with pytest.raises(ValueError, match=r"weight has shape \(2,\), expected \(3,\)"):
        function(x, [0, 1], weight=np.ones(2, np.float32))


def test_ignored_label_may_be_any_number():
    x = pynet.zeros(2, 3)
    assert ops.cross_entropy(x, [0, 255], ignore_index=255).item() == pytest.approx(np.log(3))
    with pytest.raises(IndexError, match="ignore_index=255"):
        ops.cross_entropy(x, [0, -100], ignore_index=255)


def test_cross_entropy_errors():
    x = pynet.zeros(2, 3)
    with pytest.raises(ValueError, match='reduction must be "none", "mean" or "sum", got \'avg\''):
        ops.cross_entropy(x, [0, 1], reduction="avg")
    with pytest.raises(ValueError, match="label_smoothing must be from 0 to 1"):
        ops.cross_entropy(x, [0, 1], label_smoothing=1.5)
    with pytest.raises(ValueError, match="got a 0-d tensor"):
        ops.cross_entropy(pynet.zeros(()), 0)
    with pytest.raises(RuntimeError, match="no gradient is computed for weight"):
        ops.cross_entropy(x, [0, 1], weight=pynet.ones(3, requires_grad=True))


# --- the others -----------------------------------------------------------------------------------


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("weighted", [False, True])
def test_multi_margin(reduction, p, weighted, make, check_float32):
    x, target = make(4, 3), np.array([0, 2, 1, 2])
    weight = np.array([1.0, 0.5, 2.0]) if weighted else None

    def function(t):
        w = None if weight is None else weight.astype(t.dtype)
        return ops.multi_margin_loss(t, target, p, 0.7, w, reduction)

    rows = np.maximum(0, 0.7 - x.array[np.arange(4), target][:, None] + x.array) ** p
    if weighted:
        rows *= weight[target][:, None]
    rows[np.arange(4), target] = 0
    loss = rows.sum(1) / 3
    np.testing.assert_allclose(
        function(x).array, {"none": loss, "sum": loss.sum(), "mean": loss.mean()}[reduction]
    )
    assert gradcheck(function, (x,))
    check_float32(function, x)


def test_multi_margin_of_one_row(make):
    assert ops.multi_margin_loss(make(3), 1).shape == ()
    with pytest.raises(ValueError, match="p must be 1 or 2"):
        ops.multi_margin_loss(make(3), 1, p=3)
    with pytest.raises(ValueError, match=r"expected input \(N, C\) or \(C,\)"):
        ops.multi_margin_loss(make(2, 3, 4), [[0] * 4] * 2)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("shape", [(3, 4), (2, 3, 2, 2), ()], ids=str)
def test_mse(reduction, shape, make, check_float32):
    x, target = make(*shape), make(*shape)
    squares = (x.array - target.array) ** 2
    expected = {"none": squares, "sum": squares.sum(), "mean": squares.mean()}[reduction]
    np.testing.assert_allclose(ops.mse_loss(x, target, reduction).array, expected)
    assert gradcheck(lambda a, b: ops.mse_loss(a, b, reduction), (x, target))
    check_float32(lambda a, b: ops.mse_loss(a, b, reduction), x, target)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("weighted", [False, True])
def test_bce_with_logits(reduction, weighted, make, check_float32):
    x = make(3, 4)
    target = np.random.default_rng(0).uniform(0, 1, (3, 4))
    weight, positive = (np.linspace(0.5, 2, 4), np.linspace(1, 3, 3)[:, None]) if weighted else (None, None)

    def function(t):
        cast = lambda v: None if v is None else v.astype(t.dtype)  # noqa: E731
        return ops.binary_cross_entropy_with_logits(t, cast(target), cast(weight), reduction, cast(positive))

    p = 1 / (1 + np.exp(-x.array))
    loss = -((1 if positive is None else positive) * target * np.log(p) + (1 - target) * np.log(1 - p))
    loss = loss * (1 if weight is None else weight)
    np.testing.assert_allclose(
        function(x).array, {"none": loss, "sum": loss.sum(), "mean": loss.mean()}[reduction]
    )
    assert gradcheck(function, (x,))
    check_float32(function, x)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_bce_of_huge_logits(dtype):
    x = pynet.tensor([1e4, -1e4], dtype=dtype)
    loss = ops.binary_cross_entropy_with_logits(x, np.array([1, 1], dtype), reduction="none")
    assert loss.tolist() == [0.0, 1e4]


@pytest.mark.parametrize("function", [ops.mse_loss, ops.binary_cross_entropy_with_logits])
def test_losses_do_not_broadcast(function):
    x = pynet.zeros(8, 1)
    with pytest.raises(
        ValueError, match=r"input has shape \(8, 1\) and target \(8,\); losses do not broadcast"
    ):
        function(x, pynet.zeros(8))
    with pytest.raises(TypeError, match="do not mix"):
        function(x, np.zeros((8, 1)))
    with pytest.raises(TypeError, match="target is int64"):
        function(x, pynet.zeros(8, 1, dtype=np.int64))


def test_bce_targets_outside_the_unit_interval():
    for value in (-0.1, 1.5, float("nan")):
        with pytest.raises(ValueError, match=r"targets must lie in \[0, 1\]"):
            ops.binary_cross_entropy_with_logits(pynet.zeros(2), pynet.tensor([0.5, value]))
    with pytest.raises(ValueError, match=r"pos_weight of shape \(3,\) does not broadcast"):
        ops.binary_cross_entropy_with_logits(pynet.zeros(2), pynet.zeros(2), pos_weight=pynet.ones(3))
