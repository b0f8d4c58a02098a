"""Averaged models, their batch norms, and the schedule that goes with them."""

from __future__ import annotations

import numpy as np
import pytest

from pynet import nn, optim
from pynet.autograd import Tensor
from pynet.optim.swa_utils import (
    SWALR,
    AveragedModel,
    get_ema_avg_fn,
    get_ema_multi_avg_fn,
    get_swa_avg_fn,
    update_bn,
)  # fmt: skip


def walk(model, steps=5, seed=0):
    """The model's weights, changed step by step."""
    rng = np.random.default_rng(seed)
    for _ in range(steps):
        for p in model.parameters():
            p.array[...] += rng.normal(size=p.shape)
        yield [p.array.copy() for p in model.parameters()]


@pytest.mark.parametrize("double", [False, True])
@pytest.mark.parametrize(("options", "decay"), [
    ({}, None), ({"avg_fn": get_swa_avg_fn()}, None), ({"avg_fn": get_ema_avg_fn(0.8)}, 0.8),
    ({"multi_avg_fn": get_ema_multi_avg_fn(0.8)}, 0.8), ({"multi_avg_fn": get_ema_multi_avg_fn(0.3)}, 0.3),
])  # fmt: skip
def test_averages(options, decay, double):
    model = nn.Sequential(nn.Conv2d(2, 3, 3), nn.Flatten(), nn.Linear(3, 2))
    model = model.double() if double else model
    averaged = AveragedModel(model, **options)
    want, count = None, 0
    for weights in walk(model):
        averaged.update_parameters(model)
        count += 1
        share = 1 / count if decay is None else 1 - decay
        want = weights if want is None else [a + share * (w - a) for a, w in zip(want, weights, strict=True)]
    assert int(averaged.n_averaged.array) == count
    for p, w in zip(averaged.module.parameters(), want, strict=True):
        np.testing.assert_allclose(p.array, w, rtol=1e-9 if double else 2e-5, atol=1e-6)
    other = AveragedModel(model, **options)
    other.load_state_dict(averaged.state_dict())
    assert int(other.n_averaged.array) == count
    for p, w in zip(other.parameters(), averaged.parameters(), strict=True):
        np.testing.assert_array_equal(p.array, w.array)


def test_buffers_are_copied_or_averaged():
    model = nn.BatchNorm1d(3)
    copied, averaged = AveragedModel(model), AveragedModel(model, use_buffers=True)
    for value in (1.0, 3.0):
        model.running_mean.array[...] = value
        copied.update_parameters(model)
        averaged.update_parameters(model)
    np.testing.assert_allclose(copied.module.running_mean.array, 3)
    np.testing.assert_allclose(averaged.module.running_mean.array, 2)


def test_batch_norms_are_measured_anew():
    rng = np.random.default_rng(0)
    batches = [rng.normal(2, 3, (16, 4)).astype(np.float32) for _ in range(5)]
    model = nn.Sequential(nn.BatchNorm1d(4)).eval()
    model[0].running_mean.array[...] = 77
    update_bn([(b, None) for b in batches], model)
    np.testing.assert_allclose(
        model[0].running_mean.array, np.mean([b.mean(0) for b in batches], 0), rtol=1e-4
    )
    assert model[0].momentum == 0.1 and not model.training


@pytest.mark.parametrize("strategy", ["cos", "linear"])
@pytest.mark.parametrize("epochs", [0, 1, 5])
def test_swalr_equals_pytorch(strategy, epochs):
    torch = pytest.importorskip("torch")
    ours = optim.SGD([Tensor(np.ones(1), requires_grad=True)], lr=0.3)
    theirs = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=0.3)
    mine = SWALR(ours, 0.05, epochs, strategy)
    other = torch.optim.swa_utils.SWALR(theirs, 0.05, epochs, strategy)
    for _ in range(8):
        assert ours.param_groups[0]["lr"] == pytest.approx(theirs.param_groups[0]["lr"], rel=1e-12)
        ours.step()
        theirs.step()
        mine.step()
        other.step()


def test_swalr_ends_at_its_rate():
    optimizer = optim.SGD([Tensor(np.ones(1), requires_grad=True)], lr=0.3)
    schedule = SWALR(optimizer, 0.05, 4)
    rates = []
    for _ in range(6):
        optimizer.step()
        schedule.step()
        rates.append(optimizer.param_groups[0]["lr"])
    np.testing.assert_allclose(
        rates, [0.05 + 0.125 * (1 + np.cos(np.pi * min(1, k / 4))) for k in range(1, 7)]
    )


def test_refusals():
    with pytest.raises(ValueError, match=r"decay must be in \[0, 1\], got 1.5"):
        get_ema_multi_avg_fn(1.5)
    with pytest.raises(ValueError, match="give one"):
        AveragedModel(nn.Linear(1, 1), avg_fn=get_swa_avg_fn(), multi_avg_fn=get_ema_multi_avg_fn())
    with pytest.raises(ValueError, match="other parameters"):
        AveragedModel(nn.Linear(1, 1)).update_parameters(nn.Linear(1, 2))
    with pytest.raises(ValueError, match="anneal_strategy must be 'cos' or 'linear', got 'step'"):
        SWALR(optim.SGD([Tensor(np.ones(1), requires_grad=True)]), 0.1, anneal_strategy="step")
