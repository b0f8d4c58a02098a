"""Learning-rate schedules against closed forms, alone and chained."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest

from pynet import optim
from pynet.autograd import Tensor
from pynet.optim import lr_scheduler

BASE = (0.8, 0.05)


def optimizer():
    groups = [{"params": [Tensor(np.ones(2), requires_grad=True)], "lr": rate} for rate in BASE]
    return optim.SGD(groups, lr=1.0)


def rates(scheduler, steps):
    """The groups' rates at steps 0 to `steps`."""
    found = [scheduler.get_last_lr()]
    for _ in range(steps):
        scheduler.optimizer.step()
        scheduler.step()
        found.append([group["lr"] for group in scheduler.optimizer.param_groups])
        assert scheduler.get_last_lr() == found[-1]
    return np.array(found)


def cosine(base, t, period, low):
    return low + (base - low) * (1 + math.cos(math.pi * t / period)) / 2


def product(t):
    return math.prod(0.9 + epoch / 100 for epoch in range(1, t + 1))


CLOSED = {
    "StepLR": ({"step_size": 3, "gamma": 0.5}, lambda base, t: base * 0.5 ** (t // 3)),
    "MultiStepLR": (
        {"milestones": [7, 2, 7], "gamma": 0.1},
        lambda base, t: base * 0.1 ** ((t >= 2) + 2 * (t >= 7)),
    ),
    "ExponentialLR": ({"gamma": 0.9}, lambda base, t: base * 0.9**t),
    "LinearLR": ({}, lambda base, t: base * (1 / 3 + (2 / 3) * min(t, 5) / 5)),
    "LinearLR down": (
        {"start_factor": 1.0, "end_factor": 0.0, "total_iters": 4},
        lambda base, t: base * (1 - min(t, 4) / 4),
    ),
    "CosineAnnealingLR": ({"T_max": 10, "eta_min": 0.01}, lambda base, t: cosine(base, t, 10, 0.01)),
    "CosineAnnealingLR over and over": ({"T_max": 3}, lambda base, t: cosine(base, t, 3, 0.0)),
    "CosineAnnealingLR of one": ({"T_max": 1, "eta_min": 0.02}, lambda base, t: cosine(base, t, 1, 0.02)),
    "LambdaLR": ({"lr_lambda": lambda t: 1 / (1 + t)}, lambda base, t: base / (1 + t)),
    "MultiplicativeLR": ({"lr_lambda": lambda t: 0.9 + t / 100}, lambda base, t: base * product(t)),
    "ConstantLR": ({"factor": 0.25, "total_iters": 4}, lambda base, t: base * (0.25 if t < 4 else 1)),
    "PolynomialLR": (
        {"total_iters": 8, "power": 2.0},
        lambda base, t: base * (1 - min(t, 8) / 8) ** 2,
    ),
    "CosineAnnealingWarmRestarts": (
        {"T_0": 4, "T_mult": 2, "eta_min": 0.01},
        lambda base, t: cosine(
            base, t if t < 4 else t - 4 if t < 12 else t - 12, (4, 8, 16)[(t >= 4) + (t >= 12)], 0.01
        ),
    ),
}


def build(name, target):
    options, _ = CLOSED[name]
    return getattr(lr_scheduler, name.split()[0])(target, **options)


@pytest.mark.parametrize("name", CLOSED)
def test_twenty_steps_equal_the_closed_form(name):
    expected = [[CLOSED[name][1](base, t) for base in BASE] for t in range(21)]
    np.testing.assert_allclose(rates(build(name, optimizer()), 20), expected, rtol=1e-10, atol=1e-15)


@pytest.mark.parametrize("name", CLOSED)
def test_twenty_steps_equal_pytorch(name):
    torch = pytest.importorskip("torch")
    groups = [{"params": [torch.nn.Parameter(torch.ones(2))], "lr": rate} for rate in BASE]
    theirs = getattr(torch.optim.lr_scheduler, name.split()[0])(torch.optim.SGD(groups), **CLOSED[name][0])
    np.testing.assert_allclose(rates(build(name, optimizer()), 20), rates(theirs, 20), rtol=1e-12, atol=1e-16)


@pytest.mark.parametrize("name", CLOSED)
def test_a_loaded_schedule_goes_on_as_the_saved_one(name):
    whole = rates(build(name, optimizer()), 12)
    target = optimizer()
    first = build(name, target)
    rates(first, 5)
    state, other = first.state_dict(), optimizer()
    second = build(name, other)
    other.load_state_dict(target.state_dict())
    second.load_state_dict(state)
    np.testing.assert_array_equal(rates(second, 7), whole[5:])


def test_a_function_for_each_group():
    scheduler = lr_scheduler.LambdaLR(optimizer(), [lambda t: 2.0**-t, lambda t: 1.0])
    np.testing.assert_allclose(rates(scheduler, 2), [[0.8, 0.05], [0.4, 0.05], [0.2, 0.05]])
    with pytest.raises(ValueError, match="1 functions were given for 2 parameter groups"):
        lr_scheduler.LambdaLR(optimizer(), [lambda t: 1.0])
    with pytest.raises(TypeError, match="lr_lambda must be callable, got float"):
        lr_scheduler.LambdaLR(optimizer(), 0.5)


def test_callable_objects_are_saved_and_functions_are_not():
    class Decay:
        def __init__(self, rate):
            self.rate = rate

        def __call__(self, t):
            return self.rate**t

    saved = lr_scheduler.LambdaLR(optimizer(), [Decay(0.5), lambda t: 1.0])
    assert saved.state_dict()["lr_lambdas"] == [{"rate": 0.5}, None]
    loaded = lr_scheduler.LambdaLR(optimizer(), [Decay(0.9), lambda t: 1.0])
    loaded.load_state_dict(saved.state_dict())
    assert loaded.lr_lambdas[0].rate == 0.5


def test_two_schedules_multiply_and_a_change_by_hand_is_carried_on():
    target = optimizer()
    warm = lr_scheduler.LinearLR(target, start_factor=0.5, total_iters=2)
    decay = lr_scheduler.ExponentialLR(target, gamma=0.1)
    assert target.param_groups[0]["lr"] == pytest.approx(0.4)
    for _ in range(3):
        target.step()
        warm.step()
        decay.step()
    assert target.param_groups[0]["lr"] == pytest.approx(0.8 * 1e-3)
    target.param_groups[0]["lr"] = 5.0
    decay.step()
    assert decay.get_last_lr()[0] == pytest.approx(0.5)


def test_continuing_needs_the_initial_rates():
    with pytest.raises(KeyError, match="no 'initial_lr'"):
        lr_scheduler.StepLR(optimizer(), 3, last_epoch=4)
    target = optimizer()
    lr_scheduler.CosineAnnealingLR(target, 10)
    scheduler = lr_scheduler.CosineAnnealingLR(target, 10, last_epoch=3)
    assert scheduler.last_epoch == 4
    assert scheduler.get_last_lr() == pytest.approx([cosine(base, 4, 10, 0.0) for base in BASE])


def test_a_step_before_the_optimizers_warns():
    scheduler = lr_scheduler.StepLR(optimizer(), 1)
    with pytest.warns(UserWarning, match=r"called before optimizer.step\(\)"):
        scheduler.step()


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda o: lr_scheduler.StepLR(o, 0), ValueError, "step_size must be at least 1, got 0"),
        (lambda o: lr_scheduler.StepLR(o, 1.5), TypeError, "step_size must be an int, got 1.5"),
        (lambda o: lr_scheduler.CosineAnnealingLR(o, 0), ValueError, "T_max must be at least 1"),
        (
            lambda o: lr_scheduler.LinearLR(o, start_factor=0.0),
            ValueError,
            r"start_factor must be in \(0, 1\]",
        ),
        (lambda o: lr_scheduler.LinearLR(o, end_factor=1.5), ValueError, r"end_factor must be in \[0, 1\]"),
        (lambda o: lr_scheduler.StepLR([o], 1), TypeError, "must be an Optimizer, got list"),
    ],
)
def test_bad_arguments(make, error, message):
    with pytest.raises(error, match=message):
        make(optimizer())


def test_the_state_of_another_schedule_is_refused_whole():
    scheduler = lr_scheduler.StepLR(optimizer(), 3)
    rates(scheduler, 2)
    other = lr_scheduler.ExponentialLR(optimizer(), 0.5).state_dict()
    with pytest.raises(ValueError, match="no 'step_size'"):
        scheduler.load_state_dict(other)
    state = scheduler.state_dict()
    state["base_lrs"] = [1.0]
    state["last_epoch"] = 50
    with pytest.raises(ValueError, match="1 entries in 'base_lrs' for 2 parameter groups"):
        scheduler.load_state_dict(state)
    assert scheduler.last_epoch == 2


def test_cosine_is_smooth_over_its_lowest_point():
    found = rates(lr_scheduler.CosineAnnealingLR(optimizer(), 6), 12)[:, 0]
    steps = np.array([b - a for a, b in pairwise(found)])
    np.testing.assert_allclose(steps[:6], -steps[:5:-1], atol=1e-12)
