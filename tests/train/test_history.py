"""History: rows and columns, files that come back bit for bit, and damaged files."""

from __future__ import annotations

import csv
import json
import math
import os

import pytest

from pynet.train import History


def sample() -> History:
    return History(
        [
            {"epoch": 1, "loss": 0.1 + 0.2, "accuracy": 0.5},
            {"epoch": 2, "loss": math.nan, "accuracy": 0.75, "val_loss": -math.inf},
        ]
    )


def test_columns():
    history = sample()
    assert history.columns == ["epoch", "loss", "accuracy", "val_loss"]
    assert history["accuracy"] == [0.5, 0.75]
    assert math.isnan(history["val_loss"][0])
    assert history.history["epoch"] == [1, 2]
    assert "val_loss" in history
    assert "val_accuracy" not in history
    assert len(history) == 2
    with pytest.raises(KeyError, match="no 'val_accuracy'; it has epoch, loss, accuracy, val_loss"):
        history["val_accuracy"]


def test_best_takes_the_direction_from_the_name():
    history = sample()
    assert history.best("accuracy")["epoch"] == 2
    assert history.best("accuracy", "min")["epoch"] == 1
    assert history.best("loss")["epoch"] == 1
    with pytest.raises(ValueError, match="no finite 'loss'"):
        History([{"loss": math.nan}]).best("loss")


def test_json_is_strict_and_comes_back(tmp_path):
    path = tmp_path / "history.json"
    sample().save(path)
    json.loads(path.read_text(), parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    loaded = History.load(path)
    assert loaded.rows[0] == sample().rows[0]
    assert math.isnan(loaded.rows[1]["loss"])
    assert loaded.rows[1]["val_loss"] == -math.inf
    assert os.listdir(tmp_path) == ["history.json"]


def test_csv(tmp_path):
    sample().save(tmp_path / "history.csv")
    with open(tmp_path / "history.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert rows[0] == {"epoch": "1", "loss": "0.30000000000000004", "accuracy": "0.5", "val_loss": ""}
    assert rows[1]["val_loss"] == "-inf"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        "[" * 10**5,
        '{"format": "pynet-history"}',
        '{"format": "x", "version": 1, "rows": []}',
        '{"format": "pynet-history", "version": 2, "rows": []}',
        '{"format": "pynet-history", "version": 1, "rows": [1]}',
    ],
)
def test_other_files_are_refused(tmp_path, text):
    path = tmp_path / "h.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"h.json is no history"):
        History.load(path)


def test_a_binary_file_is_refused(tmp_path):
    (tmp_path / "h.json").write_bytes(b"\xff\xfe")
    with pytest.raises(ValueError, match="it is no text"):
        History.load(tmp_path / "h.json")
