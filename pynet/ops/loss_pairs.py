"""Losses of pairs of equal shape: differences, probabilities, margins.

They never broadcast: where PyTorch would warn and broadcast, these raise.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from pynet.autograd import Operation, Tensor, record, wrap
from pynet.ops import arithmetic as a
from pynet.ops import reduction as r
from pynet.ops._backend import Array, backend, reduction_of, require_constant, require_floats, tensor_of
from pynet.ops.activation import sigmoid
from pynet.ops.curve import softplus


def same_shapes(name: str, input: Tensor, target: Tensor) -> None:
    """Refuses two Tensors of different shapes or dtypes."""
    require_floats(name, input=input, target=target)
    if input.shape != target.shape:
        raise ValueError(
            f"{name}: input has shape {input.shape} and target {target.shape}; losses do not broadcast, "
            "reshape one"
        )


def reduced(name: str, loss: Tensor, reduction: str) -> Tensor:
    """The losses, their mean or their sum."""
    reduction_of(name, reduction)
    return loss if reduction == "none" else r.mean(loss) if reduction == "mean" else r.sum(loss)


def _difference(name: str, input: Tensor, target: Any) -> Tensor:
    target = tensor_of(target)
    same_shapes(name, input, target)
    return a.subtract(input, target)


def positive_part(x: Tensor) -> Tensor:
    """max(0, x)."""
    return a.clamp(x, min=0.0)


# --- differences ----------------------------------------------------------------------------------


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
    same_shapes("mse_loss", input, target)
    return record(MSE, (input, target), reduction=reduction_of("mse_loss", reduction))


def l1_loss(input: Tensor, target: Any, reduction: str = "mean") -> Tensor:
    """The absolute difference.

    Args:
        input: float, any shape.
        target: float Tensor or array of the same shape and dtype.
        reduction: "mean" (over all elements), "sum" or "none".
    Raises:
        ValueError: shapes differ. TypeError: dtypes differ.
    """
    return reduced("l1_loss", a.abs(_difference("l1_loss", input, target)), reduction)


def smooth_l1_loss(input: Tensor, target: Any, reduction: str = "mean", beta: float = 1.0) -> Tensor:
    """Half the squared difference over `beta` where it is below `beta`, else the absolute one less beta / 2.

    Args:
        input: float, any shape.
        target: float Tensor or array of the same shape and dtype.
        reduction: "mean" (over all elements), "sum" or "none".
        beta: where the parabola ends, at least 0; 0 gives `l1_loss`.
    Raises:
        ValueError: shapes differ or beta is negative. TypeError: dtypes differ.
    Source:
        Girshick 2015, "Fast R-CNN", equation 3.
    """
    if beta < 0:
        raise ValueError(f"smooth_l1_loss: beta must be at least 0, got {beta}")
    if beta == 0:
        return l1_loss(input, target, reduction)
    distance = a.abs(_difference("smooth_l1_loss", input, target))
    parabola = a.multiply(a.square(distance), 0.5 / beta)
    loss = a.where(distance.array < beta, parabola, a.subtract(distance, 0.5 * beta))
    return reduced("smooth_l1_loss", loss, reduction)


def huber_loss(input: Tensor, target: Any, reduction: str = "mean", delta: float = 1.0) -> Tensor:
    """Half the squared difference up to `delta`, delta * (absolute difference - delta / 2) beyond.

    Args:
        input: float, any shape.
        target: float Tensor or array of the same shape and dtype.
        reduction: "mean" (over all elements), "sum" or "none".
        delta: above 0.
    Raises:
        ValueError: shapes differ or delta is not above 0. TypeError: dtypes differ.
    Source:
        Huber 1964.
    """
    if not delta > 0:
        raise ValueError(f"huber_loss: delta must be above 0, got {delta}")
    distance = a.abs(_difference("huber_loss", input, target))
    line = a.multiply(a.subtract(distance, 0.5 * delta), delta)
    loss = a.where(distance.array <= delta, a.multiply(a.square(distance), 0.5), line)
    return reduced("huber_loss", loss, reduction)


# --- probabilities --------------------------------------------------------------------------------


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
    same_shapes(name, input, target)
    require_constant(name, "target", target)
    values = target.array
    if values.size and not (values.min() >= 0 and values.max() <= 1):
        raise ValueError(f"{name}: targets must lie in [0, 1], got {values.min()} to {values.max()}")
    factors = []
    for argument, factor in (("weight", weight), ("pos_weight", pos_weight)):
        if factor is not None:
            factor = tensor_of(factor)
            require_floats(name, input=input, factor=factor)
            require_constant(name, argument, factor)
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


def _probabilities_forward(x: Array, target: Array) -> tuple[Array, tuple]:
    with np.errstate(divide="ignore"):
        yes, no = np.maximum(np.log(x), -100), np.maximum(np.log1p(-x), -100)
    return -(target * yes + (1 - target) * no), (x, target)


def _probabilities_backward(dout: Array, saved: tuple, needs: tuple) -> tuple:
    x, target = saved
    return dout * (x - target) / np.maximum(x * (1 - x), x.dtype.type(1e-12)), None


BINARY_CROSS_ENTROPY = Operation("binary_cross_entropy", _probabilities_forward, _probabilities_backward)


def binary_cross_entropy(input: Tensor, target: Any, weight: Any = None, reduction: str = "mean") -> Tensor:
    """Cross-entropy of independent yes/no decisions given as probabilities; logarithms end at -100.

    `binary_cross_entropy_with_logits` is more accurate where logits are at hand.

    Args:
        input: probabilities in [0, 1], float, any shape.
        target: likewise, Tensor or array of the same shape and dtype; no gradient flows to it.
        weight: factors that broadcast to input's shape, or None.
        reduction: "mean" (over all elements), "sum" or "none".
    Raises:
        ValueError: shapes differ, or a value outside [0, 1]. TypeError: dtypes differ. RuntimeError: the
            target requires a gradient.
    """
    name = "binary_cross_entropy"
    target = tensor_of(target)
    same_shapes(name, input, target)
    require_constant(name, "target", target)
    for argument, t in (("input", input), ("target", target)):
        values = t.array
        if values.size and not (values.min() >= 0 and values.max() <= 1):
            raise ValueError(
                f"{name}: {argument} must lie in [0, 1], got {values.min()} to {values.max()}; use "
                "binary_cross_entropy_with_logits for logits"
            )
    loss = record(BINARY_CROSS_ENTROPY, (input, target))
    if weight is not None:
        weight = tensor_of(weight)
        try:
            np.broadcast_to(weight.array, input.shape)
        except ValueError:
            raise ValueError(
                f"{name}: weight of shape {weight.shape} does not broadcast to input's {input.shape}"
            ) from None
        loss = a.multiply(loss, weight)
    return reduced(name, loss, reduction)


def kl_div(input: Tensor, target: Any, reduction: str = "mean", log_target: bool = False) -> Tensor:
    """The divergence of `target` from `input`: target * (log target - input), element by element.

    Args:
        input: logarithms of probabilities, float, any shape.
        target: probabilities, or their logarithms with `log_target`; Tensor or array of the same shape.
        reduction: "mean" (over all elements), "batchmean" (sum over the first size: the divergence itself),
            "sum" or "none".
        log_target: default False.
    Raises:
        ValueError: shapes differ. TypeError: dtypes differ.
    Source:
        Kullback & Leibler 1951.
    """
    target = tensor_of(target)
    same_shapes("kl_div", input, target)
    if log_target:
        loss = a.multiply(a.exp(target), a.subtract(target, input))
    else:
        positive = target.array > 0
        entropy = a.multiply(target, a.log(a.where(positive, target, 1.0)))
        loss = a.subtract(entropy, a.multiply(target, input))
    if reduction == "batchmean":
        return a.divide(r.sum(loss), input.shape[0] if input.shape else 1)
    return reduced("kl_div", loss, reduction)


def sigmoid_focal_loss(
    inputs: Tensor, targets: Any, alpha: float = 0.25, gamma: float = 2, reduction: str = "none"
) -> Tensor:
    """Binary cross-entropy of logits in which what is already right counts little.

    Args:
        inputs: logits, float, any shape.
        targets: 0 or 1, Tensor or array of the same shape and dtype.
        alpha: weight of the positives, 1 - alpha of the negatives; below 0: no weights.
        gamma: power of the probability of being wrong.
        reduction: "none" (default), "mean" or "sum".
    Raises:
        ValueError: shapes differ, or targets outside [0, 1]. TypeError: dtypes differ.
    Source:
        Lin et al. 2017, "Focal Loss for Dense Object Detection", equation 5.
    """
    targets = tensor_of(targets)
    entropy = binary_cross_entropy_with_logits(inputs, targets, reduction="none")
    p = sigmoid(inputs)
    positive = targets.array
    wrong = a.add(a.multiply(p, wrap(1 - 2 * positive)), wrap(positive))
    loss = a.multiply(entropy, a.pow(wrong, gamma))
    if alpha >= 0:
        loss = a.multiply(loss, wrap(alpha * positive + (1 - alpha) * (1 - positive)))
    return reduced("sigmoid_focal_loss", loss, reduction)


def dice_loss(input: Tensor, target: Any, smooth: float = 1.0, reduction: str = "mean") -> Tensor:
    """One minus the overlap of two soft masks: 1 - (2 sum(p t) + smooth) / (sum p + sum t + smooth).

    Args:
        input: probabilities, float (N, ...).
        target: masks, Tensor or array of the same shape and dtype.
        smooth: keeps empty masks defined.
        reduction: over the N samples: "mean", "sum" or "none".
    Raises:
        ValueError: shapes differ or there is no batch axis. TypeError: dtypes differ.
    Source:
        Milletari, Navab & Ahmadi 2016, "V-Net", with plain sums.
    """
    target = tensor_of(target)
    same_shapes("dice_loss", input, target)
    if not input.shape:
        raise ValueError("dice_loss: expected input (N, ...), got a 0-d tensor")
    over = tuple(range(1, len(input.shape)))

    def total(x: Tensor) -> Tensor:
        return r.sum(x, over) if over else x

    overlap = a.add(a.multiply(total(a.multiply(input, target)), 2.0), smooth)
    size = a.add(a.add(total(input), total(target)), smooth)
    return reduced("dice_loss", a.subtract(1.0, a.divide(overlap, size)), reduction)


# --- margins --------------------------------------------------------------------------------------


def soft_margin_loss(input: Tensor, target: Any, reduction: str = "mean") -> Tensor:
    """log(1 + exp(-target * input)), stable for any input.

    Args:
        input: scores, float, any shape.
        target: 1 or -1, Tensor or array of the same shape and dtype.
        reduction: "mean" (over all elements), "sum" or "none".
    Raises:
        ValueError: shapes differ. TypeError: dtypes differ.
    """
    target = tensor_of(target)
    same_shapes("soft_margin_loss", input, target)
    # No threshold: beyond it softplus would take its argument for the value.
    losses = softplus(a.negative(a.multiply(input, target)), 1.0, math.inf)
    return reduced("soft_margin_loss", losses, reduction)


def hinge_embedding_loss(input: Tensor, target: Any, margin: float = 1.0, reduction: str = "mean") -> Tensor:
    """A distance itself where the target is 1, max(0, margin - distance) where it is -1.

    Args:
        input: distances, float, any shape.
        target: 1 or -1, Tensor or array of the same shape and dtype.
        margin: default 1.
        reduction: "mean" (over all elements), "sum" or "none".
    Raises:
        ValueError: shapes differ. TypeError: dtypes differ.
    """
    target = tensor_of(target)
    same_shapes("hinge_embedding_loss", input, target)
    apart = a.where(target.array != 1, positive_part(a.subtract(margin, input)), 0.0)
    together = a.where(target.array != -1, input, 0.0)
    return reduced("hinge_embedding_loss", a.add(apart, together), reduction)
