"""Regularisation: what L2, L1, elastic net and dropout do to a network that has too few samples.

A hundred digits, some of them with wrong labels, and two hundred hidden neurons: without a penalty the
network learns every sample by heart. L2 makes weights small, L1 makes most of them exactly zero, dropout
trains with half of the neurons away.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import lecture
import numpy as np

import pynet
from pynet import nn, optim

# name: (weight decay, l1, dropout)
KINDS = {
    "none": (0.0, 0.0, 0.0),
    "L2": (0.1, 0.0, 0.0),
    "L1": (0.0, 0.003, 0.0),
    "elastic net": (0.05, 0.002, 0.0),
    "dropout": (0.0, 0.0, 0.5),
}


def trained(kind: str, x: pynet.Tensor, y: pynet.Tensor, epochs: int) -> nn.Sequential:
    """One hidden layer; penalties on the weights alone, not on the biases."""
    decay, l1, dropout = KINDS[kind]
    pynet.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 200), nn.ReLU(), nn.Dropout(dropout), nn.Linear(200, 10))
    weights = [p for name, p in model.named_parameters() if name.endswith("weight")]
    biases = [p for name, p in model.named_parameters() if name.endswith("bias")]
    groups: list[dict[str, Any]] = [
        {"params": weights, "weight_decay": decay, "l1": l1}, {"params": biases}
    ]  # fmt: skip
    lecture.descend(model, optim.SGD(groups, lr=0.05, momentum=0.9), x, y, epochs, batch=25)
    return model


def main(argv: Sequence[str] | None = None) -> dict[str, float]:
    """Train with each penalty, print the table, draw accuracies and weights; return the numbers."""
    arguments = lecture.options(__doc__, "regularisation", argv)
    x, y, x_test, y_test = lecture.digits()
    rng = np.random.default_rng(0)
    few = rng.permutation(len(x))[:100]
    labels = y.array[few].copy()
    wrong = rng.permutation(100)[:20]
    labels[wrong] = rng.integers(0, 10, 20)
    x, y = x[few], pynet.from_numpy(labels)
    facts: dict[str, float] = {}
    weights: dict[str, np.ndarray] = {}
    print(f"{'':14s}{'training':>10s}{'test':>9s}{'gap':>8s}{'weights at 0':>15s}")
    for kind in KINDS:
        model = trained(kind, x, y, 30 if arguments.quick else 300)
        seen, unseen = lecture.accuracy(model, x, y), lecture.accuracy(model, x_test, y_test)
        weights[kind] = model[0].weight.array.ravel().copy()
        zeros = float((weights[kind] == 0).mean())
        facts |= {f"{kind} training": seen, f"{kind} test": unseen, f"{kind} zeros": zeros}
        print(
            f"{kind:14s}{100 * seen:8.1f} %{100 * unseen:7.1f} %{100 * (seen - unseen):8.1f}{100 * zeros:13.1f} %"
        )
    draw(facts, weights, arguments.out)
    return facts


def draw(facts: dict[str, float], weights: dict[str, np.ndarray], path: str) -> None:
    """Bars of both accuracies; a histogram of the first layer's weights for each penalty."""
    figure = lecture.new_figure(10.5, 4.2)
    axes = figure.subplot_mosaic(
        [["bars", "bars", *list(KINDS)[:3]], ["bars", "bars", *list(KINDS)[3:], "empty"]]
    )
    places = np.arange(len(KINDS))
    for shift, part, colour in ((-0.2, "training", lecture.BLUE), (0.2, "test", lecture.ORANGE)):
        values = [100 * facts[f"{kind} {part}"] for kind in KINDS]
        axes["bars"].bar(places + shift, values, 0.38, color=colour, label=part)
    axes["bars"].set(title="100 samples, 20 labels drawn at random", ylabel="% right", ylim=(50, 100))
    axes["bars"].set_xticks(places, list(KINDS))
    axes["bars"].legend(loc="lower right", frameon=True)
    axes["empty"].set_axis_off()
    for kind, values in weights.items():
        axes[kind].hist(values, bins=60, range=(-0.6, 0.6), color=lecture.BLUE)
        axes[kind].set(title=f"weights, {kind}", yscale="log", yticks=[])
    figure.savefig(path)


if __name__ == "__main__":
    main()
