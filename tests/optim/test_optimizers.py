"""Update rules: twenty steps in float64 against formulas in NumPy, and PyTorch where it is installed."""

from __future__ import annotations

import math

import numpy as np
import pytest

from pynet import optim
from pynet.autograd import Tensor

STEPS = 20


def sgd(p, grads, lr=1e-3, momentum=0.0, dampening=0.0, weight_decay=0.0, nesterov=False, maximize=False):
    v = None
    for g in grads:
        g = (-g if maximize else g) + weight_decay * p
        if momentum:
            v = g.copy() if v is None else momentum * v + (1 - dampening) * g
            g = g + momentum * v if nesterov else v
        p = p - lr * g
    return p


def adagrad(
    p,
    grads,
    lr=1e-2,
    lr_decay=0.0,
    weight_decay=0.0,
    initial_accumulator_value=0.0,
    eps=1e-10,
    maximize=False,
):
    s = np.full_like(p, initial_accumulator_value)
    for t, g in enumerate(grads, 1):
        g = (-g if maximize else g) + weight_decay * p
        s = s + g * g
        p = p - lr / (1 + (t - 1) * lr_decay) * g / (np.sqrt(s) + eps)
    return p


def rmsprop(
    p, grads, lr=1e-2, alpha=0.99, eps=1e-8, weight_decay=0.0, momentum=0.0, centered=False, maximize=False
):
    s, m, b = np.zeros_like(p), np.zeros_like(p), np.zeros_like(p)
    for g in grads:
        g = (-g if maximize else g) + weight_decay * p
        s = alpha * s + (1 - alpha) * g * g
        m = alpha * m + (1 - alpha) * g
        step = g / (np.sqrt(s - m * m if centered else s) + eps)
        b = momentum * b + step
        p = p - lr * (b if momentum else step)
    return p


def adam(
    p,
    grads,
    lr=1e-3,
    betas=(0.9, 0.999),
    eps=1e-8,
    weight_decay=0.0,
    amsgrad=False,
    maximize=False,
    decoupled=False,
):
    m, v, top = np.zeros_like(p), np.zeros_like(p), np.zeros_like(p)
    for t, g in enumerate(grads, 1):
        g = -g if maximize else g
        if decoupled:
            p = p - lr * weight_decay * p
        else:
            g = g + weight_decay * p
        m = betas[0] * m + (1 - betas[0]) * g
        v = betas[1] * v + (1 - betas[1]) * g * g
        top = np.maximum(top, v)
        root = np.sqrt(top if amsgrad else v) / math.sqrt(1 - betas[1] ** t)
        p = p - lr / (1 - betas[0] ** t) * m / (root + eps)
    return p


def adamw(p, grads, weight_decay=1e-2, **options):
    return adam(p, grads, weight_decay=weight_decay, decoupled=True, **options)


def adadelta(p, grads, lr=1.0, rho=0.9, eps=1e-6, weight_decay=0.0, maximize=False):
    s, u = np.zeros_like(p), np.zeros_like(p)
    for g in grads:
        g = (-g if maximize else g) + weight_decay * p
        s = rho * s + (1 - rho) * g * g
        d = np.sqrt((u + eps) / (s + eps)) * g
        u = rho * u + (1 - rho) * d * d
        p = p - lr * d
    return p


def adamax(p, grads, lr=2e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0, maximize=False):
    m, u = np.zeros_like(p), np.zeros_like(p)
    for t, g in enumerate(grads, 1):
        g = (-g if maximize else g) + weight_decay * p
        m = betas[0] * m + (1 - betas[0]) * g
        u = np.maximum(betas[1] * u, abs(g) + eps)
        p = p - lr / (1 - betas[0] ** t) * m / u
    return p


def nadam(
    p, grads, lr=2e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0, momentum_decay=4e-3,
    decoupled_weight_decay=False, maximize=False,
):  # fmt: skip
    m, v, product = np.zeros_like(p), np.zeros_like(p), 1.0
    for t, g in enumerate(grads, 1):
        g = -g if maximize else g
        if decoupled_weight_decay:
            p = p - lr * weight_decay * p
        else:
            g = g + weight_decay * p
        mu, ahead = (betas[0] * (1 - 0.5 * 0.96 ** (k * momentum_decay)) for k in (t, t + 1))
        product *= mu
        m = betas[0] * m + (1 - betas[0]) * g
        v = betas[1] * v + (1 - betas[1]) * g * g
        look = (1 - mu) / (1 - product) * g + ahead / (1 - product * ahead) * m
        p = p - lr * look / (np.sqrt(v / (1 - betas[1] ** t)) + eps)
    return p


def radam(
    p, grads, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0, decoupled_weight_decay=False,
    maximize=False,
):  # fmt: skip
    m, v, most = np.zeros_like(p), np.zeros_like(p), 2 / (1 - betas[1]) - 1
    for t, g in enumerate(grads, 1):
        g = -g if maximize else g
        if decoupled_weight_decay:
            p = p - lr * weight_decay * p
        else:
            g = g + weight_decay * p
        m = betas[0] * m + (1 - betas[0]) * g
        v = betas[1] * v + (1 - betas[1]) * g * g
        rho = most - 2 * t * betas[1] ** t / (1 - betas[1] ** t)
        move = m / (1 - betas[0] ** t)
        if rho > 5:
            r = math.sqrt((rho - 4) * (rho - 2) * most / ((most - 4) * (most - 2) * rho))
            move = move * r * math.sqrt(1 - betas[1] ** t) / (np.sqrt(v) + eps)
        p = p - lr * move
    return p


