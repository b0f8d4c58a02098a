"""Six optimizers race on one surface: SGD, momentum, Nesterov, AdaGrad, RMSProp and Adam.

The surface is Beale's function, whose minimum lies at the end of a bent, shallow valley behind steep walls.
Then the same six train one network on the digits, where the order is another.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import lecture
import numpy as np

import pynet
from pynet import nn, optim

# name: (optimizer with its rate on the surface, with its rate on the digits)
RUNNERS: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    "SGD": (lambda p: optim.SGD(p, lr=2e-3), lambda p: optim.SGD(p, lr=0.05)),
    "momentum": (
        lambda p: optim.SGD(p, lr=2e-3, momentum=0.9),
        lambda p: optim.SGD(p, lr=0.05, momentum=0.9),
    ),
    "Nesterov": (
        lambda p: optim.SGD(p, lr=2e-3, momentum=0.9, nesterov=True),
        lambda p: optim.SGD(p, lr=0.05, momentum=0.9, nesterov=True),
    ),
    "AdaGrad": (lambda p: optim.Adagrad(p, lr=0.5), lambda p: optim.Adagrad(p, lr=0.02)),
    "RMSProp": (
        lambda p: optim.RMSprop(p, lr=0.02, alpha=0.9),
        lambda p: optim.RMSprop(p, lr=2e-3, alpha=0.9),
    ),
    "Adam": (lambda p: optim.Adam(p, lr=0.1), lambda p: optim.Adam(p, lr=3e-3)),
}
START, MINIMUM = (1.0, 1.5), (3.0, 0.5)


def beale(x: Any, y: Any) -> Any:
    """Beale's test function; 0 at (3, 0.5)."""
    return (1.5 - x + x * y) ** 2 + (2.25 - x + x * y**2) ** 2 + (2.625 - x + x * y**3) ** 2


def path_of(make: Callable[[Any], Any], steps: int) -> np.ndarray:
    """The points that the optimizer visits, the start first."""
    point = nn.Parameter(pynet.tensor(START))
    optimizer = make([point])
    visited = [point.array.copy()]
    for _ in range(steps):
        optimizer.zero_grad()
        beale(point[0], point[1]).backward()
        optimizer.step()
        visited.append(point.array.copy())
    return np.array(visited, np.float64)


def network() -> nn.Sequential:
    """Two hidden layers; the same weights for every runner."""
    pynet.manual_seed(0)
    return nn.Sequential(
        nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10)
    )  # fmt: skip


def main(argv: Sequence[str] | None = None) -> dict[str, float]:
    """Race on the surface and on the digits, print the table, draw the paths; return the numbers."""
    arguments = lecture.options(__doc__, "optimizer_race", argv)
    steps, epochs = (150, 1) if arguments.quick else (600, 12)
    x, y, x_test, y_test = lecture.digits()
    paths: dict[str, np.ndarray] = {}
    losses: dict[str, np.ndarray] = {}
    facts: dict[str, float] = {}
    print(
        f"{'':10s}{f'height after {steps}':>18s}{'below 0.01 at step':>20s}{'digits, loss':>14s}{'test':>8s}"
    )
    for name, (on_surface, on_digits) in RUNNERS.items():
        paths[name] = path_of(on_surface, steps)
        heights = beale(*paths[name].T)
        low = np.flatnonzero(heights < 0.01)
        model = network()
        losses[name] = lecture.descend(model, on_digits(model.parameters()), x, y, epochs)
        test, end = lecture.accuracy(model, x_test, y_test), losses[name][-20:].mean()
        reached = str(low[0]) if len(low) else "-"
        print(f"{name:10s}{heights[-1]:18.2g}{reached:>20s}{end:14.4f}{100 * test:6.1f} %")
        facts |= {f"{name} height": float(heights[-1]), f"{name} loss": float(end), f"{name} test": test}
    draw(paths, losses, arguments.out)
    return facts


def draw(paths: dict[str, np.ndarray], losses: dict[str, np.ndarray], path: str) -> None:
    """Paths on the surface, the height at each step, the losses on the digits."""
    figure = lecture.new_figure(11, 4.6)
    left, middle, right = figure.subplots(1, 3, width_ratios=(1.5, 1, 1))
    x, y = np.meshgrid(np.linspace(-0.5, 4.2, 240), np.linspace(-1.2, 2.4, 200))
    left.contourf(x, y, np.log10(beale(x, y) + 1e-2), levels=24, cmap="Greys", alpha=0.75)
    for (name, points), colour in zip(paths.items(), lecture.COLOURS, strict=False):
        left.plot(*points.T, color=colour, label=name)
        left.plot(*points[-1], "o", color=colour, markersize=5)
        middle.semilogy(np.maximum(beale(*points.T), 1e-9), color=colour)
        right.semilogy(lecture.smooth(losses[name]), color=colour)
    left.plot(*START, "ks", markersize=5)
    left.plot(*MINIMUM, "k*", markersize=12)
    left.set(title="paths from the square to the star", xlim=(-0.5, 4.2), ylim=(-1.2, 2.4))
    left.grid(False)
    middle.set(title="height", xlabel="step")
    right.set(title="loss on the digits", xlabel="step")
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=6)
    figure.savefig(path)


if __name__ == "__main__":
    main()
