"""Losses: cross-entropy, multi-class margin (SVM), mean squared error, binary cross-entropy with logits.

Each comes with reduction "none" (one loss an element), "sum" or "mean". Labels are class numbers; the
caller has checked that they are in range.

Source:
    Label smoothing: Szegedy et al. 2016, section 7. Multi-class margin: Weston and Watkins 1999.
"""

from __future__ import annotations

import numpy as np

from .activation import sigmoid
from .layout import keep_order


def _reduce(losses: np.ndarray, reduction: str, count: float) -> np.ndarray:
    """Reduce losses; the mean divides by count, and the mean of nothing is NaN."""
    if reduction == "none":
        return np.asarray(losses)
    total = np.asarray(losses.sum(), dtype=losses.dtype)
    return np.asarray(total / losses.dtype.type(count)) if reduction == "mean" else total


def _gradient_of_each(dout: np.ndarray, reduction: str, count: float) -> np.ndarray:
    """Return the gradient that reaches each element's loss: the adjoint of `_reduce`."""
    return np.asarray(dout / dout.dtype.type(count)) if reduction == "mean" else dout


def _row_weights(
    target: np.ndarray, weight: np.ndarray | None, ignore_index: int, dtype: np.dtype
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return which rows are kept, their labels (0 for ignored rows), and their class weights (0 likewise)."""
    kept = target != ignore_index
    label = np.where(kept, target, 0)
    row_weight = kept.astype(dtype) if weight is None else np.where(kept, weight[label], dtype.type(0))
    return kept, label, row_weight


@np.errstate(all="ignore")
def cross_entropy_forward(
    x: np.ndarray,
    target: np.ndarray,
    weight: np.ndarray | None,
    ignore_index: int,
    label_smoothing: float,
    reduction: str,
) -> tuple[np.ndarray, np.ndarray, float]:
    """Return -log softmax(x)[target], weighted, smoothed and reduced.

    With label smoothing e, the target distribution is (1 - e) at the label plus e / C everywhere; the share
    of each class carries its weight.

    Args:
        x: logits (M, C).
        target: int64 (M,).
        weight: (C,), of the classes, or None.
        ignore_index: rows with this label count nowhere.
        label_smoothing: 0 to 1.
        reduction: "none", "mean" (divided by the weights of the kept labels) or "sum".

    Returns:
        The loss, () or (M,); the log-sum-exp of each row (M,); the sum of the kept labels' weights. The mean
        over no kept row is NaN.
    """
    m, classes = x.shape
    kept, label, row_weight = _row_weights(target, weight, ignore_index, x.dtype)
    largest = x.max(axis=1, initial=-np.inf)
    lse = largest + np.log(np.exp(x - largest[:, None]).sum(axis=1))
    losses = (lse - x[np.arange(m), label]) * row_weight
    if label_smoothing > 0:
        smooth = lse[:, None] - x if weight is None else (lse[:, None] - x) * weight
        losses = (1 - label_smoothing) * losses + (label_smoothing / classes) * smooth.sum(axis=1)
    losses = np.where(kept, losses, x.dtype.type(0))
    total_weight = float(row_weight.sum())
    return _reduce(losses, reduction, total_weight), lse, total_weight


@np.errstate(all="ignore")
def cross_entropy_backward(
    dout: np.ndarray,
    x: np.ndarray,
    lse: np.ndarray,
    target: np.ndarray,
    weight: np.ndarray | None,
    ignore_index: int,
    label_smoothing: float,
    reduction: str,
    total_weight: float,
) -> np.ndarray:
    """Return dx (M, C).

    Without smoothing and weights it is softmax(x) - onehot(target), the most pleasant gradient of all.

    Args:
        dout: gradient of the loss, () or (M,).
        x: as in the forward pass.
        lse: as returned there.
        target: as in the forward pass.
        weight: as in the forward pass.
        ignore_index: as in the forward pass; such rows get a zero gradient.
        label_smoothing: as in the forward pass.
        reduction: as in the forward pass.
        total_weight: as returned there.
    """
    m, classes = x.shape
    kept, label, row_weight = _row_weights(target, weight, ignore_index, x.dtype)
    # The weighted target distribution; since the loss of a row is sum_j q_j (lse - x_j), dx = sum(q) p - q.
    q = np.zeros_like(x)
    q[np.arange(m), label] = (1 - label_smoothing) * row_weight
    if label_smoothing > 0:
        q += x.dtype.type(label_smoothing / classes) * (np.ones_like(x) if weight is None else weight)
    p = np.exp(x - lse[:, None])
    dlosses = np.broadcast_to(_gradient_of_each(dout, reduction, total_weight), (m,))
    dx = dlosses[:, None] * (p * q.sum(axis=1, keepdims=True) - q)
    return np.where(kept[:, None], dx, x.dtype.type(0))


def _margins(
    x: np.ndarray, target: np.ndarray, margin: float, weight: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Return by how much each class violates the margin (M, C), 0 if it does not; and the factors (M, 1)."""
    m, classes = x.shape
    rows = np.arange(m)
    z = x.dtype.type(margin) - x[rows, target][:, None] + x
    z[rows, target] = 0
    factor = np.full((m, 1), 1 / max(classes, 1), x.dtype)
    return np.where(z > 0, z, x.dtype.type(0)), factor if weight is None else factor * weight[target][:, None]


@np.errstate(all="ignore")
def multi_margin_forward(
    x: np.ndarray, target: np.ndarray, p: int, margin: float, weight: np.ndarray | None, reduction: str
) -> np.ndarray:
    """Return sum_{j != y} max(0, margin - x_y + x_j)^p / C, times the weight of class y.

    Args:
        x: scores (M, C).
        target: int64 (M,), the right classes y.
        p: 1 (SVM) or 2 (squared hinge).
        margin: by how much the right score should exceed the others.
        weight: (C,), of the classes, or None.
        reduction: "none", "mean" (divided by M, also with weights) or "sum".

    Returns:
        Array () or (M,).
    """
    z, factor = _margins(x, target, margin, weight)
    losses = (z if p == 1 else z * z).sum(axis=1) * factor[:, 0]
    return _reduce(losses, reduction, len(losses))


@np.errstate(all="ignore")
def multi_margin_backward(
    dout: np.ndarray,
    x: np.ndarray,
    target: np.ndarray,
    p: int,
    margin: float,
    weight: np.ndarray | None,
    reduction: str,
) -> np.ndarray:
    """Return dx (M, C): each violating class is pushed down, the right one up by their sum."""
    m = len(x)
    z, factor = _margins(x, target, margin, weight)
    dx = ((z > 0).astype(x.dtype) if p == 1 else 2 * z) * factor
    dx[np.arange(m), target] = -dx.sum(axis=1)
    return np.broadcast_to(_gradient_of_each(dout, reduction, m), (m,))[:, None] * dx


@np.errstate(all="ignore")
def mse_forward(x: np.ndarray, target: np.ndarray, reduction: str) -> np.ndarray:
    """Return (x - target)^2, reduced; x and target have one shape."""
    difference = x - target
    return keep_order(_reduce(difference * difference, reduction, x.size), x)


@np.errstate(all="ignore")
def mse_backward(dout: np.ndarray, x: np.ndarray, target: np.ndarray, reduction: str) -> np.ndarray:
    """Return dx; the gradient of the target is -dx."""
    return keep_order(x.dtype.type(2) * (x - target) * _gradient_of_each(dout, reduction, x.size), x)


@np.errstate(all="ignore")
def bce_with_logits_forward(
    x: np.ndarray,
    target: np.ndarray,
    weight: np.ndarray | None,
    pos_weight: np.ndarray | None,
    reduction: str,
) -> np.ndarray:
    """Return -(pos_weight * t log s(x) + (1 - t) log(1 - s(x))) * weight, s the sigmoid.

    Written with -log s(x) = log(1 + e^-|x|) + max(-x, 0), in which nothing overflows or cancels.

    Args:
        x: logits, any shape.
        target: probabilities t in [0, 1], of x's shape.
        weight: of the elements, of x's shape, or None.
        pos_weight: of the positive part, of x's shape, or None.
        reduction: "none", "mean" (divided by the number of elements) or "sum".

    Returns:
        Array () or of x's shape.
    """
    one = x.dtype.type(1)
    minus_log_sigmoid = np.log1p(np.exp(-np.abs(x))) + np.maximum(-x, x.dtype.type(0))
    if pos_weight is not None:
        minus_log_sigmoid = minus_log_sigmoid * ((pos_weight - one) * target + one)
    losses = (one - target) * x + minus_log_sigmoid
    if weight is not None:
        losses = losses * weight
    return keep_order(_reduce(losses, reduction, x.size), x)


@np.errstate(all="ignore")
def bce_with_logits_backward(
    dout: np.ndarray,
    x: np.ndarray,
    target: np.ndarray,
    weight: np.ndarray | None,
    pos_weight: np.ndarray | None,
    reduction: str,
) -> np.ndarray:
    """Return dx, of x's shape; without pos_weight it is s(x) - t."""
    positive = target if pos_weight is None else pos_weight * target
    dx = (positive + (x.dtype.type(1) - target)) * sigmoid(x) - positive
    dx = dx * _gradient_of_each(dout, reduction, x.size)
    return keep_order(dx if weight is None else dx * weight, x)