def lion(p, grads, lr=1e-4, betas=(0.9, 0.99), weight_decay=0.0, maximize=False):
    m = np.zeros_like(p)
    for g in grads:
        g = -g if maximize else g
        p = p - lr * (np.sign(betas[0] * m + (1 - betas[0]) * g) + weight_decay * p)
        m = betas[1] * m + (1 - betas[1]) * g
    return p


def lars(p, grads, lr=1e-3, momentum=0.9, weight_decay=0.0, trust_coefficient=1e-3, eps=1e-8, **options):
    v, maximize = None, options.get("maximize", False)
    for g in grads:
        size, slope = math.sqrt((p * p).sum()), math.sqrt((g * g).sum())
        ratio = trust_coefficient * size / (slope + weight_decay * size + eps)
        g = ratio * ((-g if maximize else g) + weight_decay * p)
        v = g if v is None else momentum * v + (1 - options.get("dampening", 0.0)) * g
        p = p - lr * (g + momentum * v if options.get("nesterov") else v)
    return p


RULES = {
    "SGD": sgd, "Adagrad": adagrad, "RMSprop": rmsprop, "Adam": adam, "AdamW": adamw, "Adadelta": adadelta,
    "Adamax": adamax, "NAdam": nadam, "RAdam": radam, "Lion": lion, "LARS": lars,
}  # fmt: skip
CASES = [
    ("SGD", {}),
    ("SGD", {"lr": 0.1, "weight_decay": 0.01}),
    ("SGD", {"lr": 0.1, "momentum": 0.9}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.3, "weight_decay": 0.02}),
    ("SGD", {"lr": 0.05, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01}),
    ("SGD", {"lr": 0.05, "momentum": 0.5, "maximize": True}),
    ("Adagrad", {}),
    (
        "Adagrad",
        {"lr": 0.1, "lr_decay": 0.05, "weight_decay": 0.01, "initial_accumulator_value": 0.3, "eps": 1e-6},
    ),
    ("Adagrad", {"maximize": True}),
    ("RMSprop", {}),
    ("RMSprop", {"lr": 0.01, "alpha": 0.9, "momentum": 0.8, "weight_decay": 0.01}),
    ("RMSprop", {"lr": 0.01, "alpha": 0.9, "centered": True, "eps": 1e-3}),
    ("RMSprop", {"lr": 0.01, "momentum": 0.5, "centered": True, "eps": 1e-3, "maximize": True}),
    ("Adam", {}),
    ("Adam", {"lr": 0.05, "betas": (0.8, 0.95), "eps": 1e-4, "weight_decay": 0.1}),
    ("Adam", {"lr": 0.05, "amsgrad": True, "maximize": True}),
    ("AdamW", {}),
    ("AdamW", {"lr": 0.05, "weight_decay": 0.2, "amsgrad": True}),
    ("Adadelta", {}),
    ("Adadelta", {"lr": 0.5, "rho": 0.8, "eps": 1e-4, "weight_decay": 0.1, "maximize": True}),
    ("Adamax", {}),
    ("Adamax", {"lr": 0.05, "betas": (0.8, 0.95), "eps": 1e-3, "weight_decay": 0.1, "maximize": True}),
    ("NAdam", {}),
    ("NAdam", {"lr": 0.05, "weight_decay": 0.1, "momentum_decay": 0.1, "maximize": True}),
    ("NAdam", {"lr": 0.05, "weight_decay": 0.1, "decoupled_weight_decay": True, "eps": 1e-3}),
    ("RAdam", {}),
    ("RAdam", {"lr": 0.05, "betas": (0.8, 0.9), "weight_decay": 0.1, "maximize": True}),
    ("RAdam", {"lr": 0.05, "weight_decay": 0.1, "decoupled_weight_decay": True, "eps": 1e-3}),
    ("Lion", {}),
    ("Lion", {"lr": 0.05, "betas": (0.8, 0.9), "weight_decay": 0.1, "maximize": True}),
    ("LARS", {"lr": 1.0}),
    ("LARS", {"lr": 5.0, "weight_decay": 0.1, "nesterov": True, "trust_coefficient": 0.02}),
    ("LARS", {"lr": 5.0, "weight_decay": 0.1, "dampening": 0.2, "maximize": True, "eps": 0.1}),
]
ONLY_HERE = ("Lion", "LARS")


def data(shape=(3, 4), seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=shape), [rng.normal(size=shape) for _ in range(STEPS)]


def run(name, start, grads, options, order="C"):
    """The parameters after all steps, and the optimizer."""
    parameter = Tensor(np.array(start, order=order), requires_grad=True)
    optimizer = getattr(optim, name)([parameter], **options)
    for g in grads:
        parameter.grad = Tensor(np.array(g, order=order))
        optimizer.step()
    return parameter, optimizer


