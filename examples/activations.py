"""Activations compared: sigmoid, tanh, ReLU, leaky ReLU, ELU and Maxout.

Their curves, their slopes, and the training of the same ten-layer network with each of them. What trains
slowly has slopes below one everywhere: ten of them multiplied leave the first layer without a gradient.
"""

from __future__ import annotations

from collections.abc import Sequence

import lecture
import numpy as np

import pynet
from pynet import nn, optim

ACTIVATIONS = {
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "ReLU": nn.ReLU,
    "leaky ReLU": lambda: nn.LeakyReLU(0.1),
    "ELU": nn.ELU,
    "Maxout": lambda: nn.Maxout(2),
}


def network(name: str, layers: int = 10, width: int = 64) -> nn.Sequential:
    """`layers` hidden layers; Maxout takes the larger of two neurons and so needs twice as many."""
    pynet.manual_seed(0)
    parts: list[nn.Module] = []
    size = 64
    for _ in range(layers):
        linear = nn.Linear(size, width * (2 if name == "Maxout" else 1))
        if name in ("ReLU", "leaky ReLU", "ELU"):
            nn.init.kaiming_normal_(linear.weight)
        else:
            nn.init.normal_(linear.weight, std=1 / np.sqrt(size))
        nn.init.zeros_(linear.bias)
        parts += [linear, ACTIVATIONS[name]()]
        size = width
    return nn.Sequential(*parts, nn.Linear(size, 10))


def curve(name: str, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The activation and its slope; Maxout of the two lines x and -x / 2, as it might learn them."""
    x = pynet.tensor(points.astype(np.float32), requires_grad=True)
    if name == "Maxout":
        y = ACTIVATIONS[name]()(pynet.stack([x, x * -0.5], 1))[:, 0]
    else:
        y = ACTIVATIONS[name]()(x)
    y.sum().backward()
    return y.array, x.grad.array


def main(argv: Sequence[str] | None = None) -> dict[str, float]:
    """Train one network an activation, print the table, draw curves and trainings; return the numbers."""
    arguments = lecture.options(__doc__, "activations", argv)
    x, y, x_test, y_test = lecture.digits()
    epochs = 2 if arguments.quick else 20
    facts: dict[str, float] = {}
    losses: dict[str, np.ndarray] = {}
    print(f"{'':12s}{'gradient, first : last layer':>30s}{'loss':>9s}{'test':>9s}")
    for name in ACTIVATIONS:
        model = network(name)
        nn.CrossEntropyLoss()(model(x), y).backward()
        first, last = (np.abs(layer.weight.grad.array).mean() for layer in (model[0], model[-1]))
        optimizer = optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
        losses[name] = lecture.descend(model, optimizer, x, y, epochs)
        test = lecture.accuracy(model, x_test, y_test)
        end = losses[name][-20:].mean()
        print(f"{name:12s}{first / last:30.1e}{end:9.4f}{100 * test:7.1f} %")
        facts |= {f"{name} ratio": float(first / last), f"{name} loss": float(end), f"{name} test": test}
    draw(losses, arguments.out)
    return facts


def draw(losses: dict[str, np.ndarray], path: str) -> None:
    """Curves, slopes, losses."""
    figure = lecture.new_figure(10.5, 4.2)
    left, middle, right = figure.subplots(1, 3)
    points = np.linspace(-3, 3, 301)
    for name, colour in zip(losses, lecture.COLOURS, strict=False):
        values, slopes = curve(name, points)
        left.plot(points, values, color=colour, label=name)
        middle.plot(points, slopes, color=colour)
        right.semilogy(lecture.smooth(losses[name]), color=colour)
    left.set(title="activation", xlabel="x", ylim=(-1.6, 3))
    middle.set(title="slope", xlabel="x", ylim=(-0.6, 1.1))
    right.set(title="loss of ten layers on the digits", xlabel="step", ylabel="loss, mean of 20 steps")
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=6)
    figure.savefig(path)


if __name__ == "__main__":
    main()
