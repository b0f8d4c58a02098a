"""Schedules that move momentum too, that listen to a metric, and that are made of others."""

from __future__ import annotations

import math

import numpy as np
import pytest

from pynet import optim
from pynet.autograd import Tensor
from pynet.optim import lr_scheduler as pynet_lr

BASE = (0.8, 0.05)


def optimizer(kind="SGD", **options):
    groups = [{"params": [Tensor(np.ones(2), requires_grad=True)], "lr": rate} for rate in BASE]
    return getattr(optim, kind)(groups, lr=1.0, **options)


def momentum_of(group):
    return group["betas"][0] if "betas" in group else group["momentum"]


def curve(scheduler, steps, *metrics):
    """Rate and momentum of both groups at steps 0 to `steps`."""
    groups = scheduler.optimizer.param_groups
    found = [[(g["lr"], momentum_of(g)) for g in groups]]
    for step in range(steps):
        scheduler.optimizer.step()
        scheduler.step(*[m[step] for m in metrics])
        assert scheduler.get_last_lr() == [g["lr"] for g in groups]
        found.append([(g["lr"], momentum_of(g)) for g in groups])
    return np.array(found)


def sequential(lr, target):
    warm = lr.LinearLR(target, start_factor=0.1, total_iters=5)
    main = lr.CosineAnnealingLR(target, T_max=20, eta_min=0.001)
    return lr.SequentialLR(target, [warm, main, lr.ExponentialLR(target, 0.9)], [5, 25])


def chained(lr, target):
    return lr.ChainedScheduler([lr.LinearLR(target, 0.2, total_iters=6), lr.StepLR(target, 4, 0.5)])


BUILD = {
    "CyclicLR": lambda lr, o: lr.CyclicLR(o, 0.01, [0.1, 1.0], step_size_up=5, step_size_down=3),
    "CyclicLR triangular2": lambda lr, o: lr.CyclicLR(o, 0.01, 0.1, 4, mode="triangular2"),
    "CyclicLR exp_range": lambda lr, o: lr.CyclicLR(o, 0.01, 0.1, 4, mode="exp_range", gamma=0.97),
    "CyclicLR function": lambda lr, o: lr.CyclicLR(
        o, 0.0, 1.0, 3, scale_fn=lambda c: 1 / c, base_momentum=0.5
    ),
    "OneCycleLR": lambda lr, o: lr.OneCycleLR(o, [0.5, 1.0], total_steps=41),
    "OneCycleLR linear": lambda lr, o: lr.OneCycleLR(
        o, 0.5, epochs=5, steps_per_epoch=9, anneal_strategy="linear", pct_start=0.4, div_factor=10.0
    ),
    "OneCycleLR three": lambda lr, o: lr.OneCycleLR(o, 0.5, total_steps=44, three_phase=True),
    "SequentialLR": sequential,
    "ChainedScheduler": chained,
}


@pytest.mark.parametrize("name", BUILD)
@pytest.mark.parametrize("kind", ["SGD", "Adam"])
def test_forty_steps_equal_pytorch(name, kind):
    torch = pytest.importorskip("torch")
    options = {"momentum": 0.7} if kind == "SGD" else {}
    groups = [{"params": [torch.nn.Parameter(torch.ones(2))], "lr": rate} for rate in BASE]
    theirs = BUILD[name](torch.optim.lr_scheduler, getattr(torch.optim, kind)(groups, **options))
    ours = BUILD[name](pynet_lr, optimizer(kind, **options))
    np.testing.assert_allclose(curve(ours, 40), curve(theirs, 40), rtol=1e-10, atol=1e-15)


@pytest.mark.parametrize("name", BUILD)
def test_a_loaded_schedule_goes_on_as_the_saved_one(name):
    whole = curve(BUILD[name](pynet_lr, optimizer(momentum=0.7)), 24)
    target = optimizer(momentum=0.7)
    first = BUILD[name](pynet_lr, target)
    curve(first, 11)
    other = optimizer(momentum=0.7)
    second = BUILD[name](pynet_lr, other)
    other.load_state_dict(target.state_dict())
    second.load_state_dict(first.state_dict())
    np.testing.assert_array_equal(curve(second, 13), whole[11:])


def test_a_triangle_meets_its_corners():
    found = curve(pynet_lr.CyclicLR(optimizer(momentum=0.5), 0.1, 1.1, 4, 2), 12)[:, 0]
    np.testing.assert_allclose(found[[0, 2, 4, 5, 6, 10, 12], 0], [0.1, 0.6, 1.1, 0.6, 0.1, 1.1, 0.1])
    np.testing.assert_allclose(found[[0, 2, 4, 6], 1], [0.9, 0.85, 0.8, 0.9])


def test_one_cycle_starts_peaks_and_ends_where_it_should():
    found = curve(pynet_lr.OneCycleLR(optimizer("Adam"), 1.0, total_steps=101), 100)[:, 0]
    peak = int(found[:, 0].argmax())
    assert found[0, 0] == pytest.approx(1 / 25) and found[-1, 0] == pytest.approx(1 / 25e4)
    assert peak in (29, 30) and found[peak, 1] == pytest.approx(0.85, abs=1e-3)
    assert found[0, 1] == pytest.approx(0.95) and found[-1, 1] == pytest.approx(0.95)


def test_one_cycle_refuses_more_steps_than_planned():
    scheduler = pynet_lr.OneCycleLR(optimizer(momentum=0.5), 1.0, total_steps=3)
    with pytest.raises(ValueError, match="step 4 of a cycle of 3"):
        curve(scheduler, 4)


