"""Distributions, and the draws that a seed gives."""

from __future__ import annotations

import numpy as np
import pytest

from pynet.search import choice, integer, loguniform, uniform
from pynet.search.space import check_space, draw


def values(distribution, count=3000):
    return np.array([draw({"a": distribution}, 0, number)["a"] for number in range(count)])


def test_uniform():
    drawn = values(uniform(-1, 3))
    assert drawn.min() >= -1 and drawn.max() < 3
    assert abs(drawn.mean() - 1) < 0.1 and abs(drawn.std() - 4 / np.sqrt(12)) < 0.05


def test_the_logarithm_is_uniform():
    drawn = np.log10(values(loguniform(1e-5, 1e-1)))
    assert drawn.min() >= -5 and drawn.max() <= -1
    assert np.allclose(np.histogram(drawn, 4, (-5, -1))[0] / 3000, 0.25, atol=0.03)


def test_integers_have_both_ends():
    drawn = values(integer(2, 5))
    assert drawn.dtype == np.int64
    assert np.allclose(np.bincount(drawn)[2:] / 3000, 0.25, atol=0.03)
    drawn = values(integer(1, 64, log=True))
    assert drawn.min() == 1 and drawn.max() == 64
    assert 0.4 < np.mean(drawn <= 8) < 0.75


def test_choice():
    drawn = values(choice(["a", "b", "c"]))
    assert all(0.3 < np.mean(drawn == name) < 0.37 for name in "abc")


def test_other_sources():
    stats = pytest.importorskip("scipy.stats", reason="scipy is not installed")
    space = {
        "scipy": stats.norm(3, 0.1),
        "function": lambda rng: rng.integers(4, 6) * 2,
        "fixed": "adam",
        "tuple": choice([(1, 2)]),
    }
    drawn = draw(space, 7, 0)
    assert drawn == draw(space, 7, 0) != draw(space, 7, 1)
    assert 2 < drawn["scipy"] < 4 and drawn["function"] in (8, 10)
    assert drawn["fixed"] == "adam" and drawn["tuple"] == [1, 2]
    assert [type(drawn[key]) for key in ("scipy", "function")] == [float, int]


def test_an_entry_more_changes_no_other():
    first = draw({"x": uniform(0, 1), "y": uniform(0, 1)}, 3, 5)
    second = draw({"z": uniform(0, 1), "y": uniform(0, 1), "x": uniform(0, 1)}, 3, 5)
    assert first["x"] == second["x"] != first["y"] == second["y"] != second["z"]
    assert draw({"x": uniform(0, 1)}, 4, 5)["x"] != first["x"]


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: uniform(1, 1), ValueError, "low must be below high, got 1 and 1"),
        (lambda: uniform(0, float("inf")), ValueError, "must be finite"),
        (lambda: loguniform(0, 1), ValueError, "zero has no logarithm"),
        (lambda: integer(0, 5, log=True), ValueError, "at least 1 where log=True"),
        (lambda: integer(0, 5.0), TypeError, "must be ints, got 5.0"),
        (lambda: choice([]), ValueError, "nothing to choose"),
        (lambda: choice("abc"), TypeError, "give a list"),
        (lambda: check_space("s", {}), ValueError, "the space is empty"),
        (lambda: check_space("s", [1]), TypeError, "must be a dict"),
        (lambda: check_space("s", {1: 2}), TypeError, "names of the space must be strings"),
        (lambda: check_space("s", {"lr": [0.1, 0.2]}), TypeError, r"write choice\(\[...\]\)"),
        (lambda: draw({"f": choice([np.tanh])}, 0, 0), TypeError, "draw its name"),
        (lambda: draw({"f": float("nan")}, 0, 0), TypeError, "cannot hold"),
    ],
)
def test_what_is_no_distribution(make, error, words):
    with pytest.raises(error, match=words):
        make()
