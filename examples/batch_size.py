"""Batch size 1, 64 and all: the same network and rate rule, against epochs and against seconds.

One sample a step gives many noisy steps an epoch and wastes the machine; the whole data set gives one exact
step. The noise of the gradient falls with the root of the batch.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import lecture
import numpy as np

import pynet
from pynet import nn, optim

RATES = {1: 0.01, 64: 0.2, 1348: 1.0}  # the best of a few, each


def network() -> nn.Sequential:
    """A hundred ReLU; the same weights for every batch size."""
    pynet.manual_seed(0)
    return nn.Sequential(nn.Linear(64, 100), nn.ReLU(), nn.Linear(100, 10))


def noise(x: pynet.Tensor, y: pynet.Tensor, batch: int, draws: int) -> float:
    """How far the gradient of a batch is from that of all samples, relative to it."""
    model, loss = network(), nn.CrossEntropyLoss()

    def gradient(rows: np.ndarray) -> np.ndarray:
        model.zero_grad()
        loss(model(x[rows]), y[rows]).backward()
        return np.concatenate([p.grad.array.ravel() for p in model.parameters()])

    whole = gradient(np.arange(len(x)))
    rng = np.random.default_rng(0)
    off = [np.linalg.norm(gradient(rng.permutation(len(x))[:batch]) - whole) for _ in range(draws)]
    return float(np.mean(off) / np.linalg.norm(whole))


def main(argv: Sequence[str] | None = None) -> dict[str, float]:
    """Train with each size, print the table, draw the losses; return the numbers."""
    arguments = lecture.options(__doc__, "batch_size", argv)
    x, y, x_test, y_test = lecture.digits()
    epochs = 2 if arguments.quick else 20
    facts: dict[str, float] = {}
    rows: dict[int, np.ndarray] = {}
    print(f"{'batch':>7s}{'steps':>8s}{'seconds':>9s}{'loss':>9s}{'test':>9s}{'noise of the gradient':>23s}")
    for batch, rate in RATES.items():
        model = network()
        optimizer = optim.SGD(model.parameters(), lr=rate)
        found, begin = [], time.perf_counter()
        for epoch in range(epochs):
            losses = lecture.descend(model, optimizer, x, y, 1, batch=batch)
            found.append((epoch + 1, time.perf_counter() - begin, losses.mean()))
        rows[batch] = np.array(found)
        share, off = lecture.accuracy(model, x_test, y_test), noise(x, y, batch, 10)
        facts |= {f"{batch} loss": found[-1][2], f"{batch} test": share, f"{batch} noise": off}
        facts[f"{batch} seconds"] = found[-1][1]
        steps = epochs * -(-len(x) // batch)
        print(f"{batch:7d}{steps:8d}{found[-1][1]:9.2f}{found[-1][2]:9.4f}{100 * share:7.1f} %{off:23.2f}")

    figure = lecture.new_figure(9.5, 3.8)
    left, right = figure.subplots(1, 2, sharey=True)
    for (batch, found), colour in zip(rows.items(), lecture.COLOURS, strict=False):
        label = f"{batch if batch < 1000 else 'all'}, rate {RATES[batch]:g}"
        left.semilogy(found[:, 0], found[:, 2], color=colour, label=label)
        right.loglog(found[:, 1], found[:, 2], color=colour)
    left.set(title="training loss against epochs", xlabel="epoch", ylabel="loss")
    left.legend(title="batch")
    right.set(title="against time", xlabel="seconds")
    figure.savefig(arguments.out)
    return facts


if __name__ == "__main__":
    main()
