"""`pynet.diagnose`: names planted faults, accuses no healthy training, changes nothing."""

from __future__ import annotations

import copy
import functools
from pathlib import Path

import numpy as np
import pytest

import pynet
from pynet import cli, data, nn, optim
from pynet.analysis.diagnosis.curves import Curves, verdict
from pynet.analysis.diagnosis.faults import FAULTS
from pynet.train import History

from . import cases

pytest.importorskip("sklearn")


@functools.cache
def diagnosed(make, seed=0):
    pynet.manual_seed(seed)
    return pynet.diagnose(**make())


@pytest.mark.parametrize("make", cases.HEALTHY, ids=lambda make: make.__name__)
def test_no_healthy_training_is_accused(make):
    found = diagnosed(make)
    assert found.healthy, found
    assert [step.verdict for step in found.steps] == ["good"] * 6


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 6))
@pytest.mark.parametrize("make", cases.HEALTHY, ids=lambda make: make.__name__)
def test_no_seed_is_accused(make, seed):
    found = diagnosed(make, seed)
    assert found.healthy, found


@pytest.mark.parametrize(("code", "make"), cases.FIFTEEN.items(), ids=str)
def test_fault(code, make):
    found = diagnosed(make)
    assert code in found.codes, found
    named = next(finding for finding in found.findings if finding.code == code)
    assert named.advice == FAULTS[code].advice and named.evidence and "{" not in named.sentence
    assert code in str(found) and not found.healthy


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 6))
def test_thirteen_of_fifteen_at_every_seed(seed):
    missed = [code for code, make in cases.FIFTEEN.items() if code not in diagnosed(make, seed).codes]
    assert len(missed) <= 2, missed


@pytest.mark.parametrize(("make", "codes"), cases.OTHERS, ids=lambda value: getattr(value, "__name__", ""))
def test_other_faults(make, codes):
    assert codes <= diagnosed(make).codes


@pytest.mark.slow
@pytest.mark.parametrize(("make", "codes"), cases.SLOW, ids=lambda value: getattr(value, "__name__", ""))
def test_other_faults_of_larger_nets(make, codes):
    assert codes <= diagnosed(make).codes


def test_every_fault_has_a_case():
    tested = {*cases.FIFTEEN, *(code for _, codes in cases.OTHERS for code in codes)}
    elsewhere = {
        "cannot_overfit", "diverged", "overfitting", "targets_no_probabilities", "frozen", "too_simple",
        "outputs_without_samples",
    }  # fmt: skip
    assert tested | elsewhere == set(FAULTS)


def test_the_page_of_the_docs_has_every_fault():
    text = (Path(__file__).parents[2] / "docs" / "diagnosis.md").read_text()
    assert [code for code in FAULTS if f"`{code}`" not in text] == []


def test_consequences():
    """One fault is named and not its echoes: what cannot be said is left out, and why is said."""
    found = diagnosed(cases.labels_from_one)
    assert found.codes == {"labels_out_of_range"}
    assert [step.verdict for step in found.steps] == ["wrong"] + ["left out"] * 5
    dead = diagnosed(cases.dead_relu)
    assert [step.verdict for step in dead.steps] == ["good", "good", "wrong", "wrong", "unclear", "unclear"]
    assert str(dead).endswith(
        "begin with dead_relu: 100 % of the units of 3 relu are dead: zero for every sample "
        "(1 more to look at)"
    )
    assert diagnosed(cases.frozen_layer).codes == {"frozen_layer"}
    assert diagnosed(cases.train_test_leak).codes == {"train_test_leak"}
    assert diagnosed(cases.missing_activation).codes == {"missing_activation"}


def test_notes_accuse_nobody():
    found = diagnosed(cases.adapted)
    assert found.healthy and {finding.code for finding in found.findings} == {"frozen"}
    x, y = cases.columns("iris")
    pynet.manual_seed(0)
    model = nn.Linear(1, 5)
    found = pynet.diagnose(model, (x[:, :1], y), optimizer=optim.Adam(model.parameters(), lr=0.05))
    assert {finding.code for finding in found.findings} == {"too_simple", "outputs_without_samples"}
    assert found.healthy


