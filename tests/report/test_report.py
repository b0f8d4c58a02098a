"""Reports of runs and comparisons: everything is in them, whatever the run went through, and a browser shows
it.
"""

from __future__ import annotations

import html
import math
import re

import numpy as np
import pytest
from browser import is_in_order, needs_browser

from pynet import models, nn, optim, random
from pynet.cli import main
from pynet.data import ImageDataset
from pynet.data.preprocess import ChannelStandardize
from pynet.report import Monitor, Page, compare, write_report
from pynet.report.compare import differences, names_of
from pynet.report.figures import filters
from pynet.report.run_page import MONITOR, duration, scores
from pynet.train import History, Run, Trainer


def make_run(folder, classes=3, **told):
    images = np.random.default_rng(0).integers(0, 256, size=(30, 1, 8, 8)).astype(np.uint8)
    run = Run.create(
        folder,
        model="small_cnn",
        arguments={"in_channels": 1, "image_size": 8, "num_classes": classes},
        preprocessing=ChannelStandardize().fit(images),
        classes=[f'class <{number}> & "co"' for number in range(classes)],
        data={"name": "mine", "train": 30},
        settings={"seed": 1, "epochs": 3, "augment": []},
        command="pynet train --out 'a b'",
    )
    run.description.update(told)
    return run


def rows(epochs=3, validation=True, loss=None):
    made = []
    for epoch in range(1, epochs + 1):
        row = {
            "epoch": epoch,
            "loss": loss or 1 / epoch,
            "accuracy": 1 - 1 / (epoch + 1),
            "lr": 0.1,
            "seconds": 2.0,
        }
        if validation:
            row |= {"val_loss": loss or 2 / epoch, "val_accuracy": 0.5}
        made.append(row)
    return History(made)


def texts(path):
    """The words that a reader sees."""
    return html.unescape(re.sub(r"<[^>]+>", " ", re.sub(r"(?s)<style>.*?</style>", "", path.read_text())))


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    for name, options in (("first", []), ("second", ["--lr", "0.001", "--augment", ""])):
        line = ["train", "--data", "digits", "--epochs", "2", "--out", str(folder / name), *options]
        assert main(line) == 0
    return folder


def test_training_writes_a_report_with_everything(trained):
    said = texts(trained / "first/report.html")
    for part in (
        "small_cnn on digits", "test accuracy", "gap to training", "Curves", "Learning rate",
        "Norm of the gradients", "Activations over time", "Weights over time", "Confusion matrix",
        "Worst mistakes", "taken for", "Filters of the first layer", "training images a second", "processor",
        f"pynet train --data digits --epochs 2 --out {trained / 'first'}",
    ):  # fmt: skip
        assert part in said, part
    accuracy = Run.open(trained / "first").description["figures"]["test_accuracy"]
    assert f"{100 * accuracy:.2f} %" in said


@needs_browser
def test_a_browser_shows_the_report(trained, tmp_path):
    # Loss and accuracy, rate and norm, four activations, five weights, confusion, seconds; 32 filters.
    is_in_order(trained / "first/report.html", tmp_path, figures=15, images=33)


@needs_browser
def test_a_browser_shows_the_comparison(trained, tmp_path, capsys):
    target = tmp_path / "side by side.html"
    assert main(["compare", str(trained / "first"), str(trained / "second"), "--out", str(target)]) == 0
    assert "0.001" in capsys.readouterr().out
    is_in_order(target, tmp_path, figures=2)


def test_a_report_can_be_written_again(trained, capsys):
    file = trained / "second/report.html"
    before = texts(file)
    file.unlink()
    assert main(["report", str(trained / "second")]) == 0
    assert "report.html" in capsys.readouterr().out
    assert texts(file) == before


