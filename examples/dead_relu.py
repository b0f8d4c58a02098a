"""A dead ReLU, and how a leaky one comes back.

One large step has pushed the biases of a hidden layer so far down that no sample reaches the neurons:
output and gradient are zero, and no later step can change that. Leaky ReLU passes a hundredth of the
gradient below zero.
"""

from __future__ import annotations

from collections.abc import Sequence

import lecture
import numpy as np

import pynet
from pynet import nn, optim


def network(slope: float) -> nn.Sequential:
    """Fifty neurons with biases of -25: below zero for every sample."""
    pynet.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 50), nn.LeakyReLU(slope) if slope else nn.ReLU(), nn.Linear(50, 10))
    nn.init.constant_(model[0].bias, -25.0)
    return model


def dead(model: nn.Sequential, x: pynet.Tensor) -> float:
    """The share of neurons that no sample reaches."""
    with pynet.no_grad():
        return float((model[0](x).array <= 0).all(axis=0).mean())


def main(argv: Sequence[str] | None = None) -> dict[str, float]:
    """Train both, print what came back, draw it; return the numbers."""
    arguments = lecture.options(__doc__, "dead_relu", argv)
    x, y, x_test, y_test = lecture.digits()
    epochs = 15 if arguments.quick else 60
    facts: dict[str, float] = {}
    rows: dict[str, np.ndarray] = {}
    print(f"{'':14s}{'dead before':>13s}{'dead after':>12s}{'loss':>8s}{'test':>9s}")
    for name, slope in (("ReLU", 0.0), ("leaky, 0.01", 0.01), ("leaky, 0.1", 0.1)):
        model = network(slope)
        optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
        found = [(dead(model, x), np.nan)]
        for _ in range(epochs):
            losses = lecture.descend(model, optimizer, x, y, 1)
            found.append((dead(model, x), losses.mean()))
        rows[name] = np.array(found)
        share = lecture.accuracy(model, x_test, y_test)
        facts |= {f"{name} before": found[0][0], f"{name} after": found[-1][0], f"{name} test": share}
        print(
            f"{name:14s}{100 * found[0][0]:11.0f} %{100 * found[-1][0]:10.0f} %{found[-1][1]:8.3f}{100 * share:7.1f} %"
        )

    figure = lecture.new_figure(9.5, 3.6)
    left, right = figure.subplots(1, 2)
    for (name, found), colour in zip(rows.items(), lecture.COLOURS, strict=False):
        left.plot(100 * found[:, 0], color=colour, label=name)
        right.plot(found[:, 1], color=colour)
    left.set(title="neurons that no sample reaches", xlabel="epoch", ylabel="%")
    left.legend()
    right.set(title="training loss", xlabel="epoch", ylim=(0, None))
    figure.savefig(arguments.out)
    return facts


if __name__ == "__main__":
    main()
