"""`check_initial_loss`, `overfit_small` and `lr_finder`: what they find, and that they change nothing."""

from __future__ import annotations

import math

import numpy as np
import pytest

import pynet
from pynet import analysis, data, nn, optim
from pynet.nn import functional as F

RNG = np.random.default_rng(0)
X = RNG.normal(size=(300, 8)).astype(np.float32)
LABELS = (np.abs(X[:, 0]) + X[:, 1] > 0.8).astype(np.int64) + 2 * (X[:, 2] > 0)


def net(outputs, scale=1.0):
    pynet.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, outputs))
    model[2].weight.array[...] *= scale
    return model


@pytest.mark.parametrize(
    ("loss", "outputs", "targets", "expected"),
    [
        (nn.CrossEntropyLoss(), 4, LABELS, math.log(4)),
        (nn.CrossEntropyLoss(label_smoothing=0.1), 4, LABELS, math.log(4)),
        (nn.CrossEntropyLoss(reduction="sum"), 4, LABELS, 300 * math.log(4)),
        (F.cross_entropy, 4, LABELS, math.log(4)),
        (lambda o, t: F.cross_entropy(o, t), 4, LABELS, math.log(4)),
        (nn.MultiMarginLoss(), 4, LABELS, 3 / 4),
        (nn.MultiMarginLoss(p=2, margin=2.0), 4, LABELS, 4 * 3 / 4),
        (lambda o, t: 4 * F.multi_margin_loss(o, t), 4, LABELS, 3),  # summed over classes: C - 1 margins
        (nn.BCEWithLogitsLoss(), 1, (X[:, :1] > 0).astype(np.float32), math.log(2)),
        (nn.MSELoss(), 1, X[:, 3:4] * 3 - (3 * X[:, 3:4]).mean(), float((3 * X[:, 3]).var())),
        (nn.L1Loss(), 2, X[:, 3:5], float(np.abs(X[:, 3:5]).mean())),
    ],
    ids=lambda value: getattr(value, "__name__", type(value).__name__),
)
def test_expected_losses(loss, outputs, targets, expected):
    found = analysis.check_initial_loss(net(outputs, 0.1), (X, targets), loss)
    assert found.expected == pytest.approx(expected, rel=1e-4)
    assert found.ok and found.factor == pytest.approx(1, abs=0.1) and not found.learnt
    assert "as it should be" in str(found)


def test_log_probabilities_and_probabilities():
    model = nn.Sequential(net(4, 0.1), nn.LogSoftmax(1))
    found = analysis.check_initial_loss(model, (X, LABELS), nn.NLLLoss())
    assert found.expected == pytest.approx(math.log(4), rel=1e-5) and found.ok
    model = nn.Sequential(net(1, 0.1), nn.Sigmoid())
    found = analysis.check_initial_loss(model, (X, (X[:, :1] > 0).astype(np.float32)), nn.BCELoss())
    assert found.expected == pytest.approx(math.log(2), rel=1e-5) and found.ok


def test_a_loss_that_begins_wrong():
    found = analysis.check_initial_loss(net(4, 100.0), (X, LABELS), nn.CrossEntropyLoss())
    assert not found.ok and found.factor > 5 and "confident before training" in str(found)
    found = analysis.check_initial_loss(net(4), (100 * X, LABELS), nn.CrossEntropyLoss())
    assert not found.ok and "standardise" in found.cause
    found = analysis.check_initial_loss(net(4, 0.1), (X, LABELS), nn.NLLLoss())
    assert not found.ok and found.factor < 0.5
    model = net(4)
    model[0].weight.array[0, 0] = np.inf
    found = analysis.check_initial_loss(model, (X, LABELS), nn.CrossEntropyLoss())
    assert not found.ok and "overflow" in found.cause


def trained(steps=300):
    model = net(4)
    optimizer = optim.Adam(model.parameters(), lr=0.02)
    for _ in range(steps):
        optimizer.zero_grad()
        nn.CrossEntropyLoss()(model(pynet.from_numpy(X)), pynet.from_numpy(LABELS)).backward()
        optimizer.step()
    return model


def test_a_trained_model_is_recognised():
    found = analysis.check_initial_loss(trained(), (X, LABELS), nn.CrossEntropyLoss())
    assert found.ok and found.learnt and "learnt already" in str(found)


def test_overfit_small():
    result = analysis.overfit_small(net(4), (X, LABELS), nn.CrossEntropyLoss())
    assert result.ok and result.samples == 20 and result.accuracy == 1 and result.steps <= 150
    assert result.losses[-1] < result.losses[0] and "20 samples learnt" in str(result)
    assert analysis.overfit_small(net(2), (X, X[:, 3:5]), nn.MSELoss()).ok
    same = np.zeros_like(X)
    failed = analysis.overfit_small(net(4), (same, LABELS), nn.CrossEntropyLoss())
    assert not failed.ok and failed.accuracy < 1 and "NOT learnt" in str(failed)
    frozen = net(4)
    for p in frozen.parameters():
        p.requires_grad = False
    assert not analysis.overfit_small(frozen, (X, LABELS), nn.CrossEntropyLoss()).ok


def test_overfit_ignores_dropout_and_label_smoothing():
    model = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Dropout(0.9), nn.Linear(64, 4))
    assert analysis.overfit_small(model, (X, LABELS), nn.CrossEntropyLoss(label_smoothing=0.2)).ok
    assert model[2].training


