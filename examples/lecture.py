"""What the examples of the lecture pages share: their options, the digits, the training loop, the look."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import pynet
from pynet import data, nn

BLUE, ORANGE, GREEN, RED, PURPLE, GREY = "#2f6db3", "#d9662b", "#3a8f5c", "#c23b4b", "#7b5aa6", "#8a8a8a"
COLOURS = (BLUE, ORANGE, GREEN, RED, PURPLE, GREY, "#a67c2e", "#3aa0a8")


def options(doc: str | None, name: str, argv: Sequence[str] | None) -> argparse.Namespace:
    """The options of every example: ``--quick`` for a short run, ``--out`` for the picture."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a run of a second or two, for tests")
    parser.add_argument("--out", default=f"{name}.png", help="file of the picture, default %(default)s")
    return parser.parse_args(argv)


def digits(standardise: bool = True) -> tuple[pynet.Tensor, pynet.Tensor, pynet.Tensor, pynet.Tensor]:
    """Scanned digits as rows of 64 pixels: 1348 images and labels to train on, 449 to test.

    Standardised: every pixel has mean 0 and deviation 1 over the training images; else pixels from 0 to 1.
    """
    training, test = data.load("digits")
    first, second = (part.arrays[0].astype(np.float32) / 255 for part in (training, test))
    if standardise:
        scale = data.preprocess.Standardize().fit(first)
        first, second = scale(first), scale(second)
    return (
        pynet.from_numpy(np.asarray(first, np.float32).reshape(-1, 64)), pynet.from_numpy(training.arrays[1]),
        pynet.from_numpy(np.asarray(second, np.float32).reshape(-1, 64)), pynet.from_numpy(test.arrays[1]),
    )  # fmt: skip


def descend(
    model: nn.Module,
    optimizer: Any,
    x: pynet.Tensor,
    y: pynet.Tensor,
    epochs: int,
    batch: int = 64,
    loss: Callable[..., pynet.Tensor] | None = None,
    scheduler: Any = None,
) -> np.ndarray:
    """Train by minibatches, in an order that is the same in every run; return the loss of each step."""
    loss = nn.CrossEntropyLoss() if loss is None else loss
    order, losses = np.random.default_rng(0), []
    for _ in range(epochs):
        shuffled = order.permutation(len(x))
        for start in range(0, len(x), batch):
            chosen = shuffled[start : start + batch]
            value = loss(model(x[chosen]), y[chosen])
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
            losses.append(value.item())
        if scheduler is not None:
            scheduler.step()
    return np.array(losses)


def accuracy(model: nn.Module, x: pynet.Tensor, y: pynet.Tensor) -> float:
    """Share of the rows whose largest score is that of their label."""
    model.eval()
    with pynet.no_grad():
        share = float((model(x).array.argmax(1) == y.array).mean())
    model.train()
    return share


def smooth(losses: np.ndarray, window: int = 20) -> np.ndarray:
    """The mean of the last `window` losses, at every step."""
    sums = np.cumsum(np.concatenate([[0.0], losses]))
    last = np.arange(1, len(losses) + 1)
    first = np.maximum(last - window, 0)
    return (sums[last] - sums[first]) / (last - first)


def new_figure(width: float, height: float) -> Any:
    """An empty figure, in inches, in the look of the lecture pages."""
    try:
        from matplotlib import rcParams
        from matplotlib.figure import Figure
    except ImportError:
        raise SystemExit(
            "the picture needs matplotlib, which is missing: pip install 'pynet-nn[viz]'"
        ) from None
    rcParams.update({
        "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "grid.alpha": 0.25,
        "axes.titlesize": 11, "axes.labelsize": 10, "legend.frameon": False, "legend.fontsize": 9,
        "font.size": 9, "lines.linewidth": 1.7,
    })  # fmt: skip
    return Figure(figsize=(width, height), layout="constrained", dpi=100)
