"""Batch norm: the same deep network with it and without, at eight learning rates and from three initial
scales.

Ten ReLU layers on the digits. Without batch norm only careful weights and a narrow range of learning rates
train it; with it almost anything does, because each layer's inputs are brought to mean 0 and deviation 1.
"""

from __future__ import annotations

from collections.abc import Sequence

import lecture
import numpy as np

import pynet
from pynet import nn, optim

LAYERS = 10
SCALES = (0.5, 1.0, 2.0)  # of Kaiming's deviation


def network(normed: bool, scale: float) -> nn.Sequential:
    """Linear, batch norm if asked, ReLU; ten times. Weights are Kaiming's times `scale`."""
    pynet.manual_seed(0)
    parts: list[nn.Module] = []
    for _ in range(LAYERS):
        linear = nn.Linear(64, 64)
        nn.init.kaiming_normal_(linear.weight)
        nn.init.zeros_(linear.bias)
        with pynet.no_grad():
            linear.weight.mul_(scale)
        parts += [linear, nn.BatchNorm1d(64), nn.ReLU()] if normed else [linear, nn.ReLU()]
    return nn.Sequential(*parts, nn.Linear(64, 10))


def activations(model: nn.Sequential, x: pynet.Tensor) -> list[np.ndarray]:
    """What leaves each ReLU, caught by forward hooks."""
    kept: list[np.ndarray] = []
    handles = [
        layer.register_forward_hook(lambda layer, inputs, output: kept.append(output.array.copy()))
        for layer in model
        if isinstance(layer, nn.ReLU)
    ]
    with pynet.no_grad():
        model(x)
    for handle in handles:
        handle.remove()
    return kept


def main(argv: Sequence[str] | None = None) -> dict[str, float]:
    """Train at every learning rate and scale, print what came out, draw it; return the numbers."""
    arguments = lecture.options(__doc__, "batch_norm", argv)
    x, y, x_test, y_test = lecture.digits()
    rates = 10.0 ** np.linspace(-3.5, 0, 3 if arguments.quick else 8)
    epochs = 2 if arguments.quick else 15
    found: dict[tuple[bool, float], np.ndarray] = {}
    for normed in (False, True):
        for scale in SCALES:
            shares = []
            for rate in rates:
                model = network(normed, scale)
                with np.errstate(all="ignore"):
                    lecture.descend(
                        model, optim.SGD(model.parameters(), lr=float(rate), momentum=0.9), x, y, epochs
                    )
                    shares.append(lecture.accuracy(model, x_test, y_test))
            found[normed, scale] = np.array(shares)

    facts: dict[str, float] = {}
    print(f"{'':33s}{'best test':>11s}{'rates above 90 %':>18s}")
    for (normed, scale), shares in found.items():
        name = f"{'batch norm' if normed else 'plain'}, {scale:g} x Kaiming"
        good = int((shares > 0.9).sum())
        print(f"{name:33s}{100 * shares.max():9.1f} %{good:11d} of {len(rates)}")
        facts |= {f"{name} best": float(shares.max()), f"{name} good": good}
    before = {normed: activations(network(normed, 0.5), x[:200]) for normed in (False, True)}
    for normed, hidden in before.items():
        name = "batch norm" if normed else "plain"
        facts |= {f"{name} first": float(hidden[0].std()), f"{name} last": float(hidden[-1].std())}
        print(f"deviation behind layers 1 and {LAYERS}, 0.5 x Kaiming, {name}: "
              f"{hidden[0].std():.2g}, {hidden[-1].std():.2g}")  # fmt: skip
    draw(rates, found, before, arguments.out)
    return facts


def draw(rates, found, before: dict[bool, list[np.ndarray]], path: str) -> None:
    """Accuracy against learning rate; histograms of five layers, without and with."""
    figure = lecture.new_figure(10.5, 4.4)
    left, right = figure.subfigures(1, 2)
    axis = left.subplots()
    for (normed, scale), shares in found.items():
        colour = lecture.ORANGE if normed else lecture.BLUE
        style = {0.5: ":", 1.0: "-", 2.0: "--"}[scale]
        label = f"{'batch norm' if normed else 'plain'}, {scale:g} x Kaiming"
        axis.semilogx(rates, 100 * shares, style, color=colour, marker="o", markersize=3, label=label)
    axis.set(title="test accuracy after training", xlabel="learning rate", ylabel="%", ylim=(0, 103))
    axis.legend(loc="lower left", fontsize=8, frameon=True)
    shown = (0, 2, 4, 6, 9)
    rows = right.subplots(2, len(shown), sharey=True)
    for row, (normed, hidden) in zip(rows, before.items(), strict=True):
        for axis, layer in zip(row, shown, strict=True):
            values = hidden[layer].ravel()
            axis.hist(
                values[values > 0], bins=40, range=(0, 3), color=lecture.ORANGE if normed else lecture.BLUE
            )
            axis.set(yticks=[], title=f"layer {layer + 1}\n{values.std():.1g}", xticks=(0, 2))
            axis.grid(False)
        row[0].set_ylabel("batch norm" if normed else "plain")
    right.suptitle("positive activations before training, 0.5 x Kaiming", fontsize=11)
    figure.savefig(path)


if __name__ == "__main__":
    main()
