"""Ensembles: averages of outputs and of weights, their files, and snapshots of one training."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import numpy as np
import pytest

import pynet
from pynet import nn, optim
from pynet.data import ArrayDataset, DataLoader
from pynet.io import save_file
from pynet.optim.lr_scheduler import CosineAnnealingWarmRestarts, ExponentialLR
from pynet.train import SnapshotEnsemble, Trainer

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"


def make():
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 8), nn.Tanh(), nn.Linear(8, 3))


def models(count=3):
    pynet.manual_seed(0)
    return [make() for _ in range(count)]


def inputs(count=5):
    return pynet.from_numpy(np.random.default_rng(0).normal(size=(count, 1, 4, 4)).astype(np.float32))


def softmax(logits):
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("weights", [None, [1, 2, 5]])
def test_averages(weights):
    members = models()
    with pynet.no_grad():
        outputs = np.array([model(inputs()).numpy() for model in members], np.float64)
        by_probability = pynet.Ensemble(members, weights=weights)(inputs()).numpy()
        by_logit = pynet.Ensemble(members, "logits", weights)(inputs()).numpy()
    shares = weights or [1, 1, 1]
    expected = np.average([softmax(out) for out in outputs], axis=0, weights=shares)
    assert np.allclose(by_probability, np.log(expected), atol=1e-6)
    assert np.allclose(by_logit, np.average(outputs, axis=0, weights=shares), atol=1e-6)


def test_hopeless_classes_stay_finite():
    """Logits so far apart that a probability is 0 in float32."""
    logits = pynet.tensor([[0.0, -300.0, 300.0]])
    pair = pynet.Ensemble([nn.Identity(), nn.Identity()])
    assert np.allclose(pair(logits).numpy(), [[-300, -600, 0]], atol=1e-3)


def test_it_is_a_module_like_any_other():
    ensemble = pynet.Ensemble(models()).eval()
    assert len(ensemble) == len(list(ensemble)) == 3 and "average='probabilities'" in repr(ensemble)
    compiled = pynet.inference(ensemble)(inputs())
    with pynet.no_grad():
        assert np.allclose(compiled.numpy(), ensemble(inputs()).numpy(), atol=1e-6)
    double = pynet.Ensemble(models()).double()
    x = pynet.tensor(inputs().numpy().astype(np.float64), requires_grad=True)
    assert pynet.gradcheck(double, (x,))


def test_files(tmp_path):
    ensemble = pynet.Ensemble(models(), "logits", [3, 1, 1]).eval()
    ensemble.save(tmp_path / "a.safetensors")
    loaded = pynet.Ensemble.load(tmp_path / "a.safetensors", make)
    with pynet.no_grad():
        assert np.array_equal(loaded(inputs()).numpy(), ensemble(inputs()).numpy())
    assert loaded.average == "logits" and not loaded.training and not loaded.models[0].training
    save_file(make().state_dict(), tmp_path / "one.safetensors")
    with pytest.raises(ValueError, match=r"one.safetensors holds no ensemble"):
        pynet.Ensemble.load(tmp_path / "one.safetensors", make)


def test_the_mean_of_the_weights():
    members = models()
    before = [parameter.detach().numpy().copy() for parameter in members[0].parameters()]
    mean = pynet.Ensemble(members, weights=[1, 2, 5]).averaged()
    for parameters in zip(mean.parameters(), *(model.parameters() for model in members), strict=True):
        average, *own = (parameter.detach().numpy() for parameter in parameters)
        assert np.allclose(average, np.average(own, axis=0, weights=[1, 2, 5]), atol=1e-6)
    after = [parameter.detach().numpy() for parameter in members[0].parameters()]
    assert all(map(np.array_equal, before, after))


def test_the_mean_measures_batch_norm_anew():
    members = [nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3)) for _ in range(2)]
    batch = np.random.default_rng(0).normal(3, 2, (50, 4)).astype(np.float32)
    mean = pynet.Ensemble(members).averaged([batch])
    with pynet.no_grad():
        expected = mean[0](pynet.from_numpy(batch)).numpy().mean(axis=0)
    assert np.allclose(mean[1].running_mean.numpy(), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: pynet.Ensemble([]), "there is no model"),
        (
            lambda: pynet.Ensemble(models(), "votes"),
            "average must be 'probabilities' or 'logits', not 'votes'",
        ),
        (lambda: pynet.Ensemble(models(), weights=[1, 2]), "3 models but 2 weights"),
        (lambda: pynet.Ensemble(models(), weights=[1, 0, 1]), "must be greater than 0"),
    ],
)
def test_what_is_refused(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def training(snapshots, interval="step", T_0=3, accumulate_grad_batches=1, **schedule):
    pynet.manual_seed(0)
    rng = np.random.default_rng(0)
    dataset = ArrayDataset(rng.normal(size=(40, 1, 4, 4)).astype(np.float32), np.arange(40) % 3)
    model = make()
    sgd = optim.SGD(model.parameters(), lr=0.1)
    trainer = Trainer(
        model, nn.CrossEntropyLoss(), sgd, scheduler=CosineAnnealingWarmRestarts(sgd, T_0, **schedule),
        scheduler_interval=interval, callbacks=[snapshots], accumulate_grad_batches=accumulate_grad_batches,
    )  # fmt: skip
    return trainer, DataLoader(dataset, 8, shuffle=True, generator=0)  # five steps an epoch


class Watch(SnapshotEnsemble):
    """Notes the weights after every step."""

    def __init__(self, **arguments):
        super().__init__(**arguments)
        self.weights = []

    def on_batch_end(self, step, logs):
        super().on_batch_end(step, logs)
        self.weights.append(self.trainer.model[1].weight.detach().numpy().copy())


@pytest.mark.parametrize(
    ("interval", "schedule", "ends"),
    [
        ("step", {"T_0": 3}, [3, 6, 9]),
        ("step", {"T_0": 5}, [5, 10]),
        ("step", {"T_0": 3, "T_mult": 2}, [3, 9]),
        ("epoch", {"T_0": 1}, [5, 10]),
    ],
)
def test_snapshots_are_the_weights_at_the_ends_of_cycles(interval, schedule, ends):
    watch = Watch()
    trainer, loader = training(watch, interval, **schedule)
    trainer.fit(loader, epochs=2, progress=False)
    assert len(watch.weights) == 10 and len(watch.snapshots) == len(ends)
    for snapshot, end in zip(watch.snapshots, ends, strict=True):
        assert np.array_equal(snapshot["1.weight"], watch.weights[end - 1])
    ensemble = watch.ensemble()
    assert len(ensemble) == len(ends) and not ensemble.training
    assert np.array_equal(ensemble.models[0][1].weight.detach().numpy(), watch.snapshots[0]["1.weight"])


def test_accumulated_gradients_make_no_snapshot_twice():
    """Two batches a step of the optimizer, and of the schedule: the cycle's end is seen once."""
    snapshots = SnapshotEnsemble()
    trainer, loader = training(snapshots, T_0=2, accumulate_grad_batches=2)
    trainer.fit(loader, epochs=2, progress=False)  # three steps an epoch: cycles end after 2, 4 and 6
    assert len(snapshots.snapshots) == 3


