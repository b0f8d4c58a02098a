"""Losses of class labels. They never broadcast: input and target must have the shapes stated."""

from __future__ import annotations

from typing import Any

import numpy as np

from pynet import _core
from pynet.autograd import Operation, Tensor, checked, record, wrap
from pynet.ops._backend import (
    Array,
    backend,
    reduction_of,
    require_constant,
    require_floats,
    tensor_of,
)
from pynet.ops.arithmetic import add, multiply, negative
from pynet.ops.reduction import mean, sum
from pynet.ops.shape import reshape
from pynet.ops.softmax import from_rows, log_softmax, rows_of

_INT64 = np.dtype(np.int64)

# --- class labels ---------------------------------------------------------------------------------


def _labels(name: str, target: Any, input_shape: tuple[int, ...], ignore_index: int | None) -> Tensor:
    """Class labels as a checked int64 Tensor."""
    array = target.array if isinstance(target, Tensor) else checked(np.asarray(target))
    if array.dtype.kind not in "iu":
        raise TypeError(
            f"{name}: class labels must be integers, got {array.dtype}; convert them with .to(np.int64)"
            " (for one-hot rows: argmax(1))"
        )
    expected = input_shape[:1] + input_shape[2:] if len(input_shape) > 1 else ()
    if array.shape != expected:
        raise ValueError(
            f"{name}: target has shape {array.shape}, expected {expected} for input {input_shape}; give "
            "one label for"
            " each row of classes"
        )
    if array.dtype is not _INT64 and array.dtype != _INT64:
        if array.dtype == np.uint64 and array.size and int(array.max()) >= 2**63:
            raise IndexError(f"{name}: label {int(array.max())} is out of range")
        array = array.astype(np.int64)
    classes = input_shape[1] if len(input_shape) > 1 else input_shape[0]
    if not _core._labels_fit(array, classes, ignore_index):
        wrong = (array < 0) | (array >= classes)
        if ignore_index is not None:
            wrong &= array != ignore_index
        label = int(array[wrong][0])
        hint = f" (and is not ignore_index={ignore_index})" if ignore_index is not None else ""
        raise IndexError(
            f"{name}: label {label} is out of range for {classes} classes{hint}; use 0 to {classes - 1}"
        )
    return target if isinstance(target, Tensor) and target.array is array else wrap(array)


def _class_weight(name: str, weight: Any, classes: int) -> Tensor | None:
    if weight is None:
        return None
    weight = tensor_of(weight)
    if weight.shape != (classes,):
        raise ValueError(
            f"{name}: weight has shape {weight.shape}, expected ({classes},), one for each class"
        )
    require_constant(name, "weight", weight)
    return weight


def _scores(name: str, input: Tensor) -> tuple[int, ...]:
    if type(input) is not Tensor or input.dtype.kind != "f":
        require_floats(name, input=input)
    shape = input.shape
    if not shape:
        raise ValueError(f"{name}: expected input (N, C), (C,) or (N, C, d1, ...), got a 0-d tensor")
    return shape


# --- cross-entropy --------------------------------------------------------------------------------


def _cross_entropy_forward(
    x: Array, target: Array, weight: Array | None, ignore_index: int, label_smoothing: float, reduction: str
) -> tuple[Array, tuple]:
    rows = x if x.ndim == 2 else rows_of(x, 1) if x.ndim > 1 else x.reshape(1, -1)
    labels = (
        target if target.ndim == 1 and target.flags.c_contiguous else np.ascontiguousarray(target).reshape(-1)
    )
    loss, lse, total = backend(x, weight).cross_entropy_forward(
        rows, labels, weight, ignore_index, label_smoothing, reduction
    )
    if reduction == "none":
        loss = loss.reshape(target.shape)
    return loss, (rows, lse, labels, weight, total, x.shape)


def _cross_entropy_backward(
    dout: Array, saved: tuple, needs: tuple, ignore_index: int, label_smoothing: float, reduction: str
) -> tuple:
    rows, lse, labels, weight, total, shape = saved
    if reduction == "none":
        dout = np.ascontiguousarray(dout).reshape(-1)
    dx = backend(rows).cross_entropy_backward(
        dout, rows, lse, labels, weight, ignore_index, label_smoothing, reduction, total
    )
    if len(shape) != 2:
        dx = from_rows(dx, shape, 1)
    return dx, None, None


CROSS_ENTROPY = Operation("cross_entropy", _cross_entropy_forward, _cross_entropy_backward)