def test_soft_targets():
    x, y = cases.table()
    rows = np.eye(10, dtype=np.float32)[y]
    model = cases.mlp()
    assert pynet.diagnose(model, (x, rows), optimizer=optim.Adam(model.parameters())).healthy
    assert pynet.diagnose(model, (x, 2 * rows)).codes == {"targets_no_probabilities"}


def test_nothing_is_changed():
    """Model, optimizer, loader and random numbers stay as they are, bit for bit."""
    pynet.manual_seed(3)
    layers = [
        nn.Conv2d(1, 4, 3),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Flatten(),
        nn.Dropout(),
        nn.Linear(144, 10),
    ]
    model = nn.Sequential(*layers)
    model[4].eval()
    optimizer = optim.SGD(model.parameters(), lr=0.02, momentum=0.9)
    loader = data.DataLoader(data.ArrayDataset(*cases.images()), 32, shuffle=True)
    loss = nn.CrossEntropyLoss()
    x, y = next(iter(loader))
    loss(model(x), y).backward()
    optimizer.step()

    def state():
        parts = [model.state_dict(), optimizer.state_dict(), loader.state_dict(), pynet.get_rng_state()]
        parts += [[p.grad for p in model.parameters()], [m.training for m in model.modules()]]
        return copy.deepcopy([*parts, np.random.get_state()])

    before, hooks = state(), [len(m._forward_hooks) for m in model.modules()]
    pynet.diagnose(model, loader, loss, optimizer)
    assert same(before, state())
    assert hooks == [len(m._forward_hooks) for m in model.modules()]
    changed = state()
    changed[0]["0.weight"][0, 0, 0, 0] += 1e-6
    assert not same(before, changed)


def test_a_fresh_loader_draws_its_own_seed():
    """A diagnosis does not change the training that follows: the loader's seed is still to be drawn."""
    orders = []
    model = cases.mlp()
    for look in (False, True):
        pynet.manual_seed(5)
        loader = data.DataLoader(data.ArrayDataset(*cases.table()), 64, shuffle=True)
        if look:
            pynet.diagnose(model, loader)
        orders.append(next(iter(loader))[1].tolist())
    assert orders[0] == orders[1]


def same(a, b):
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    if hasattr(a, "shape"):
        return np.asarray(getattr(a, "array", a)).tobytes() == np.asarray(getattr(b, "array", b)).tobytes()
    return a == b


@pytest.mark.parametrize(
    ("train", "validation", "said"),
    [
        ([0.3, 0.5, 0.6, 0.7, 0.78, 0.85], [0.3, 0.45, 0.52, 0.6, 0.64, 0.68], "go on"),
        ([0.3, 0.4, 0.5, 0.55, 0.6, 0.64], [0.3, 0.41, 0.5, 0.54, 0.6, 0.63], "go deeper"),
        ([0.3, 0.5, 0.7, 0.8, 0.9, 0.95], [0.3, 0.5, 0.6, 0.55, 0.5, 0.45], "stop"),
        ([0.3, 0.8, 0.8, 0.8, 0.8, 0.8], [0.3, 0.7, 0.7, 0.7, 0.7, 0.7], "done"),
        ([0.3, 0.9, 0.98, 0.99, 0.99, 1.0], [0.3, 0.9, 0.98, 0.99, 0.985, 0.99], "done"),
        ([0.3, 0.4, np.nan], [0.3, 0.4, np.nan], "diverged"),
        ([0.3, 0.4], [0.3, 0.4], "too short"),
        ([0.3, 0.4, 0.5, 0.6], [], "too short"),
        ([0.1, 0.11, 0.1, 0.12, 0.1, 0.11], [0.1, 0.1, 0.11, 0.09, 0.1, 0.1], "flat"),
        # One lucky pass is no summit.
        ([0.5, 0.6, 0.65, 0.7, 0.75, 0.8], [0.5, 0.6, 0.68, 0.63, 0.66, 0.67], "go on"),
    ],
)
def test_verdicts(train, validation, said):
    assert verdict(Curves("accuracy", np.array(train), np.array(validation), 0.1))[0] == said


def test_verdicts_of_losses():
    falling = -np.array([2.3, 1.5, 1.0, 0.7, 0.5, 0.4, 0.3])
    assert verdict(Curves("loss", falling, falling))[0] == "go deeper"
    assert verdict(Curves("loss", falling, falling - [0, 0.1, 0.2, 0.25, 0.3, 0.32, 0.35]))[0] == "go on"
    assert verdict(Curves("loss", falling, -np.array([2.3, 1.6, 1.2, 1.3, 1.5, 1.7, 1.9])))[0] == "stop"


