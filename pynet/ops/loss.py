"""Losses. They never broadcast: input and target must have the shapes stated."""

from __future__ import annotations

from typing import Any

import numpy as np

from pynet.autograd import Operation, Tensor, checked, record, wrap
from pynet.ops._backend import Array, backend, reduction_of, require_floats, tensor_of
from pynet.ops.softmax import from_rows, rows_of

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
    if array.dtype != np.int64:
        if array.dtype == np.uint64 and array.size and int(array.max()) >= 2**63:
            raise IndexError(f"{name}: label {int(array.max())} is out of range")
        array = array.astype(np.int64)
    classes = input_shape[1] if len(input_shape) > 1 else input_shape[0]
    # As unsigned numbers, negative labels are huge: one pass finds both ends.
    if array.size and int(np.maximum.reduce(array.view(np.uint64), axis=None)) >= classes:
        wrong = (array < 0) | (array >= classes)
        if ignore_index is not None:
            wrong &= array != ignore_index
        if wrong.any():
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
    _constant(name, "weight", weight)
    return weight


def _constant(name: str, argument: str, t: Tensor) -> None:
    if t.requires_grad:
        raise RuntimeError(f"{name}: no gradient is computed for {argument}; pass {argument}.detach()")


def _scores(name: str, input: Tensor) -> tuple[int, ...]:
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
        target: class labels 0 to C - 1, integer Tensor or ndarray (N,), () or (N, d1, ...).
        weight: (C,) factors of the classes, or None; the mean divides by the sum of those used.
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
    labels = _labels("cross_entropy", target, shape, ignore_index)
    weights = _class_weight("cross_entropy", weight, shape[1] if len(shape) > 1 else shape[0])
    return record(
        CROSS_ENTROPY,
        (input, labels, weights),
        ignore_index=ignore_index,
        label_smoothing=float(label_smoothing),
        reduction=reduction,
    )


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


# --- mean squared error ---------------------------------------------------------------------------


def _same_shapes(name: str, input: Tensor, target: Tensor) -> None:
    require_floats(name, input=input, target=target)
    if input.shape != target.shape:
        raise ValueError(
            f"{name}: input has shape {input.shape} and target {target.shape}; losses do not broadcast, "
            "reshape one"
        )


def _mse_forward(x: Array, target: Array, reduction: str) -> tuple[Array, tuple]:
    return backend(x, target).mse_forward(x, target, reduction), (x, target)


def _mse_backward(dout: Array, saved: tuple, needs: tuple, reduction: str) -> tuple:
    x, target = saved
    on = backend(x)
    dx = on.mse_backward(dout, x, target, reduction)
    return dx if needs[0] else None, on.negative(dx) if needs[1] else None


MSE = Operation("mse_loss", _mse_forward, _mse_backward)


def mse_loss(input: Tensor, target: Any, reduction: str = "mean") -> Tensor:
    """The squared difference.

    Args:
        input: float, any shape.
        target: float Tensor or array of the same shape and dtype.
        reduction: "mean" (over all elements), "sum" or "none".
    Raises:
        ValueError: shapes differ. TypeError: dtypes differ.
    """
    target = tensor_of(target)
    _same_shapes("mse_loss", input, target)
    return record(MSE, (input, target), reduction=reduction_of("mse_loss", reduction))


# --- binary cross-entropy -------------------------------------------------------------------------


def _bce_forward(
    x: Array, target: Array, weight: Array | None, pos_weight: Array | None, reduction: str
) -> tuple[Array, tuple]:
    loss = backend(x, target, weight, pos_weight).bce_with_logits_forward(
        x, target, weight, pos_weight, reduction
    )
    return loss, (x, target, weight, pos_weight)


def _bce_backward(dout: Array, saved: tuple, needs: tuple, reduction: str) -> tuple:
    x, target, weight, pos_weight = saved
    dx = backend(x).bce_with_logits_backward(dout, x, target, weight, pos_weight, reduction)
    return dx, None, None, None


BCE_WITH_LOGITS = Operation("binary_cross_entropy_with_logits", _bce_forward, _bce_backward)


def binary_cross_entropy_with_logits(
    input: Tensor, target: Any, weight: Any = None, reduction: str = "mean", pos_weight: Any = None
) -> Tensor:
    """Cross-entropy of independent yes/no decisions given as logits, stable for any of them.

    Args:
        input: logits, float, any shape.
        target: probabilities, Tensor or array of the same shape and dtype, in [0, 1].
        weight: factors that broadcast to input's shape, or None.
        reduction: "mean" (over all elements), "sum" or "none".
        pos_weight: factors of the positive part that broadcast to input's shape, or None.
    Raises:
        ValueError: shapes differ, or a target outside [0, 1]. TypeError: dtypes differ.
    """
    name = "binary_cross_entropy_with_logits"
    target = tensor_of(target)
    _same_shapes(name, input, target)
    _constant(name, "target", target)
    values = target.array
    if values.size and not (values.min() >= 0 and values.max() <= 1):
        raise ValueError(f"{name}: targets must lie in [0, 1], got {values.min()} to {values.max()}")
    factors = []
    for argument, factor in (("weight", weight), ("pos_weight", pos_weight)):
        if factor is not None:
            factor = tensor_of(factor)
            require_floats(name, input=input, factor=factor)
            _constant(name, argument, factor)
            if factor.shape != input.shape:
                try:
                    factor = wrap(np.broadcast_to(factor.array, input.shape))
                except ValueError:
                    raise ValueError(
                        f"{name}: {argument} of shape {factor.shape} does not broadcast to input's "
                        f"{input.shape}"
                    ) from None
        factors.append(factor)
    return record(BCE_WITH_LOGITS, (input, target, *factors), reduction=reduction_of(name, reduction))