def test_lr_finder_brackets_the_rates_that_work():
    loss = nn.CrossEntropyLoss()
    model = net(4)
    found = analysis.lr_finder(model, (X, LABELS), loss, lambda ps: optim.SGD(ps, lr=1.0))
    assert 1e-3 < found.suggestion < 2 and found.suggestion == min(found.steepest, found.tenth)
    assert len(found.rates) == len(found.losses) == len(found.smoothed)
    assert np.allclose(np.diff(np.log(found.rates)), np.log(found.rates[1] / found.rates[0]))
    adam = analysis.lr_finder(model, (X, LABELS), loss)
    assert 1e-4 < adam.suggestion < 0.3 and f"{adam.suggestion:.1e}" in str(adam)


def test_lr_finder_says_when_there_is_nothing_to_find():
    labels = RNG.integers(0, 4, 300)
    found = analysis.lr_finder(net(4), (np.zeros_like(X), labels), nn.CrossEntropyLoss())
    assert found.suggestion is None and "none suggested" in str(found)
    assert analysis.lr_finder(trained(), (X, LABELS), nn.CrossEntropyLoss()).suggestion is None


@pytest.mark.parametrize("name", ["check_initial_loss", "overfit_small", "lr_finder"])
def test_nothing_is_changed(name):
    model = nn.Sequential(nn.Linear(8, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(), nn.Linear(16, 4))
    model[1].eval()
    optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    loss = nn.CrossEntropyLoss()
    loss(model(pynet.from_numpy(X)), pynet.from_numpy(LABELS)).backward()
    optimizer.step()
    loader = data.DataLoader(data.ArrayDataset(X, LABELS), 32, shuffle=True)
    next(iter(loader))
    arguments = (model, loader, loss, *([optimizer] if name == "lr_finder" else []))

    def state():
        arrays = [array.numpy().tobytes() for array in model.state_dict().values()]
        arrays += [p.grad.numpy().tobytes() for p in model.parameters()]
        arrays += [
            v.numpy().tobytes() for s in optimizer.state.values() for v in s.values() if hasattr(v, "numpy")
        ]
        rest = [loader.state_dict(), pynet.get_rng_state(), [m.training for m in model.modules()]]
        return arrays, str(rest), optimizer.param_groups[0]["lr"], str(np.random.get_state())

    before = state()
    getattr(analysis, name)(*arguments)
    assert state() == before


def test_loaders_of_many_kinds():
    """Pairs, data sets, loaders and plain iterables of batches give the same answer."""
    loss = nn.CrossEntropyLoss()
    batches = [(X[i : i + 100], LABELS[i : i + 100]) for i in range(0, 300, 100)]
    kinds = [
        (X, LABELS), (X.astype(np.float64), LABELS), data.ArrayDataset(X, LABELS), batches,
        data.DataLoader(data.ArrayDataset(X, LABELS), 50),
        data.DataLoader(data.ArrayDataset(X, LABELS), 50, collate_fn=data.default_collate),
        data.DataLoader(data.ArrayDataset(X, LABELS), 50, collate_fn=lambda p: data.default_collate(p)),
    ]  # fmt: skip
    losses = {analysis.check_initial_loss(net(4), kind, loss).loss for kind in kinds}
    assert len(losses) == 1


def test_sorted_data_gives_some_of_each_class():
    order = np.argsort(LABELS)
    result = analysis.overfit_small(
        net(4), (X[order], LABELS[order]), nn.CrossEntropyLoss(), samples=8, steps=1
    )
    assert result.samples == 8 and result.accuracy < 1


def test_float64_models():
    model = net(4).double()
    assert analysis.check_initial_loss(model, (X, LABELS), nn.CrossEntropyLoss()).ok
    assert analysis.overfit_small(model, (X, LABELS), nn.CrossEntropyLoss(), samples=5).ok


@pytest.mark.parametrize("call", [analysis.check_initial_loss, analysis.overfit_small, analysis.lr_finder])
def test_bad_calls(call):
    loss = nn.CrossEntropyLoss()
    with pytest.raises(TypeError, match=f"{call.__name__}: model must be a Module"):
        call(None, (X, LABELS), loss)
    with pytest.raises(ValueError, match=rf"{call.__name__}: 300 inputs and 299 targets"):
        call(net(4), (X, LABELS[1:]), loss)
    with pytest.raises(ValueError, match=r"must be a pair \(inputs, targets\), got ndarray"):
        call(net(4), [X, X, X], loss)


def test_bad_ranges():
    loss = nn.CrossEntropyLoss()
    with pytest.raises(ValueError, match="start and end must be positive and rising, not 1 and 0"):
        analysis.lr_finder(net(4), (X, LABELS), loss, start=1, end=0.1)
    with pytest.raises(ValueError, match="steps must be at least 10"):
        analysis.lr_finder(net(4), (X, LABELS), loss, steps=3)


def test_pictures(tmp_path):
    pytest.importorskip("matplotlib")
    found = analysis.lr_finder(net(4), (X, LABELS), nn.CrossEntropyLoss())
    found.plot(tmp_path / "rates.png")
    stats = analysis.activation_stats(net(4), X, LABELS, nn.CrossEntropyLoss())
    stats.plot(tmp_path / "activations.png")
    for name in ("rates", "activations"):
        assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")