def test_history():
    rows = [
        {"epoch": i + 1, "loss": 1.0, "accuracy": a, "val_loss": 1.0, "val_accuracy": v}
        for i, (a, v) in enumerate(
            [(0.3, 0.3), (0.6, 0.6), (0.8, 0.7), (0.9, 0.6), (0.95, 0.55), (0.99, 0.5)]
        )
    ]
    pynet.manual_seed(0)
    assert pynet.diagnose(**cases.mlp_adam(), history=History(rows)).codes == {"overfitting"}
    rows[-1] = {**rows[-1], "accuracy": float("nan")}
    pynet.manual_seed(0)
    assert pynet.diagnose(**cases.mlp_adam(), history=History(rows)).codes == {"diverged"}


def test_a_leak_in_a_large_set_is_seen_in_a_sample_of_it():
    pynet.manual_seed(0)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(20_000, 16)).astype(np.float32)
    y = (x[:, 0] > 0).astype(np.int64)
    model = nn.Sequential(nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 2))
    found = pynet.diagnose(model, (x, y), validation=(x[:3000], y[:3000]))
    assert "train_test_leak" in found.codes


def test_tables_that_repeat_themselves_are_no_leak():
    pynet.manual_seed(0)
    rng = np.random.default_rng(0)
    x = rng.integers(0, 2, size=(1500, 6)).astype(np.float32)
    y = (x[:, 0] + x[:, 1] > 1).astype(np.int64)
    model = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 2))
    found = pynet.diagnose(model, (x[:1000], y[:1000]), validation=(x[1000:], y[1000:]))
    assert "train_test_leak" not in found.codes


def test_bad_calls():
    with pytest.raises(TypeError, match="diagnose: model must be a Module, got str"):
        pynet.diagnose("net", cases.table())
    with pytest.raises(ValueError, match="diagnose: the data has no samples"):
        pynet.diagnose(cases.mlp(), [])
    with pytest.raises(ValueError, match="5 inputs and 4 targets"):
        pynet.diagnose(cases.mlp(), (np.zeros((5, 64)), np.zeros(4, int)))
    with pytest.raises(ValueError, match="samples must be at least 1"):
        pynet.diagnose(cases.mlp(), cases.table(), samples=0)


def test_a_model_for_batches_of_one_size():
    class Fixed(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = cases.mlp()

        def forward(self, x):
            return self.net(x.reshape(512, 64))

    found = pynet.diagnose(Fixed(), cases.table())
    assert found.codes == {"model_fails"} and "reshape" in str(found)
    assert [step.verdict for step in found.steps] == ["good", "good", "wrong", *["left out"] * 3]


def test_page_and_folder(tmp_path):
    pytest.importorskip("matplotlib")
    found = diagnosed(cases.tiny_data)
    found.save(tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert page.count("<svg") >= 6 and "so few samples" in page
    assert "<script" not in page and "src=" not in page
    found.save(tmp_path / "folder")
    assert sorted(p.name for p in (tmp_path / "folder").iterdir()) == [
        "diagnosis.txt", *(f"step{i}.png" for i in range(1, 7)),
    ]  # fmt: skip


def test_command(tmp_path, capsys):
    pytest.importorskip("matplotlib")
    choice = ["--data", "digits", "--model", "mlp"]
    assert cli.main(["diagnose", *choice]) == 0
    out = capsys.readouterr().out
    assert "6. Curves: good" in out and "nothing wrong was found" in out
    assert cli.main(["diagnose", *choice, "--lr", "1e-7"]) == 1
    assert "lr_too_low" in capsys.readouterr().out
    run = tmp_path / "run"
    assert cli.main(["train", *choice, "--epochs", "4", "--out", str(run)]) == 0
    assert cli.main(["diagnose", str(run)]) == 0
    assert "of the history given, 4 passes" in capsys.readouterr().out and (run / "diagnosis.html").exists()
    assert cli.main(["diagnose"]) == 2
    assert "give a RUN folder, or --data" in capsys.readouterr().err
