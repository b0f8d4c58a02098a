"""The sigmoid's zig-zag: a neuron whose inputs are all positive can move its weights only together.

The gradient of a weight is the error times its input. Behind a sigmoid all inputs are positive, so all
weights of a neuron go up, or all go down, sample by sample. Where one has to rise and the other to fall,
the path zig-zags; the same inputs around zero (tanh) go straight.
"""

from __future__ import annotations

from collections.abc import Sequence

import lecture
import numpy as np

import pynet
from pynet import nn, optim

GOAL = np.array([2.0, -2.0])


def path_of(inputs: np.ndarray, steps: int, rate: float) -> np.ndarray:
    """The weights of one linear neuron, from zero, learning GOAL sample by sample; (steps + 1, 2)."""
    neuron = nn.Linear(2, 1, bias=False)
    nn.init.zeros_(neuron.weight)
    optimizer = optim.SGD(neuron.parameters(), lr=rate)
    visited = [neuron.weight.array[0].copy()]
    for sample in inputs[:steps].astype(np.float32):
        target = pynet.tensor([[float(sample @ GOAL)]])
        loss = ((neuron(pynet.from_numpy(sample[None])) - target) ** 2).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        visited.append(neuron.weight.array[0].copy())
    return np.array(visited)


def main(argv: Sequence[str] | None = None) -> dict[str, float]:
    """Walk both paths, print how they went, draw them; return the numbers."""
    arguments = lecture.options(__doc__, "zig_zag", argv)
    steps = 50 if arguments.quick else 400
    before = np.random.default_rng(0).normal(0, 1.5, (steps, 2))
    inputs = {"sigmoid": 1 / (1 + np.exp(-before)), "tanh": np.tanh(before)}
    facts: dict[str, float] = {}
    paths: dict[str, np.ndarray] = {}
    print(
        f"{'':10s}{'steps with both weights the same way':>38s}{'way / distance':>16s}{'steps to within 0.2':>21s}"
    )
    for name, values in inputs.items():
        path = paths[name] = path_of(values, steps, rate=0.25)
        moves = np.diff(path, axis=0)
        moved = np.abs(moves).min(axis=1) > 1e-7
        together = float((np.sign(moves[moved, 0]) == np.sign(moves[moved, 1])).mean())
        detour = float(np.linalg.norm(moves, axis=1).sum() / np.linalg.norm(path[-1]))
        near = np.linalg.norm(path - GOAL, axis=1) < 0.2
        needed = int(near.argmax()) if near.any() else -1
        facts |= {f"{name} together": together, f"{name} detour": detour, f"{name} steps": needed}
        print(f"{name:10s}{100 * together:36.0f} %{detour:16.1f}{needed if needed >= 0 else '-':>21}")

    figure = lecture.new_figure(9.5, 4.2)
    plane, line = figure.subplots(1, 2)
    for (name, path), colour in zip(paths.items(), (lecture.ORANGE, lecture.BLUE), strict=True):
        plane.plot(*path.T, color=colour, linewidth=1.1, label=f"inputs behind a {name}")
        line.semilogy(np.linalg.norm(path - GOAL, axis=1), color=colour)
    plane.plot(*GOAL, "k*", markersize=11)
    plane.set(title="the path of the two weights", xlabel="weight 1", ylabel="weight 2")
    plane.legend()
    line.set(title="distance from the goal", xlabel="step")
    figure.savefig(arguments.out)
    return facts


if __name__ == "__main__":
    main()