def test_the_last_ones_and_a_second_training():
    watch = Watch(last=2)
    trainer, loader = training(watch)
    trainer.fit(loader, epochs=2, progress=False)
    for snapshot, end in zip(watch.snapshots, (6, 9), strict=True):
        assert np.array_equal(snapshot["1.weight"], watch.weights[end - 1])
    trainer.fit(loader, epochs=1, progress=False)  # steps 11 to 15: cycles end at 12 and 15
    assert np.array_equal(watch.snapshots[0]["1.weight"], watch.weights[11]) and len(watch.snapshots) == 2


def test_a_resumed_training_has_the_same_snapshots(tmp_path):
    whole = SnapshotEnsemble()
    trainer, loader = training(whole)
    trainer.fit(loader, epochs=3, progress=False)
    trainer, loader = training(SnapshotEnsemble())
    trainer.fit(loader, epochs=1, checkpoint=tmp_path, progress=False)
    resumed = SnapshotEnsemble()
    trainer, loader = training(resumed)
    trainer.fit(loader, epochs=3, checkpoint=tmp_path, resume=True, progress=False)
    assert len(whole.snapshots) == len(resumed.snapshots) == 5
    for a, b in zip(whole.snapshots, resumed.snapshots, strict=True):
        assert all(np.array_equal(a[key], b[key]) for key in a)


def test_snapshots_need_their_schedule():
    snapshots = SnapshotEnsemble()
    trainer, loader = training(snapshots, T_0=100)
    trainer.fit(loader, epochs=1, progress=False)
    with pytest.raises(ValueError, match="no cycle has ended yet"):
        snapshots.ensemble()
    trainer.scheduler = ExponentialLR(trainer.optimizer, 0.9)
    with pytest.raises(Exception, match="must be a CosineAnnealingWarmRestarts, not ExponentialLR"):
        trainer.fit(loader, epochs=1, progress=False)
    with pytest.raises(ValueError, match="last must be an int of at least 1, or None, not 0"):
        SnapshotEnsemble(last=0)


def test_the_example(monkeypatch, capsys, tmp_path):
    pytest.importorskip("sklearn", reason="scikit-learn is not installed")
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    monkeypatch.setattr(sys, "argv", ["ensembles.py", "--quick", "--out", str(tmp_path / "a.png")])
    runpy.run_path(str(EXAMPLES / "ensembles.py"), run_name="__main__")
    rows = [line.split("|") for line in capsys.readouterr().out.splitlines() if line.startswith("| ")]
    accuracies = {row[1].strip(): float(row[3].split()[0]) for row in rows[2:]}
    assert accuracies["ensemble of five"] > accuracies["one network"] > 85
    assert (tmp_path / "a.png").stat().st_size > 10_000
