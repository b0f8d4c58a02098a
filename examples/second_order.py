"""First against second order: SGD, Adam, L-BFGS and Newton-CG on the handwritten digits of scikit-learn.

Logistic regression, which is convex, and a small network, which is not, on the whole data set at once. Each
curve is the loss against evaluations of the gradient, and against seconds.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import lecture
import numpy as np
from sklearn.datasets import load_digits

import pynet
from pynet import nn, optim

OPTIMIZERS: dict[str, Callable[[Any], Any]] = {
    "SGD, momentum": lambda p: optim.SGD(p, lr=0.5, momentum=0.9),
    "Adam": lambda p: optim.Adam(p, lr=0.02),
    "LBFGS": lambda p: optim.LBFGS(p, line_search_fn="strong_wolfe", tolerance_change=0, tolerance_grad=0),
    "NewtonCG": lambda p: optim.NewtonCG(p, max_iter=2, tolerance_change=0, tolerance_grad=0),
}


def problems(x: np.ndarray) -> dict[str, nn.Module]:
    """The models, untrained, always with the same weights."""
    pynet.manual_seed(0)
    size = x.shape[1]
    return {
        "logistic regression": nn.Linear(size, 10),
        "network of 32 tanh": nn.Sequential(nn.Linear(size, 32), nn.Tanh(), nn.Linear(32, 10)),
    }


def train(model: nn.Module, make: Callable[[Any], Any], x: Any, y: Any, most: int) -> np.ndarray:
    """Rows (evaluations, seconds, loss): the lowest loss so far, for at most `most` evaluations."""
    optimizer, loss, start = make(model.parameters()), nn.CrossEntropyLoss(), time.perf_counter()
    rows: list[tuple[float, float, float]] = []

    def closure() -> Any:
        optimizer.zero_grad()
        penalty = sum((p * p).sum() for p in model.parameters()) * 5e-4
        value = loss(model(x), y) + penalty
        value.backward()
        lowest = min(value.item(), rows[-1][2] if rows else np.inf)
        rows.append((len(rows) + 1, time.perf_counter() - start, lowest))
        return value

    while len(rows) < most:
        before = len(rows)
        optimizer.step(closure)
        if len(rows) - before <= 1 and isinstance(optimizer, (optim.LBFGS, optim.NewtonCG)):
            break  # float32 holds no lower loss
    return np.array(rows[:most])


def main(argv: Sequence[str] | None = None) -> dict[str, float]:
    """Train, print the table, draw the figure; return the numbers."""
    arguments = lecture.options(__doc__, "second_order", argv)
    most = 60 if arguments.quick else 400
    digits = load_digits()
    x = pynet.from_numpy((digits.data / 16).astype(np.float32))
    y = pynet.from_numpy(digits.target.astype(np.int64))
    curves = {
        problem: {
            name: train(problems(x.array)[problem], make, x, y, most) for name, make in OPTIMIZERS.items()
        }
        for problem in problems(x.array)
    }
    for problem, found in curves.items():
        lowest = min(rows[-1, 2] for rows in found.values())
        print(f"\n{problem}: lowest loss {lowest:.5f}")
        print(f"{'':15s}{'loss, 50':>10s}{'loss, end':>11s}{'to +1 %':>9s}{'seconds':>9s}")
        for name, rows in found.items():
            near = rows[rows[:, 2] <= 1.01 * lowest]
            evaluations = f"{near[0, 0]:.0f}" if len(near) else "-"
            seconds = f"{near[0, 1]:.3f}" if len(near) else "-"
            at_50 = rows[min(49, len(rows) - 1), 2]
            print(f"{name:15s}{at_50:10.5f}{rows[-1, 2]:11.5f}{evaluations:>9s}{seconds:>9s}")
    draw(curves, arguments.out)
    return {
        f"{problem}, {name}": float(rows[-1, 2])
        for problem, found in curves.items()
        for name, rows in found.items()
    }


def draw(curves: dict[str, dict[str, np.ndarray]], path: str) -> None:
    """Loss above the lowest found, against evaluations (left) and seconds (right); a row a problem."""
    figure = lecture.new_figure(9, 6.5)
    axes = figure.subplots(len(curves), 2, squeeze=False)
    for row, (problem, found) in zip(axes, curves.items(), strict=True):
        lowest = min(rows[-1, 2] for rows in found.values())
        for column, (axis, label) in enumerate(
            zip(row, ("evaluations of the gradient", "seconds"), strict=True)
        ):
            for name, rows in found.items():
                axis.semilogy(rows[:, column], np.maximum(rows[:, 2] - lowest, 1e-6), label=name)
            axis.set(xlabel=label, title=problem, ylabel="loss - lowest" if column == 0 else None)
            axis.grid(alpha=0.3)
    axes[0, 0].legend()
    figure.savefig(path)


if __name__ == "__main__":
    main()
