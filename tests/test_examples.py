"""The examples: each runs, keeps the promise of its page, and has a page whose links exist."""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGES = ROOT / "docs" / "lectures"
NAMES = sorted(
    path.stem
    for path in (ROOT / "examples").glob("*.py")
    if path.stem
    not in ("lecture", "first_network", "search")  # shared parts; one with a test, one with a page of its own
)
# What a short run must show already: a figure that `main` returns, and its bounds.
PROMISES = {
    "activations": [],
    "augmentation": [("none test", 0.2, 1)],
    "batch_norm": [("batch norm last", 0.3, 1.5), ("plain last", 0, 0.01)],
    "batch_size": [("64 noise", 0, 2), ("1 noise", 2, 50), ("1348 noise", 0, 1e-5)],
    "dead_relu": [("ReLU after", 1, 1), ("leaky, 0.1 after", 0, 0.99)],
    "equal_weights": [("all 0.1 apart", 0, 0), ("random apart", 0.1, 10), ("logistic test", 0.9, 1)],
    "fashion_mnist": [("expected", 2.2, 2.4), ("by heart", 0.9, 1)],
    "linear_classifier": [("softmax test", 0.9, 1), ("SVM test", 0.9, 1), ("SVM without loss", 0.2, 1)],
    "loss_surface": [("raw predicted", 1.35e-4, 1.36e-4), ("raw measured", 1.2e-4, 1.5e-4)],
    "pooling": [("maximum of the map 4", 0.3, 1)],
    "procedure": [("first", 2.2, 2.4), ("by heart", 1, 1)],
    "regularisation": [("L1 zeros", 0.05, 1), ("none zeros", 0, 0)],
    "small_kernels": [("one 7x7 field", 7, 7), ("three 3x3 field", 7, 7), ("7x1, 1x7 field", 7, 7)],
    "zig_zag": [("sigmoid together", 1, 1), ("tanh together", 0.3, 0.8)],
}


@pytest.mark.parametrize("name", NAMES)
def test_an_example_runs_and_keeps_its_promise(name, tmp_path, monkeypatch, capsys):
    pytest.importorskip("matplotlib", reason="the pictures need matplotlib")
    monkeypatch.syspath_prepend(str(ROOT / "examples"))
    monkeypatch.setattr(sys, "argv", [name])
    picture = tmp_path / "picture.png"
    try:
        facts = importlib.import_module(name).main(["--quick", "--out", str(picture)])
    except FileNotFoundError as error:
        if name == "fashion_mnist":
            pytest.skip(f"fashion-mnist is not on this machine: {error}")
        raise
    assert picture.stat().st_size > 5000
    assert capsys.readouterr().out
    for key, low, high in PROMISES.get(name, []):
        assert low <= facts[key] <= high, f"{key}: {facts[key]}"


@pytest.mark.parametrize("name", NAMES)
def test_an_example_has_its_page(name):
    assert f"]({name}.md)" in (PAGES / "README.md").read_text()
    page = (PAGES / f"{name}.md").read_text()
    assert f"examples/{name}.py" in page
    links = re.findall(r"\]\(([^)#]+)\)", page)
    assert any(link.endswith(".png") for link in links)
    for link in links:
        assert (PAGES / link).exists(), link
