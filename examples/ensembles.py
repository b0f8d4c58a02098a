"""What an ensemble gains: five networks trained apart, and five snapshots of one training.

The lecture notes promise about two points of accuracy for an ensemble. This measures it on fashion-mnist
with LeNet-5: five networks from different seeds, averaged, cost five trainings; a snapshot ensemble lets
the learning rate fall five times in the time of one training and averages the five networks at the ends of
its cycles. Every repeat has seeds of its own; gains are against the mean of its single networks.
``--quick`` does it on the small digits of scikit-learn, in seconds; ``--out FILE`` draws the accuracies.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

import numpy as np

import pynet
from pynet import data, models, nn, optim, train
from pynet.optim.lr_scheduler import CosineAnnealingLR, CosineAnnealingWarmRestarts

MEMBERS = 5
SINGLE, FIVE, LOGITS = "one network", "ensemble of five", "ensemble of five, mean of logits"
LAST, LATE, SNAPSHOTS = "last snapshot alone", "last two snapshots", "snapshot ensemble of five"
AVERAGED = "mean of the snapshots' weights"


class Problem:
    """A data set, a network for it, and how long it is trained."""

    def __init__(self, name: str, epochs: int, lr: float) -> None:
        self.training, self.test = data.load(name)
        self.quick, self.epochs, self.lr = name == "digits", epochs, lr

    def make(self) -> nn.Module:
        if self.quick:
            return models.mlp(image_size=8, hidden=(16,))
        return models.lenet5()

    def train(self, seed: int, cycles: int) -> tuple[nn.Module, train.SnapshotEnsemble | None]:
        """A network trained with SGD, and its snapshots where the rate falls several times."""
        pynet.manual_seed(seed)
        model = self.make()
        loader = data.DataLoader(self.training, batch_size=64, shuffle=True, generator=seed)
        steps = self.epochs * len(loader)
        sgd = optim.SGD(model.parameters(), lr=self.lr, momentum=0.9, weight_decay=1e-4)
        snapshots, schedule = None, CosineAnnealingLR(sgd, T_max=steps)
        if cycles > 1:
            snapshots = train.SnapshotEnsemble()
            schedule = CosineAnnealingWarmRestarts(sgd, T_0=steps // cycles)
        trainer = train.Trainer(
            model, nn.CrossEntropyLoss(), sgd, scheduler=schedule, scheduler_interval="step",
            callbacks=[snapshots] if snapshots else [],
        )  # fmt: skip
        trainer.fit(loader, epochs=self.epochs, progress=False)
        return model, snapshots

    def accuracy(self, model: nn.Module) -> float:
        """Per cent of the test images."""
        loader = data.DataLoader(self.test, batch_size=500)
        return 100 * train.Trainer(model, nn.CrossEntropyLoss(), None).evaluate(loader)["accuracy"]


def repeat(problem: Problem, number: int) -> dict[str, Any]:
    """The accuracies of one repeat: MEMBERS + 1 trainings."""
    seeds = range((MEMBERS + 1) * number, (MEMBERS + 1) * (number + 1))
    apart = [problem.train(seed, cycles=1)[0] for seed in seeds[:MEMBERS]]
    _, snapshots = problem.train(seeds[MEMBERS], cycles=MEMBERS)
    assert snapshots is not None
    cyclic = snapshots.ensemble()
    return {
        SINGLE: [problem.accuracy(model) for model in apart],
        FIVE: problem.accuracy(pynet.Ensemble(apart)),
        LOGITS: problem.accuracy(pynet.Ensemble(apart, "logits")),
        LAST: problem.accuracy(cyclic.models[-1]),
        LATE: problem.accuracy(pynet.Ensemble(cyclic.models[-2:])),
        SNAPSHOTS: problem.accuracy(cyclic),
        AVERAGED: problem.accuracy(cyclic.averaged()),
    }


def table(rows: list[dict[str, Any]]) -> str:
    """Means over the repeats with their standard deviations, and gains over the single networks."""
    lines = ["| | trainings | accuracy (%) | gain (points) |", "| --- | --- | --- | --- |"]
    for name in rows[0]:
        values = np.array([np.mean(row[name]) for row in rows])
        gains = values - [np.mean(row[SINGLE]) for row in rows]
        every = np.concatenate([np.atleast_1d(row[name]) for row in rows])
        gain = "" if name == SINGLE else f"{gains.mean():+.2f} ± {_deviation(gains):.2f}"
        trainings = MEMBERS if name in (FIVE, LOGITS) else 1
        lines.append(f"| {name} | {trainings} | {every.mean():.2f} ± {_deviation(every):.2f} | {gain} |")
    return "\n".join(lines)


def _deviation(values: np.ndarray) -> float:
    return float(values.std(ddof=1)) if len(values) > 1 else float("nan")


def draw(rows: list[dict[str, Any]], title: str, path: str) -> None:
    """A dot a network or ensemble, a bar a mean."""
    from matplotlib.figure import Figure

    names = [SINGLE, FIVE, LAST, LATE, SNAPSHOTS, AVERAGED]
    figure = Figure(figsize=(8, 4.2), layout="constrained")
    panel = figure.subplots()
    for place, name in enumerate(names):
        values = np.concatenate([np.atleast_1d(row[name]) for row in rows])
        colour = "#d9662b" if name in (FIVE, LATE, SNAPSHOTS) else "#2f6db3"
        panel.scatter(values, np.full(len(values), place), s=28, color=colour, alpha=0.6, linewidths=0)
        panel.plot([values.mean()] * 2, [place - 0.22, place + 0.22], color=colour, linewidth=2)
        panel.annotate(
            f"{values.mean():.2f}",
            (values.mean(), place - 0.24),
            ha="center",
            va="bottom",
            color=colour,
            fontsize=9,
        )
    panel.set_yticks(range(len(names)), names)
    panel.invert_yaxis()
    panel.margins(y=0.14)
    panel.set(xlabel="accuracy on the test images (%)", title=title)
    panel.grid(True, axis="x", color="#dddddd", linewidth=0.7)
    panel.set_axisbelow(True)
    for side in ("top", "right"):
        panel.spines[side].set_visible(False)
    figure.savefig(path, dpi=120)


def main(argv: Sequence[str] | None = None) -> dict[str, float]:
    """Train, print the table, draw the figure; return the mean accuracies."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=4)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--quick", action="store_true", help="the digits of scikit-learn, one repeat")
    parser.add_argument("--out", default="ensembles.png", help="file of the picture, default %(default)s")
    arguments = parser.parse_args(argv)
    repeats = 1 if arguments.quick else arguments.repeats
    problem = (
        Problem("digits", 5, 0.1) if arguments.quick else Problem("fashion-mnist", arguments.epochs, 0.02)
    )
    rows = []
    for number in range(repeats):
        rows.append(repeat(problem, number))
        shown = {name: np.round(value, 2).tolist() for name, value in rows[-1].items()}
        print(f"repeat {number + 1} of {repeats}: {shown}", flush=True)
    print(table(rows))
    if arguments.out:
        name = "digits" if arguments.quick else f"fashion-mnist, LeNet-5, {arguments.epochs} epochs"
        draw(rows, name, arguments.out)
    return {name: float(np.mean([np.mean(row[name]) for row in rows])) for name in rows[0]}


if __name__ == "__main__":
    main()