def test_warm_up_then_cosine():
    found = curve(sequential(pynet_lr, optimizer(momentum=0.5)), 30)[:, 0, 0]
    np.testing.assert_allclose(found[:5], 0.8 * np.linspace(0.1, 1, 6)[:5])
    expected = [0.001 + 0.799 * (1 + math.cos(math.pi * t / 20)) / 2 for t in range(20)]
    np.testing.assert_allclose(found[5:25], expected)
    np.testing.assert_allclose(found[25:], 0.8 * 0.9 ** np.arange(6))


def test_schedules_of_schedules_may_be_nested():
    target = optimizer(momentum=0.5)
    inner = pynet_lr.SequentialLR(
        target, [pynet_lr.ConstantLR(target, 0.5, 99), pynet_lr.ExponentialLR(target, 0.5)], [2]
    )
    outer = pynet_lr.SequentialLR(target, [pynet_lr.ConstantLR(target, 0.1, 99), inner], [3])
    np.testing.assert_allclose(curve(outer, 7)[:, 0, 0] / 0.8, [0.1, 0.1, 0.1, 0.5, 0.5, 1, 0.5, 0.25])


METRICS = [
    1.0,
    0.9,
    0.95,
    0.91,
    0.9,
    0.89995,
    0.5,
    0.6,
    0.6,
    0.6,
    0.6,
    0.6,
    0.6,
    0.4,
    0.4,
    0.4,
    0.4,
    0.4,
    0.4,
    0.4,
]
PLATEAUS = (
    {"patience": 2},
    {"patience": 1, "cooldown": 3, "factor": 0.5},
    {"patience": 0, "min_lr": [0.3, 0.01]},
    {"patience": 1, "mode": "max", "threshold": 0.05, "threshold_mode": "abs"},
    {"patience": 1, "mode": "max", "threshold": 0.1},
)


@pytest.mark.parametrize("options", PLATEAUS)
def test_a_plateau_equals_pytorch(options):
    torch = pytest.importorskip("torch")
    groups = [{"params": [torch.nn.Parameter(torch.ones(2))], "lr": rate} for rate in BASE]
    theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(torch.optim.SGD(groups), **options)
    ours = pynet_lr.ReduceLROnPlateau(optimizer(), **options)
    np.testing.assert_allclose(curve(ours, 20, METRICS), curve(theirs, 20, METRICS), rtol=1e-12, atol=1e-16)


def test_a_plateau_waits_reduces_and_is_saved():
    scheduler = pynet_lr.ReduceLROnPlateau(optimizer(), patience=1, factor=0.5)
    found = curve(scheduler, 6, [1.0, 1.0, 1.0, 1.0, 1.0, 1.0])[:, 0, 0]
    np.testing.assert_allclose(found, [0.8, 0.8, 0.8, 0.4, 0.4, 0.2, 0.2])
    other = pynet_lr.ReduceLROnPlateau(optimizer(), patience=1, factor=0.5)
    other.load_state_dict(scheduler.state_dict())
    assert other.best == 1.0 and other.num_bad_epochs == scheduler.num_bad_epochs


BAD = {
    "no schedule": (lambda o: pynet_lr.ChainedScheduler([]), "at least one schedule"),
    "milestones": (
        lambda o: pynet_lr.SequentialLR(o, [pynet_lr.StepLR(o, 1)], [3]),
        "need 0 milestones, got 1",
    ),
    "metric": (
        lambda o: pynet_lr.ChainedScheduler([pynet_lr.ReduceLROnPlateau(o)]),
        "whose step\\(\\) needs a metric",
    ),
    "other": (
        lambda o: pynet_lr.SequentialLR(o, [pynet_lr.StepLR(optimizer(), 1)], []),
        "belongs to another optimizer",
    ),
    "momentum": (
        lambda o: pynet_lr.CyclicLR(optimizer("Adagrad"), 0.1, 1.0),
        "neither momentum nor betas; pass cycle_momentum=False",
    ),
    "mode": (lambda o: pynet_lr.CyclicLR(o, 0.1, 1.0, mode="square"), "got 'square'"),
    "values": (lambda o: pynet_lr.OneCycleLR(o, [1.0], total_steps=3), "1 values of max_lr were given for 2"),
    "steps": (lambda o: pynet_lr.OneCycleLR(o, 1.0, epochs=3), "give total_steps, or both"),
    "share": (lambda o: pynet_lr.OneCycleLR(o, 1.0, 5, pct_start=1.5), r"\[0, 1\], got 1.5"),
    "factor": (lambda o: pynet_lr.ReduceLROnPlateau(o, factor=1.0), "factor must be below 1, got 1.0"),
    "plateau mode": (lambda o: pynet_lr.ReduceLROnPlateau(o, mode="least"), "'min' or 'max', got 'least'"),
    "restart": (lambda o: pynet_lr.CosineAnnealingWarmRestarts(o, 0), "T_0 must be at least 1, got 0"),
    "constant": (lambda o: pynet_lr.ConstantLR(o, 1.5), r"\[0, 1\], got 1.5"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_arguments(name):
    build, message = BAD[name]
    with pytest.raises(ValueError, match=message):
        build(optimizer(momentum=0.5))


def test_restarts_at_fractions_of_an_epoch():
    scheduler = pynet_lr.CosineAnnealingWarmRestarts(optimizer(), 2, 2)
    scheduler.optimizer.step()
    for epoch, height in ((0.5, 0.25), (1.0, 0.5), (2.0, 0.0), (4.0, 0.5), (6.0, 0.0), (8.0, 0.25)):
        scheduler.step(epoch)
        expected = 0.8 * (1 + math.cos(math.pi * height)) / 2
        assert scheduler.get_last_lr()[0] == pytest.approx(expected), epoch
    with pytest.raises(ValueError, match="at least 0, got -1"):
        scheduler.step(-1)
