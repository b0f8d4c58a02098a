"""The loss surface before and after standardising, and the largest stable learning rate of each.

Linear regression on two features, one of them large and off centre. The mean squared error is a parabola
whose curvatures are the eigenvalues of its Hessian; gradient descent is stable below 2 / the largest of
them. The limit is measured beside that prediction.
"""

from __future__ import annotations

from collections.abc import Sequence

import lecture
import numpy as np

import pynet
from pynet import data, nn, optim


def features() -> tuple[np.ndarray, np.ndarray]:
    """A hundred flats: rooms (about 3) and area (about 80), and their rents; float64."""
    rng = np.random.default_rng(0)
    rooms = rng.normal(3, 1, 100)
    x = np.stack([rooms, 25 * rooms + rng.normal(5, 12, 100)], axis=1)
    return x, x @ [1.5, 0.1] + rng.normal(0, 0.5, 100)


def descend(x: np.ndarray, y: np.ndarray, rate: float, steps: int) -> np.ndarray:
    """The weights that gradient descent visits from zero, (steps + 1, 2)."""
    model = nn.Linear(2, 1, bias=False).to(pynet.float64)
    nn.init.zeros_(model.weight)
    optimizer, loss = optim.SGD(model.parameters(), lr=rate), nn.MSELoss()
    inputs, targets = pynet.from_numpy(x), pynet.from_numpy(y[:, None])
    visited = [model.weight.array[0].copy()]
    for _ in range(steps):
        optimizer.zero_grad()
        loss(model(inputs), targets).backward()
        optimizer.step()
        visited.append(model.weight.array[0].copy())
    return np.array(visited)


def largest_stable(x: np.ndarray, y: np.ndarray, steps: int) -> float:
    """By bisection: the rate above which the steps grow."""
    low, high = 1e-8, 1e2
    while high / low > 1.001:
        rate = (low * high) ** 0.5
        with np.errstate(all="ignore"):
            moves = np.linalg.norm(np.diff(descend(x, y, rate, steps), axis=0), axis=1)
        stable = np.isfinite(moves[-1]) and moves[-1] <= moves[-2]
        low, high = (rate, high) if stable else (low, rate)
    return (low * high) ** 0.5


def main(argv: Sequence[str] | None = None) -> dict[str, float]:
    """Predict and measure, print, draw surface and paths; return the numbers."""
    arguments = lecture.options(__doc__, "loss_surface", argv)
    raw, y = features()
    # In double precision: the preprocessing classes compute in float32, as networks do.
    scale = data.preprocess.Standardize().fit(raw.astype(np.float32))
    standardised = np.asarray(scale(raw.astype(np.float32)), np.float64)
    facts: dict[str, float] = {}
    figure = lecture.new_figure(10.5, 4.3)
    print(f"{'':14s}{'curvatures':>22s}{'2 / largest':>13s}{'measured':>12s}{'steps to 1 %':>14s}")
    both = {"raw": (raw, y - y.mean()), "standardised": (standardised, y - y.mean())}
    for axis, (name, (x, target)) in zip(figure.subplots(1, 2), both.items(), strict=True):
        hessian = 2 * x.T @ x / len(x)
        curvatures, _ = np.linalg.eigh(hessian)
        predicted = 2 / curvatures[-1]
        measured = largest_stable(x, target, 40 if arguments.quick else 400)
        best = np.linalg.lstsq(x, target, rcond=None)[0]
        path = descend(x, target, 0.9 * predicted, 2000)
        excess = ((path - best) @ hessian * (path - best)).sum(axis=1)
        near = excess <= 0.01 * excess[0]
        needed = int(near.argmax()) if near.any() else len(path)
        facts |= {f"{name} predicted": predicted, f"{name} measured": measured, f"{name} steps": needed}
        facts[f"{name} condition"] = curvatures[-1] / curvatures[0]
        shown = ", ".join(f"{value:.4g}" for value in curvatures)
        print(f"{name:14s}{shown:>22s}{predicted:13.4g}{measured:12.4g}{needed:14d}")
        reach = 1.6 * np.abs(path[:30] - best).max()
        grid = np.linspace(-reach, reach, 120)
        first, second = np.meshgrid(best[0] + grid, best[1] + grid)
        offset = np.stack([first - best[0], second - best[1]], axis=-1)
        height = np.einsum("rci,ij,rcj->rc", offset, hessian, offset)
        axis.contourf(first, second, np.log10(height + 1e-6), levels=18, cmap="Greys")
        axis.plot(*path[:60].T, "o-", color=lecture.ORANGE, markersize=3, linewidth=1)
        axis.plot(*best, "*", color=lecture.BLUE, markersize=12)
        axis.set(
            title=f"{name}: condition {facts[f'{name} condition']:.3g}", xlabel="weight 1", ylabel="weight 2"
        )
        axis.grid(False)
    figure.savefig(arguments.out)
    return facts


if __name__ == "__main__":
    main()