@pytest.mark.parametrize(
    "history",
    [rows(0), rows(1), rows(2, validation=False), rows(2, loss=math.nan), rows(3, loss=math.inf), rows(60)],
    ids=["no epoch", "one epoch", "no validation", "NaN", "infinite", "sixty epochs"],
)
def test_whatever_the_run_went_through(tmp_path, history):
    run = make_run(tmp_path / "run", status="stopped")
    said = texts(write_report(run, history))
    assert "stopped before its end" in said and "pynet train --out 'a b'" in said
    if len(history) == 2 and "val_loss" not in history:
        assert "nothing tells whether the network generalises" in said
    if len(history) and not math.isfinite(history["loss"][-1]):
        assert "diverged" in said


@pytest.mark.parametrize("classes", [2, 100])
def test_results_of_few_and_many_classes(tmp_path, classes):
    run = make_run(tmp_path / "run", classes)
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (300, 3, 8, 8)).astype(np.uint8)
    part = ImageDataset(images, np.arange(300) % classes, run.classes)
    outputs = rng.normal(size=(300, classes)).astype(np.float32) + 2 * np.eye(classes)[part.labels]
    random.manual_seed(0)
    model = models.create("small_cnn", **run.description["model"]["arguments"])
    file = write_report(run, rows(), model, part, outputs)
    said = texts(file)
    wrong = int((outputs.argmax(axis=1) != part.labels).sum())
    assert f"of {wrong:,} mistakes" in said
    assert file.read_text().count("data:image/png") >= min(wrong, 24) + 32
    assert 'class <1> & "co"' in said, "names are not escaped"


def test_no_mistake_is_said_so(tmp_path):
    run = make_run(tmp_path / "run")
    part = ImageDataset(np.zeros((6, 1, 8, 8), np.uint8), np.arange(6) % 3, run.classes)
    assert "no mistake" in texts(write_report(run, rows(), None, part, 9 * np.eye(3)[part.labels]))


def test_scores_by_hand():
    matrix = np.array([[8, 2, 0], [4, 6, 0], [0, 0, 0]])
    assert scores(matrix, ["a", "b", "c"]) == [
        ("a", "66.7 %", "80.0 %", "72.7 %", "10"),
        ("b", "75.0 %", "60.0 %", "66.7 %", "10"),
        ("c", "-", "-", "-", "0"),
    ]


def test_the_monitor_records_what_happened(tmp_path):
    random.manual_seed(0)
    x = np.random.default_rng(0).normal(size=(40, 5)).astype(np.float32)
    y = np.arange(40) % 2
    model = nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 2))
    monitor = Monitor(tmp_path / MONITOR, x)
    norms = []

    class Norms(type(monitor).__mro__[1]):
        def on_batch_end(self, step, logs):
            square = sum(float((p.grad.array.astype(np.float64) ** 2).sum()) for p in model.parameters())
            norms.append(square**0.5)

    trainer = Trainer(model, nn.CrossEntropyLoss(), optim.SGD(model.parameters(), lr=0.1))
    batches = [(x[i : i + 10], y[i : i + 10]) for i in range(0, 40, 10)]
    trainer.fit(batches, epochs=3, callbacks=[monitor, Norms()], progress=False)
    assert np.allclose(monitor.gradients[:, 0], np.arange(1, 13) / 4)
    assert np.allclose(monitor.gradients[:, 1], norms, rtol=1e-6)
    assert np.allclose(monitor.gradients[:, 2], 0.1)
    weight = monitor.histograms["weights", "0.weight"]
    assert weight.shape == (3, 42) and (weight[:, 2:].sum(axis=1) == 40).all()
    last = model[0].weight.array
    assert np.allclose(weight[-1, :2], [last.min(), last.max()])
    assert np.array_equal(weight[-1, 2:], np.histogram(last, 40)[0])
    hidden = next(row for (kind, _), row in monitor.histograms.items() if kind == "activations")
    expected = np.maximum(x @ last.T + model[0].bias.array, 0)
    assert np.allclose(hidden[-1, :2], [0, expected.max()], rtol=1e-5)
    again = Monitor.load(tmp_path / MONITOR)
    assert list(again.histograms) == list(monitor.histograms)
    assert all(np.array_equal(again.histograms[key], row) for key, row in monitor.histograms.items())
    assert model.training


