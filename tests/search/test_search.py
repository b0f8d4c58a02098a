"""Searches that go well: draws, scores, folders, resuming, halving, tables and pictures."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

import pynet
from pynet.search import Record, SearchResult, random_search, successive_halving, uniform
from pynet.search.result import describe

from . import objectives

SPACE = {"x": uniform(0, 1), "kind": "a"}
QUIET = {"progress": False, "n_workers": 1}


def lines(folder):
    return [json.loads(line) for line in (folder / "trials.jsonl").read_text().splitlines()]


def test_a_search_and_its_folder(tmp_path, capfd):
    result = random_search(objectives.parabola, SPACE, 6, folder=tmp_path, seed=1, n_workers=2)
    assert result.best_score == max(record.score for record in result.trials)
    assert result.best_score == -((result.best_parameters["x"] - 0.3) ** 2)
    assert sorted(record.number for record in result.trials) == list(range(6))
    rows = lines(tmp_path)
    assert [row["number"] for row in rows] == list(range(6))
    assert rows[2]["parameters"]["kind"] == "a" and rows[2]["curve"] == [[0, 2.0]]
    said = capfd.readouterr().err.splitlines()
    assert len(said) == 6 and said[5].startswith("[6/6] trial ") and "best" in said[5]
    assert (tmp_path / "table.txt").read_text() == result.table() + "\n"
    rows = list(csv.DictReader(io.StringIO((tmp_path / "trials.csv").read_text())))
    assert [float(row["score"]) for row in rows] == [record.score for record in result.trials]


def test_it_goes_on_where_it_was_and_further(tmp_path):
    first = random_search(objectives.parabola, SPACE, 2, folder=tmp_path, **QUIET)
    before = lines(tmp_path)
    more = random_search(objectives.random_score, SPACE, 4, folder=tmp_path, **QUIET)
    assert lines(tmp_path)[:2] == before  # done trials are not run again
    assert {r.score for r in first.trials} < {r.score for r in more.trials}
    whole = random_search(objectives.random_score, SPACE, 4, **QUIET)
    assert {r.number: r.parameters for r in whole.trials} == {r.number: r.parameters for r in more.trials}
    assert {r.score for r in whole.trials if r.number > 1} < {r.score for r in more.trials}  # seeded


def test_a_failed_trial_is_tried_again_when_the_search_is(tmp_path):
    (tmp_path / "stone").touch()
    space = {"x": uniform(0, 1), "file": str(tmp_path / "stone")}
    call = {"folder": tmp_path / "search", "retries": 0, **QUIET}
    result = random_search(objectives.fails_while_a_file_exists, space, 3, **call)
    worst = result.trials[-1]
    assert worst.failed and worst.number == 1 and "ArithmeticError: the file exists" in worst.error
    assert "failed" in result.table() and "the file exists" in result.to_csv()
    (tmp_path / "stone").unlink()
    result = random_search(objectives.fails_while_a_file_exists, space, 3, **call)
    assert not any(record.failed for record in result.trials) and len(result) == 3


def test_another_space_or_seed_does_not_go_on(tmp_path):
    random_search(objectives.parabola, SPACE, 1, folder=tmp_path, **QUIET)
    for space, seed in ((SPACE, 1), ({**SPACE, "x": uniform(0, 2)}, 0)):
        with pytest.raises(ValueError, match="use another folder"):
            random_search(objectives.parabola, space, 2, folder=tmp_path, seed=seed, **QUIET)
    (tmp_path / "trials.jsonl").write_text('{"number": 1}\n')
    with pytest.raises(ValueError, match=r"trials.jsonl, line 1 is no trial"):
        random_search(objectives.parabola, SPACE, 2, folder=tmp_path, **QUIET)


def test_halving(tmp_path):
    result = successive_halving(
        objectives.rungs, SPACE, 9, max_budget=6, folder=tmp_path, progress=False, n_workers=2
    )
    by_budget = {budget: {r.number: r for r in result.trials if r.budget == budget} for budget in (1, 3, 6)}
    assert [len(rung) for rung in by_budget.values()] == [9, 3, 1]
    for small, large in ((1, 3), (3, 6)):
        scores = {n: r.score for n, r in by_budget[small].items() if not math.isnan(r.score)}
        best = sorted(scores, key=scores.get, reverse=True)[: len(by_budget[large])]
        assert set(by_budget[large]) == set(best)
        assert all(r.curve == [[large, small]] for r in by_budget[large].values())  # its folder stayed
    assert result.best.budget == 6 and result.best.number in by_budget[6]
    again = successive_halving(objectives.always_fails, SPACE, 9, max_budget=6, folder=tmp_path, **QUIET)
    assert again.table() == result.table()  # nothing was left to do


def test_the_smallest_wins_where_asked():
    result = random_search(objectives.parabola, SPACE, 3, mode="min", **QUIET)
    assert result.best_score == min(record.score for record in result.trials)


@pytest.mark.parametrize(("score", "expected"), [("nan", "nan"), ("array", "2.0"), ("true", "1.0")])
def test_scores(score, expected, tmp_path):
    result = random_search(objectives.strange, {"score": score}, 1, folder=tmp_path, **QUIET)
    assert str(result.trials[0].score) == expected and not result.trials[0].failed
    assert random_search(objectives.strange, {"score": score}, 1, folder=tmp_path, **QUIET).table()
    if expected == "nan":
        with pytest.raises(ValueError, match="no trial with a score"):
            result.best  # noqa: B018


def test_workers_share_the_threads():
    result = random_search(objectives.threads, SPACE, 1, threads=1, **QUIET)
    assert result.best_score == 1
    result = random_search(objectives.threads, SPACE, 1, **QUIET)
    assert result.best_score == pynet.get_num_threads()


def records():
    return [
        Record(0, {"lr": 1e-4, "act": "relu", "size": 5}, 1, 0.5, 1.0),
        Record(1, {"lr": 1e-2, "act": "tanh", "size": 5}, 3, 0.4, 2.0),
        Record(2, {"lr": 1e-1, "act": "relu", "size": 5}, 1, math.nan, 2.0, 3, "ValueError: bad\n  in x"),
    ]


def test_the_table():
    result = SearchResult(records(), "max")
    assert [r.number for r in result.trials] == [1, 0, 2]  # the larger budget first, the failed last
    assert result.table().splitlines()[1].split() == ["1", "3", "0.4", "0.01", "tanh", "5", "2", "1"]
    assert result.table(1).splitlines()[-1] == "... and 2 more"
    assert "ValueError: bad" in result.table() and "in x" not in result.table()
    assert describe({"lr": 0.0012345678, "act": "relu"}) == "lr=0.0012346 act=relu"


def test_the_picture(tmp_path):
    image = pytest.importorskip("matplotlib.image", reason="matplotlib is not installed")
    SearchResult(records(), "max").plot(tmp_path / "a.png")
    pixels = image.imread(tmp_path / "a.png")
    assert pixels.shape[0] > 300 and len({tuple(p) for p in pixels[:, ::3].reshape(-1, 4).tolist()}) > 20
    with pytest.raises(ValueError, match="no parameter varies"):
        SearchResult(records()[:1], "max").plot(tmp_path / "b.png")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"trials": 0}, "trials must be an int of at least 1, not 0"),
        ({"mode": "best"}, "mode must be 'max' or 'min'"),
        ({"seed": -1}, "seed must be"),
        ({"n_workers": 0}, "n_workers must be"),
        ({"threads": 1.5}, "threads must be"),
        ({"time_limit": 0}, "time_limit must be greater than 0"),
        ({"retries": -1}, "retries must be"),
    ],
)
def test_arguments_out_of_range(arguments, words):
    with pytest.raises(ValueError, match=words):
        random_search(objectives.parabola, SPACE, **{"trials": 1, **arguments})


def test_budgets_out_of_range():
    for arguments, words in (
        ({"max_budget": 3, "factor": 1}, "factor must be an int of at least 2"),
        ({"max_budget": 3, "min_budget": 4}, "max_budget must be an int of at least 4"),
    ):
        with pytest.raises(ValueError, match=words):
            successive_halving(objectives.parabola, SPACE, 4, **arguments)


def test_the_example(tmp_path):
    pytest.importorskip("sklearn", reason="scikit-learn is not installed")
    root = Path(__file__).resolve().parent.parent.parent
    command = [sys.executable, root / "examples" / "search.py", "--trials", "3", "--epochs", "3"]
    done = subprocess.run(
        [*command, "--folder", tmp_path], env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert float(done.stdout.rpartition("test accuracy:")[2].split()[0]) > 30
    curves = [(row["budget"], len(row["curve"])) for row in lines(tmp_path)]
    assert curves == [(1, 1), (1, 1), (1, 1), (3, 3)]  # the last one went on after its first epoch