def cross_entropy(
    input: Tensor,
    target: Any,
    weight: Any = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """Minus the log-softmax of the true class, stable for any logits.

    Args:
        input: logits, float (N, C), (C,) or (N, C, d1, ...).
        target: class labels 0 to C - 1, integer Tensor or ndarray (N,), () or (N, d1, ...); or probabilities
            of the classes, floats of input's shape.
        weight: (C,) factors of the classes, or None; the mean over labels divides by the sum of those used,
            the mean over probabilities by the number of rows.
        ignore_index: rows with this label count for nothing; the mean over none is NaN.
        reduction: "mean", "sum" or "none".
        label_smoothing: in [0, 1]; that share of the target is spread evenly over all classes.
    Raises:
        IndexError: a label out of range. TypeError: labels that are no integers. ValueError: shapes differ.
    Source:
        Smoothing: Szegedy et al. 2016, section 7.
    """
    shape = _scores("cross_entropy", input)
    reduction_of("cross_entropy", reduction)
    if not 0.0 <= label_smoothing <= 1.0:
        raise ValueError(f"cross_entropy: label_smoothing must be from 0 to 1, got {label_smoothing}")
    weights = _class_weight("cross_entropy", weight, shape[1] if len(shape) > 1 else shape[0])
    if isinstance(target, (Tensor, np.ndarray)) and target.dtype.kind == "f" and target.shape == shape:
        require_floats("cross_entropy", input=input, target=tensor_of(target))
        return _soft_cross_entropy(input, tensor_of(target), weights, label_smoothing, reduction)
    labels = _labels("cross_entropy", target, shape, ignore_index)
    return record(
        CROSS_ENTROPY,
        (input, labels, weights),
        ignore_index=ignore_index,
        label_smoothing=float(label_smoothing),
        reduction=reduction,
    )


def _soft_cross_entropy(
    input: Tensor, target: Tensor, weight: Tensor | None, label_smoothing: float, reduction: str
) -> Tensor:
    """Cross-entropy with probabilities of the classes as target."""
    axis = 1 if len(input.shape) > 1 else 0
    if label_smoothing:
        target = add(multiply(target, 1 - label_smoothing), label_smoothing / input.shape[axis])
    loss = multiply(target, log_softmax(input, axis))
    if weight is not None:
        loss = multiply(loss, reshape(weight, (-1, *(1 for _ in input.shape[axis + 1 :]))))
    loss = negative(sum(loss, axis))
    if reduction == "none":
        return loss
    return sum(loss) if reduction == "sum" or not loss.shape else mean(loss)


# --- negative log-likelihood ----------------------------------------------------------------------


def _nll_forward(
    x: Array, target: Array, weight: Array | None, ignore_index: int, reduction: str
) -> tuple[Array, tuple]:
    rows = rows_of(x, 1) if x.ndim > 1 else x.reshape(1, -1)
    labels = np.ascontiguousarray(target).reshape(-1)
    kept = labels != ignore_index
    safe = np.where(kept, labels, 0)
    factor = np.where(kept, 1 if weight is None else weight[safe], 0).astype(x.dtype)
    loss = -factor * rows[np.arange(len(safe)), safe]
    loss[~kept] = 0  # also where the row holds no number
    total = factor.sum()
    saved = (safe, factor, total, x.shape, rows.shape)
    if reduction == "none":
        return loss.reshape(target.shape), saved
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(loss.sum() / total if reduction == "mean" else loss.sum(), x.dtype), saved


def _nll_backward(dout: Array, saved: tuple, needs: tuple, ignore_index: int, reduction: str) -> tuple:
    safe, factor, total, shape, rows = saved
    scale = np.ascontiguousarray(dout).reshape(-1) if reduction == "none" else dout
    dx = np.zeros(rows, factor.dtype)
    with np.errstate(invalid="ignore", divide="ignore"):
        dx[np.arange(len(safe)), safe] = -factor * scale / (total if reduction == "mean" else 1)
    return from_rows(dx, shape, 1), None, None


NLL = Operation("nll_loss", _nll_forward, _nll_backward)


def nll_loss(
    input: Tensor, target: Any, weight: Any = None, ignore_index: int = -100, reduction: str = "mean"
) -> Tensor:
    """Minus the log-probability of the true class.

    Args:
        input: log-probabilities, float (N, C), (C,) or (N, C, d1, ...).
        target: class labels 0 to C - 1, integer Tensor or ndarray (N,), () or (N, d1, ...).
        weight: (C,) factors of the classes, or None; the mean divides by the sum of those used.
        ignore_index: rows with this label count for nothing; the mean over none is NaN.
        reduction: "mean", "sum" or "none".
    Raises:
        IndexError: a label out of range. TypeError: labels that are no integers. ValueError: shapes differ.
    """
    shape = _scores("nll_loss", input)
    reduction_of("nll_loss", reduction)
    labels = _labels("nll_loss", target, shape, ignore_index)
    weights = _class_weight("nll_loss", weight, shape[1] if len(shape) > 1 else shape[0])
    return record(NLL, (input, labels, weights), ignore_index=ignore_index, reduction=reduction)


# --- multi-class SVM ------------------------------------------------------------------------------


def _multi_margin_forward(
    x: Array, target: Array, weight: Array | None, p: int, margin: float, reduction: str
) -> tuple[Array, tuple]:
    rows, labels = x.reshape(-1, x.shape[-1]), np.ascontiguousarray(target).reshape(-1)
    loss = backend(x, weight).multi_margin_forward(rows, labels, p, margin, weight, reduction)
    if reduction == "none":
        loss = loss.reshape(target.shape)
    return loss, (rows, labels, weight, x.shape)


def _multi_margin_backward(
    dout: Array, saved: tuple, needs: tuple, p: int, margin: float, reduction: str
) -> tuple:
    rows, labels, weight, shape = saved
    if reduction == "none":
        dout = np.ascontiguousarray(dout).reshape(-1)
    dx = backend(rows).multi_margin_backward(dout, rows, labels, p, margin, weight, reduction)
    return dx.reshape(shape), None, None


MULTI_MARGIN = Operation("multi_margin_loss", _multi_margin_forward, _multi_margin_backward)


def multi_margin_loss(
    input: Tensor, target: Any, p: int = 1, margin: float = 1.0, weight: Any = None, reduction: str = "mean"
) -> Tensor:
    """The multi-class hinge loss (SVM): the mean over all C classes j != y of max(0, margin - x[y] + x[j])
    ** p.

    Args:
        input: scores, float (N, C) or (C,).
        target: class labels 0 to C - 1, integer Tensor or ndarray (N,) or ().
        p: 1 or 2.
        margin: by how much the true class must win.
        weight: (C,) factors by true class, or None.
        reduction: "mean", "sum" or "none".
    Raises:
        IndexError: a label out of range. TypeError: labels that are no integers. ValueError: shapes differ.
    Source:
        Weston & Watkins 1999.
    """
    shape = _scores("multi_margin_loss", input)
    if len(shape) > 2:
        raise ValueError(f"multi_margin_loss: expected input (N, C) or (C,), got shape {shape}")
    if p not in (1, 2):
        raise ValueError(f"multi_margin_loss: p must be 1 or 2, got {p!r}")
    reduction_of("multi_margin_loss", reduction)
    labels = _labels("multi_margin_loss", target, shape, None)
    weights = _class_weight("multi_margin_loss", weight, shape[-1])
    return record(MULTI_MARGIN, (input, labels, weights), p=int(p), margin=float(margin), reduction=reduction)


# --- several labels a row -------------------------------------------------------------------------


def _multilabel_forward(x: Array, target: Array, reduction: str) -> tuple[Array, tuple]:
    rows, labels = x.reshape(-1, x.shape[-1]), target.reshape(-1, x.shape[-1])
    is_label = np.zeros(rows.shape, bool)
    slope = np.zeros(rows.shape, x.dtype)
    loss = np.zeros(len(rows), x.dtype)
    listed = np.cumprod(labels >= 0, axis=1).astype(bool)  # up to the first -1
    np.put_along_axis(is_label, np.where(listed, labels, labels[:, :1]), True, axis=1)
    is_label[~listed[:, 0]] = False
    for j in range(rows.shape[1]):
        use = np.flatnonzero(listed[:, j])
        label = labels[use, j]
        margin = 1 - rows[use, label][:, None] + rows[use]
        active = (margin > 0) & ~is_label[use]
        loss[use] += np.where(active, margin, 0).sum(1)
        slope[use] += active
        slope[use, label] -= active.sum(1)
    loss, slope = loss / rows.shape[1], slope / rows.shape[1]
    if reduction == "none":
        return loss.reshape(x.shape[:-1]), (slope, x.shape)
    if reduction == "mean":
        slope = slope / max(1, len(rows))
    return np.asarray(loss.mean() if reduction == "mean" else loss.sum(), x.dtype), (slope, x.shape)


def _multilabel_backward(dout: Array, saved: tuple, needs: tuple, reduction: str) -> tuple:
    slope, shape = saved
    scale = np.ascontiguousarray(dout).reshape(-1, 1) if reduction == "none" else dout
    return (slope * scale).reshape(shape).astype(dout.dtype, copy=False), None


MULTILABEL_MARGIN = Operation("multilabel_margin_loss", _multilabel_forward, _multilabel_backward)


def multilabel_margin_loss(input: Tensor, target: Any, reduction: str = "mean") -> Tensor:
    """The hinge of every wrong class against every true one: sum of max(0, 1 - x[label] + x[other]) / C.

    Args:
        input: scores, float (N, C) or (C,).
        target: labels of each row, integers of the same shape; what follows the first -1 does not count.
        reduction: "mean", "sum" or "none".
    Raises:
        IndexError: a label out of range. TypeError: labels that are no integers. ValueError: shapes differ.
    """
    name = "multilabel_margin_loss"
    shape = _scores(name, input)
    labels = tensor_of(target).array
    if labels.dtype.kind not in "iu":
        raise TypeError(f"{name}: class labels must be integers, got {labels.dtype}")
    if len(shape) > 2 or labels.shape != shape:
        raise ValueError(f"{name}: expected input and target (N, C) or (C,), got {shape} and {labels.shape}")
    if labels.size and (labels.min() < -1 or labels.max() >= shape[-1]):
        raise IndexError(
            f"{name}: labels must lie in -1 to {shape[-1] - 1}, got {labels.min()} to {labels.max()}"
        )
    labels = np.ascontiguousarray(labels, np.int64)
    return record(MULTILABEL_MARGIN, (input, wrap(labels)), reduction=reduction_of(name, reduction))
