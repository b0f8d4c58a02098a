"""The RUN folder: enough to bring the network back, damaged files refused, pictures where they can be
drawn.
"""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest

from pynet import models, random
from pynet.data.preprocess import ChannelStandardize
from pynet.train import History, Run, plots

ARGUMENTS = {"in_channels": 1, "image_size": 8, "num_classes": 3}


@pytest.fixture
def run(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, size=(20, 1, 8, 8)).astype(np.uint8)
    return Run.create(
        tmp_path / "run",
        model="small_cnn",
        arguments=ARGUMENTS,
        preprocessing=ChannelStandardize().fit(images),
        classes=["a", "b", "ä"],
        data={"name": "mine"},
        settings={"seed": 1},
        command="pynet train",
    )


def history() -> History:
    return History(
        [{"epoch": i, "loss": 1 / i, "accuracy": 1 - 1 / (i + 1), "val_loss": 2 / i} for i in (1, 2, 3)]
    )


def test_the_network_comes_back(run):
    random.manual_seed(3)
    model = models.create("small_cnn", **ARGUMENTS)
    run.save_model(model)
    again = Run.open(run.path)
    loaded = again.load_model()
    assert not loaded.training
    for key, value in model.state_dict().items():
        assert np.array_equal(loaded.state_dict()[key].array, value.array)
    assert again.classes == ["a", "b", "ä"]
    assert again.preprocessing.state_dict() == run.preprocessing.state_dict()
    assert set(again.description["versions"]) == {"pynet", "numpy", "python"}


def test_other_folders_are_refused(run, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no RUN folder: it has no run.json"):
        Run.open(tmp_path)
    with pytest.raises(FileNotFoundError, match="has no weights yet"):
        run.load_model()


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("", "damaged: it is no JSON"),
        ("[1]", "does not describe a run"),
        ('{"format": "pynet-run", "version": 2}', "format 2, and this pynet reads formats up to 1"),
        (
            '{"format": "pynet-run", "version": 1}',
            "damaged: model, preprocessing, classes, data, settings missing",
        ),
    ],
)
def test_a_damaged_description_is_refused(run, text, match):
    (run.path / "run.json").write_text(text)
    with pytest.raises(ValueError, match=match):
        Run.open(run.path)


def test_weights_of_another_architecture_are_refused(run):
    run.save_model(models.create("mlp", in_channels=1, image_size=8, num_classes=3))
    with pytest.raises(RuntimeError, match="nothing was loaded"):
        run.load_model()


def test_history_files(run):
    run.save_history(history())
    assert History.load(run.path / "history.json").rows == history().rows
    assert (run.path / "history.csv").read_text().startswith("epoch,loss,accuracy,val_loss\n1,1.0,")
    json.loads((run.path / "history.json").read_text())


def test_pictures(run):
    pillow = pytest.importorskip("PIL.Image")
    pytest.importorskip("matplotlib")
    assert run.save_pictures(history(), np.array([[5, 1, 0], [0, 4, 0], [2, 0, 9]])) is None
    for name in ("curves.png", "confusion.png"):
        with pillow.open(run.path / name) as picture:
            assert min(picture.size) > 400
            assert len(picture.convert("RGB").getcolors(2**24)) > 20


def test_without_matplotlib_one_sentence(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    sentence = run.save_pictures(history(), np.eye(3, dtype=int))
    assert sentence == "no pictures: pictures need matplotlib; install it with `pip install pynet-nn[viz]`"


def test_pictures_check_what_they_are_given(tmp_path):
    with pytest.raises(ValueError, match="the history is empty"):
        plots.plot_curves(History(), tmp_path / "a.png")
    with pytest.raises(ValueError, match=r"the matrix is \(2, 2\), but there are 3 class names"):
        plots.plot_confusion(np.eye(2), ["a", "b", "c"], tmp_path / "a.png")