@pytest.mark.parametrize(("name", "options"), CASES)
def test_twenty_steps_equal_the_formula(name, options):
    start, grads = data()
    parameter, _ = run(name, start, grads, options)
    np.testing.assert_allclose(parameter.array, RULES[name](start, grads, **options), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("name", "options"), CASES)
def test_twenty_steps_equal_pytorch(name, options):
    torch = pytest.importorskip("torch")
    if name in ONLY_HERE:
        pytest.skip(f"{name} is not in PyTorch; the formula above is its oracle")
    start, grads = data(seed=1)
    theirs = torch.nn.Parameter(torch.tensor(start))
    optimizer = getattr(torch.optim, name)([theirs], **options)
    for g in grads:
        theirs.grad = torch.tensor(g)
        optimizer.step()
    ours, _ = run(name, start, grads, options)
    # NAdam keeps a product of its momenta in PyTorch's default dtype, float32
    tolerance = 1e-6 if name == "NAdam" else 1e-12
    np.testing.assert_allclose(ours.array, theirs.detach().numpy(), rtol=tolerance, atol=tolerance / 10)


@pytest.mark.parametrize(("name", "options"), CASES)
def test_float32_follows_float64(name, options):
    start, grads = data(seed=2)
    parameter = Tensor(start.astype(np.float32), requires_grad=True)
    optimizer = getattr(optim, name)([parameter], **options)
    for g in grads:
        parameter.grad = Tensor(g.astype(np.float32))
        optimizer.step()
    assert parameter.dtype == np.float32
    np.testing.assert_allclose(parameter.array, RULES[name](start, grads, **options), rtol=1e-3, atol=2e-4)


@pytest.mark.parametrize(("name", "options"), [case for case in CASES if case[1]])
def test_state_has_the_parameters_strides(name, options):
    start, grads = data()
    parameter, optimizer = run(name, start, grads[:2], options, order="F")
    states = [value for value in optimizer.state[parameter].values() if isinstance(value, Tensor)]
    assert states or (name == "SGD" and not options.get("momentum"))
    for value in states:
        assert value.array.strides == parameter.array.strides
    np.testing.assert_allclose(parameter.array, RULES[name](start, grads[:2], **options), rtol=1e-12)


def test_the_array_is_updated_in_place():
    parameter = Tensor(np.ones(3), requires_grad=True)
    array = parameter.array
    parameter.grad = Tensor(np.ones(3))
    optim.SGD([parameter], lr=0.5).step()
    assert parameter.array is array
    np.testing.assert_array_equal(array, [0.5, 0.5, 0.5])


def test_one_native_call_for_all_parameters_of_a_group(monkeypatch):
    from pynet import reference

    calls = []
    monkeypatch.setattr(reference, "adam_step", lambda params, *rest: calls.append(len(params)))
    parameters = [Tensor(np.ones(n), requires_grad=True) for n in (1, 2, 3, 4)]
    for parameter in parameters:
        parameter.grad = Tensor(np.ones(parameter.shape))
    optim.Adam([{"params": parameters[:3]}, {"params": parameters[3:], "lr": 0.1}]).step()
    assert calls == [3, 1]


def test_parameters_without_gradient_are_skipped_and_their_step_counts_stay_behind():
    start, grads = data((4,))
    first, second = Tensor(start.copy(), requires_grad=True), Tensor(start.copy(), requires_grad=True)
    optimizer = optim.Adam([first, second], lr=0.1)
    for i, g in enumerate(grads):
        first.grad = Tensor(g)
        second.grad = Tensor(g) if i % 2 else None
        optimizer.step()
    np.testing.assert_allclose(first.array, adam(start, grads, lr=0.1), rtol=1e-12)
    np.testing.assert_allclose(second.array, adam(start, grads[1::2], lr=0.1), rtol=1e-12)
    assert optimizer.state[first]["step"] == 20
    assert optimizer.state[second]["step"] == 10


def test_momentum_of_a_parameter_that_comes_later_starts_with_its_gradient():
    start, grads = data((2,))
    first, second = Tensor(start.copy(), requires_grad=True), Tensor(start.copy(), requires_grad=True)
    optimizer = optim.SGD([first, second], lr=0.1, momentum=0.9, dampening=0.5)
    for i, g in enumerate(grads):
        first.grad = Tensor(g)
        second.grad = Tensor(g) if i >= 5 else None
        optimizer.step()
    np.testing.assert_allclose(
        second.array, sgd(start, grads[5:], lr=0.1, momentum=0.9, dampening=0.5), rtol=1e-12
    )


def test_groups_of_both_dtypes():
    single, double = (
        Tensor(np.ones(2, np.float32), requires_grad=True),
        Tensor(np.ones(2), requires_grad=True),
    )
    for parameter in (single, double):
        parameter.grad = Tensor(np.ones_like(parameter.array))
    optim.SGD([single, double], lr=0.25).step()
    assert single.array.tolist() == double.array.tolist() == [0.75, 0.75]
    assert (single.dtype, double.dtype) == (np.float32, np.float64)
