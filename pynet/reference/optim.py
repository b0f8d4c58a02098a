"""Optimizer steps: lists of parameters and their state arrays, updated in place; gradients are only read.

In all of them g is the gradient (its negative to maximize) plus weight_decay * p, and t counts steps from 1.

Source:
    Momentum: Polyak 1964. Nesterov momentum: Sutskever et al. 2013. AdaGrad: Duchi et al. 2011, fig. 1.
    RMSprop: Tieleman and Hinton 2012, lecture 6.5; centred: Graves 2013, eq. 38 to 45.
    Adam: Kingma and Ba 2015, Algorithm 1; AMSGrad: Reddi et al. 2018, Algorithm 2.
    AdamW: Loshchilov and Hutter 2019, Algorithm 2.
"""

from __future__ import annotations

import math

import numpy as np

Arrays = list[np.ndarray]


def _gradient(param: np.ndarray, grad: np.ndarray, weight_decay: float, maximize: bool) -> np.ndarray:
    g = -grad if maximize else grad
    return g + weight_decay * param if weight_decay != 0 else g


def _state(arrays: Arrays | None, index: int) -> np.ndarray:
    if arrays is None:
        raise ValueError("optim: this step needs a state array for every parameter, not None")
    return arrays[index]


@np.errstate(all="ignore")
def sgd_step(
    params: Arrays,
    grads: Arrays,
    momentum_buffers: Arrays | None,
    lr: float,
    momentum: float,
    dampening: float,
    weight_decay: float,
    nesterov: bool,
    maximize: bool,
    first: bool,
) -> None:
    """Step of gradient descent: v = momentum * v + (1 - dampening) * g; p -= lr * v.

    Without momentum p -= lr * g; with Nesterov's p -= lr * (g + momentum * v).

    Args:
        params: updated.
        grads: of the params' shapes.
        momentum_buffers: v, updated; None without momentum.
        lr: learning rate.
        momentum: 0 for plain gradient descent.
        dampening: of the gradient's share in v.
        weight_decay: factor of the L2 penalty's gradient.
        nesterov: look ahead along v.
        maximize: ascend instead.
        first: v is set to g; what the buffers held is not read.
    """
    for i, (param, grad) in enumerate(zip(params, grads, strict=True)):
        g = _gradient(param, grad, weight_decay, maximize)
        if momentum != 0:
            v = _state(momentum_buffers, i)
            v[...] = g if first else momentum * v + (1 - dampening) * g
            g = g + momentum * v if nesterov else v
        param -= lr * g


@np.errstate(all="ignore")
def adagrad_step(
    params: Arrays,
    grads: Arrays,
    sums: Arrays,
    step_lr: float,
    weight_decay: float,
    eps: float,
    maximize: bool,
) -> None:
    """Step of AdaGrad: s += g^2; p -= step_lr * g / (sqrt(s) + eps).

    Args:
        params: updated.
        grads: of the params' shapes.
        sums: s, updated.
        step_lr: lr / (1 + (t - 1) * lr_decay).
        weight_decay: factor of the L2 penalty's gradient.
        eps: keeps the quotient finite.
        maximize: ascend instead.
    """
    for param, grad, s in zip(params, grads, sums, strict=True):
        g = _gradient(param, grad, weight_decay, maximize)
        s += g * g
        param -= step_lr * (g / (np.sqrt(s) + eps))


@np.errstate(all="ignore")
def rmsprop_step(
    params: Arrays,
    grads: Arrays,
    square_avgs: Arrays,
    grad_avgs: Arrays | None,
    momentum_buffers: Arrays | None,
    lr: float,
    alpha: float,
    eps: float,
    weight_decay: float,
    momentum: float,
    maximize: bool,
) -> None:
    """Step of RMSprop: s = alpha * s + (1 - alpha) * g^2; p -= lr * g / (sqrt(s) + eps).

    Args:
        params: updated.
        grads: of the params' shapes.
        square_avgs: s, updated.
        grad_avgs: running means m of g, updated; then s - m^2, the variance, takes the place of s. Or None.
        momentum_buffers: running sums of the quotient, updated; None without momentum.
        lr: learning rate.
        alpha: of the running means.
        eps: keeps the quotient finite.
        weight_decay: factor of the L2 penalty's gradient.
        momentum: 0 for none.
        maximize: ascend instead.
    """
    for i, (param, grad, s) in enumerate(zip(params, grads, square_avgs, strict=True)):
        g = _gradient(param, grad, weight_decay, maximize)
        s[...] = alpha * s + (1 - alpha) * (g * g)
        spread = s
        if grad_avgs is not None:
            m = grad_avgs[i]
            m += (1 - alpha) * (g - m)
            spread = s - m * m
        quotient = g / (np.sqrt(spread) + eps)
        if momentum > 0:
            v = _state(momentum_buffers, i)
            v[...] = momentum * v + quotient
            quotient = v
        param -= lr * quotient


@np.errstate(all="ignore")
def adam_step(
    params: Arrays,
    grads: Arrays,
    exp_avgs: Arrays,
    exp_avg_sqs: Arrays,
    max_exp_avg_sqs: Arrays | None,
    step: int,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
    decoupled: bool,
    maximize: bool,
) -> None:
    """Step of Adam: p -= lr / (1 - beta1^t) * m / (sqrt(v) / sqrt(1 - beta2^t) + eps).

    Args:
        params: updated.
        grads: of the params' shapes.
        exp_avgs: m = beta1 * m + (1 - beta1) * g, updated.
        exp_avg_sqs: v = beta2 * v + (1 - beta2) * g^2, updated.
        max_exp_avg_sqs: the largest v so far, updated and used in its place (AMSGrad); or None.
        step: t, from 1.
        lr: learning rate.
        beta1: of the mean.
        beta2: of the mean square.
        eps: keeps the quotient finite.
        weight_decay: see decoupled.
        decoupled: weight decay shrinks p directly by lr * weight_decay (AdamW), instead of adding to g.
        maximize: ascend instead.
    """
    step_size = lr / (1 - beta1**step)
    root_correction = math.sqrt(1 - beta2**step)
    for i, (param, grad, m, v) in enumerate(zip(params, grads, exp_avgs, exp_avg_sqs, strict=True)):
        if decoupled:
            param *= 1 - lr * weight_decay
        g = _gradient(param, grad, 0.0 if decoupled else weight_decay, maximize)
        m += (1 - beta1) * (g - m)
        v[...] = beta2 * v + (1 - beta2) * (g * g)
        largest = v
        if max_exp_avg_sqs is not None:
            largest = max_exp_avg_sqs[i]
            np.maximum(largest, v, out=largest)
        param -= step_size * (m / (np.sqrt(largest) / root_correction + eps))


def gradient_norm(arrays: Arrays, order: float) -> float:
    """The p-norm of all arrays as one vector, summed in double precision.

    Args:
        arrays: gradients; none at all have norm 0.
        order: p, positive; may be inf.
    """
    flat = [np.abs(a.ravel(order="K").astype(np.float64)) for a in arrays if a.size]
    if not flat:
        return 0.0
    if math.isinf(order):
        return float(np.max([np.max(a) for a in flat]))
    return float(np.sum([np.sum(a**order) for a in flat]) ** (1 / order))


def scale_gradients(arrays: Arrays, factor: float) -> None:
    """All arrays times a number, in place."""
    for a in arrays:
        np.multiply(a, a.dtype.type(factor), out=a)


def clamp_gradients(arrays: Arrays, low: float, high: float) -> None:
    """All elements bounded to [low, high], in place."""
    for a in arrays:
        np.clip(a, low, high, out=a)
