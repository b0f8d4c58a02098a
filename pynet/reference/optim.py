"""Optimizer steps: lists of parameters and their state arrays, updated in place; gradients are only read.

In all of them g is the gradient (its negative to maximize) plus weight_decay * p, and t counts steps from 1.

Source:
    Momentum: Polyak 1964. Nesterov momentum: Sutskever et al. 2013. AdaGrad: Duchi et al. 2011, fig. 1.
    RMSprop: Tieleman and Hinton 2012, lecture 6.5; centred: Graves 2013, eq. 38 to 45.
    Adam: Kingma and Ba 2015, Algorithm 1; AMSGrad: Reddi et al. 2018, Algorithm 2.
    AdamW: Loshchilov and Hutter 2019, Algorithm 2. Adamax: Kingma and Ba 2015, Algorithm 2.
    NAdam: Dozat 2016. RAdam: Liu et al. 2020, Algorithm 2. AdaDelta: Zeiler 2012, Algorithm 1.
    Lion: Chen et al. 2023, Algorithm 2. LARS: You, Gitman and Ginsburg 2017, Algorithm 1.
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


@np.errstate(all="ignore")
def adadelta_step(
    params: Arrays,
    grads: Arrays,
    square_avgs: Arrays,
    acc_deltas: Arrays,
    lr: float,
    rho: float,
    eps: float,
    weight_decay: float,
    maximize: bool,
) -> None:
    """Step of AdaDelta: d = sqrt(u + eps) / sqrt(s + eps) * g; p -= lr * d.

    Args:
        params: updated.
        grads: of the params' shapes.
        square_avgs: s = rho * s + (1 - rho) * g^2, updated.
        acc_deltas: u = rho * u + (1 - rho) * d^2, updated after its use.
        lr: learning rate.
        rho: of the running means.
        eps: keeps the quotient finite and the first step from being 0.
        weight_decay: factor of the L2 penalty's gradient.
        maximize: ascend instead.
    """
    for param, grad, s, u in zip(params, grads, square_avgs, acc_deltas, strict=True):
        g = _gradient(param, grad, weight_decay, maximize)
        s[...] = rho * s + (1 - rho) * (g * g)
        delta = np.sqrt(u + eps) / np.sqrt(s + eps) * g
        u[...] = rho * u + (1 - rho) * (delta * delta)
        param -= lr * delta


@np.errstate(all="ignore")
def adamax_step(
    params: Arrays,
    grads: Arrays,
    exp_avgs: Arrays,
    exp_infs: Arrays,
    step_size: float,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
    maximize: bool,
) -> None:
    """Step of Adamax: p -= step_size * m / u.

    Args:
        params: updated.
        grads: of the params' shapes.
        exp_avgs: m = beta1 * m + (1 - beta1) * g, updated.
        exp_infs: u = max(beta2 * u, |g| + eps), updated.
        step_size: lr / (1 - beta1^t).
        beta1: of the mean.
        beta2: of the decaying maximum.
        eps: keeps the quotient finite.
        weight_decay: factor of the L2 penalty's gradient.
        maximize: ascend instead.
    """
    for param, grad, m, u in zip(params, grads, exp_avgs, exp_infs, strict=True):
        g = _gradient(param, grad, weight_decay, maximize)
        m += (1 - beta1) * (g - m)
        u[...] = np.maximum(beta2 * u, np.abs(g) + eps)
        param -= step_size * (m / u)


@np.errstate(all="ignore")
def nadam_step(
    params: Arrays,
    grads: Arrays,
    exp_avgs: Arrays,
    exp_avg_sqs: Arrays,
    grad_size: float,
    average_size: float,
    root_correction: float,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
    shrink: float,
    maximize: bool,
) -> None:
    """Step of NAdam: p = shrink * p - (grad_size * g + average_size * m) / (sqrt(v) / root_correction + eps).

    Args:
        params: updated.
        grads: of the params' shapes.
        exp_avgs: m = beta1 * m + (1 - beta1) * g, updated.
        exp_avg_sqs: v = beta2 * v + (1 - beta2) * g^2, updated.
        grad_size: lr * (1 - mu_t) / (1 - product of mu_1 .. mu_t).
        average_size: lr * mu_(t+1) / (1 - product of mu_1 .. mu_(t+1)).
        root_correction: sqrt(1 - beta2^t).
        beta1: of the mean.
        beta2: of the mean square.
        eps: keeps the quotient finite.
        weight_decay: factor of the L2 penalty's gradient.
        shrink: 1 - lr * weight decay where that is decoupled, else 1.
        maximize: ascend instead.
    """
    for param, grad, m, v in zip(params, grads, exp_avgs, exp_avg_sqs, strict=True):
        g = _gradient(param, grad, weight_decay, maximize)
        m += (1 - beta1) * (g - m)
        v[...] = beta2 * v + (1 - beta2) * (g * g)
        move = (grad_size * g + average_size * m) / (np.sqrt(v) / root_correction + eps)
        param[...] = param * shrink - move


@np.errstate(all="ignore")
def radam_step(
    params: Arrays,
    grads: Arrays,
    exp_avgs: Arrays,
    exp_avg_sqs: Arrays,
    step_size: float,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
    shrink: float,
    rectified: bool,
    maximize: bool,
) -> None:
    """Step of RAdam: p = shrink * p - step_size * m / (sqrt(v) + eps), or without the division.

    Args:
        params: updated.
        grads: of the params' shapes.
        exp_avgs: m = beta1 * m + (1 - beta1) * g, updated.
        exp_avg_sqs: v = beta2 * v + (1 - beta2) * g^2, updated.
        step_size: with all corrections.
        beta1: of the mean.
        beta2: of the mean square.
        eps: keeps the quotient finite.
        weight_decay: factor of the L2 penalty's gradient.
        shrink: 1 - lr * weight decay where that is decoupled, else 1.
        rectified: divide; False in the first steps, when v is still too uncertain.
        maximize: ascend instead.
    """
    for param, grad, m, v in zip(params, grads, exp_avgs, exp_avg_sqs, strict=True):
        g = _gradient(param, grad, weight_decay, maximize)
        m += (1 - beta1) * (g - m)
        v[...] = beta2 * v + (1 - beta2) * (g * g)
        param[...] = param * shrink - step_size * (m / (np.sqrt(v) + eps) if rectified else m)


@np.errstate(all="ignore")
def lion_step(
    params: Arrays,
    grads: Arrays,
    exp_avgs: Arrays,
    lr: float,
    beta1: float,
    beta2: float,
    weight_decay: float,
    maximize: bool,
) -> None:
    """Step of Lion: p = (1 - lr * weight_decay) * p - lr * sign(beta1 * m + (1 - beta1) * g).

    Args:
        params: updated.
        grads: of the params' shapes.
        exp_avgs: m = beta2 * m + (1 - beta2) * g, updated after its use.
        lr: learning rate.
        beta1: of the mean that the step follows.
        beta2: of the mean that is kept.
        weight_decay: decoupled.
        maximize: ascend instead.
    """
    for param, grad, m in zip(params, grads, exp_avgs, strict=True):
        g = _gradient(param, grad, 0.0, maximize)
        move = lr * np.sign(m + (1 - beta1) * (g - m))
        m += (1 - beta2) * (g - m)
        param[...] = param * (1 - lr * weight_decay) - move


@np.errstate(all="ignore")
def lars_step(
    params: Arrays,
    grads: Arrays,
    momentum_buffers: Arrays | None,
    lr: float,
    momentum: float,
    dampening: float,
    weight_decay: float,
    nesterov: bool,
    trust_coefficient: float,
    eps: float,
    maximize: bool,
    first: bool,
) -> None:
    """Step of LARS: sgd_step with each parameter's g, decay included, times a ratio of norms.

    The ratio is trust_coefficient * |p| / (|gradient| + weight_decay * |p| + eps), and 1 where a norm is 0.

    Args:
        params: updated.
        grads: of the params' shapes.
        momentum_buffers, lr, momentum, dampening, weight_decay, nesterov, maximize, first: as for sgd_step.
        trust_coefficient: the ratio of the step's length to the parameter's, at learning rate 1.
        eps: keeps the quotient finite.
    """
    for i, (param, grad) in enumerate(zip(params, grads, strict=True)):
        size, slope = gradient_norm([param], 2.0), gradient_norm([grad], 2.0)
        adapts = size != 0 and slope != 0
        ratio = trust_coefficient * size / (slope + weight_decay * size + eps) if adapts else 1.0
        g = ratio * _gradient(param, grad, weight_decay, maximize)
        buffers = None if momentum == 0 else [_state(momentum_buffers, i)]
        sgd_step([param], [g], buffers, lr, momentum, dampening, 0.0, nesterov, False, first)


def lerp(arrays: Arrays, targets: Arrays, weight: float) -> None:
    """All arrays moved towards the targets, in place: (1 - weight) * array + weight * target.

    Args:
        arrays: updated.
        targets: of the arrays' shapes.
        weight: 0 leaves the arrays, 1 copies the targets, both exactly.
    """
    for a, to in zip(arrays, targets, strict=True):
        a[...] = a + weight * (to - a) if weight < 0.5 else to - (to - a) * (1 - weight)


def soft_threshold(arrays: Arrays, threshold: float) -> None:
    """|x| less `threshold`, not below 0, with x's sign, in place: the prox of threshold * |x|."""
    if not threshold >= 0:
        raise ValueError(f"soft_threshold: threshold is {threshold}, it must not be negative")
    for a in arrays:
        a[...] = np.sign(a) * np.maximum(np.abs(a) - threshold, 0)


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