def test_a_resumed_training_has_the_whole_story(tmp_path):
    x, y = np.random.default_rng(0).normal(size=(20, 5)).astype(np.float32), np.arange(20) % 2

    def fit(epochs, folder, resume=False):
        random.manual_seed(0)
        model = nn.Sequential(nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 2))
        monitor = Monitor(folder / MONITOR, x)
        trainer = Trainer(model, nn.CrossEntropyLoss(), optim.SGD(model.parameters(), lr=0.1))
        batches = [(x[:10], y[:10]), (x[10:], y[10:])]
        trainer.fit(
            batches,
            epochs=epochs,
            callbacks=[monitor],
            checkpoint=folder / "c",
            resume=resume,
            progress=False,
        )
        return monitor

    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    whole = fit(4, tmp_path / "a")
    fit(2, tmp_path / "b")
    resumed = fit(4, tmp_path / "b", resume=True)
    assert np.array_equal(resumed.gradients, whole.gradients)
    assert list(resumed.histograms) == list(whole.histograms)
    assert all(np.array_equal(resumed.histograms[key], row) for key, row in whole.histograms.items())


def test_comparison_shows_what_differs(tmp_path):
    runs = [make_run(tmp_path / folder / "run") for folder in ("a", "b")]
    runs[1].description["settings"]["seed"] = 2
    runs[1].description["figures"] = {"test_accuracy": 0.75}
    for run, history in zip(runs, (rows(2), rows(3, validation=False)), strict=True):
        run.save_history(history)
    assert names_of(runs) == ["a/run", "b/run"]
    assert differences(runs) == {"seed": ["1", "2"]}
    page, table = compare(runs)
    page.save(tmp_path / "page.html")
    said = texts(tmp_path / "page.html")
    for part in ("a/run", "b/run", "75.00 %", "seed"):
        assert part in said and part in table
    assert re.search(r"epochs +2 +3", table)
    with pytest.raises(ValueError, match="at least two"):
        compare(runs[:1])


def test_a_run_without_history_cannot_be_compared(tmp_path, capsys):
    runs = [make_run(tmp_path / name) for name in "ab"]
    assert main(["compare", *(str(run.path) for run in runs), "--out", str(tmp_path / "c.html")]) == 2
    assert "has no history yet" in capsys.readouterr().err
    assert not (tmp_path / "c.html").exists()


def test_without_matplotlib_the_training_goes_on(tmp_path, monkeypatch, capsys):
    import sys

    for name in [name for name in sys.modules if name.split(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert main(["train", "--data", "digits", "--epochs", "1", "--out", str(tmp_path / "run")]) == 0
    assert "no report: figures need matplotlib; install it with" in capsys.readouterr().err
    assert not (tmp_path / "run/report.html").exists()


def test_filters_are_images_or_nothing():
    assert len(filters(np.random.default_rng(0).normal(size=(5, 3, 3, 3)))) == 5
    assert filters(np.zeros((5, 1, 3, 2)))[0].shape == (3, 2)
    assert filters(np.zeros((5, 4, 3, 3))) is None
    assert filters(np.zeros((5, 3, 1, 1))) is None
    assert all(image.dtype == np.uint8 for image in filters(np.full((2, 1, 3, 3), np.nan)))


def test_durations():
    said = [duration(seconds) for seconds in (3.21, 119.9, 300, 7140, 9000)]
    assert said == ["3.2 s", "119.9 s", "5 min", "119 min", "2 h 30 min"]


def test_a_page_escapes_all_text(tmp_path):
    nasty = "<script>alert('x')</script> & \""
    page = Page(nasty, nasty)
    page.section(nasty), page.text(nasty), page.code(nasty), page.verdict(nasty, "good", nasty)
    page.table([(nasty, nasty)], (nasty, nasty)), page.numbers({nasty: nasty})
    page.images([(np.zeros((2, 2), np.uint8), nasty)])
    assert "<script" not in str(page)
    page.save(tmp_path / "page.html")
    assert texts(tmp_path / "page.html").count(nasty) == 15
