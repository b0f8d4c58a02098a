"""Learning-rate schedules: their curves, and what each makes of the same training.

A high rate gets near a minimum fast and then jumps about in it; a falling one settles. Constant, step, 1/t,
exponential, cosine, warm restarts, cyclic and one cycle, all from the same initial rate.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import lecture
import numpy as np

import pynet
from pynet import nn, optim
from pynet.optim import lr_scheduler as schedule

RATE = 0.2
# name: scheduler of (optimizer, epochs); one step an epoch
SCHEDULES: dict[str, Callable[[Any, int], Any]] = {
    "constant": lambda o, n: schedule.ConstantLR(o, factor=1.0),
    "step": lambda o, n: schedule.StepLR(o, step_size=max(n // 3, 1), gamma=0.1),
    "1/t": lambda o, n: schedule.LambdaLR(o, lambda epoch: 1 / (1 + 10 * epoch / n)),
    "exponential": lambda o, n: schedule.ExponentialLR(o, gamma=0.01 ** (1 / n)),
    "cosine": lambda o, n: schedule.CosineAnnealingLR(o, T_max=n),
    "warm restarts": lambda o, n: schedule.CosineAnnealingWarmRestarts(o, T_0=max(n // 3, 1)),
    "cyclic": lambda o, n: schedule.CyclicLR(
        o, base_lr=RATE / 100, max_lr=RATE, step_size_up=max(n // 6, 1), cycle_momentum=False
    ),
    "one cycle": lambda o, n: schedule.OneCycleLR(o, max_lr=RATE, total_steps=n + 1, cycle_momentum=False),
}


def network() -> nn.Sequential:
    """Two hidden layers; the same weights for every schedule."""
    pynet.manual_seed(0)
    return nn.Sequential(
        nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 10)
    )  # fmt: skip


def rates(name: str, epochs: int) -> np.ndarray:
    """The rate in each epoch, without any training."""
    optimizer = optim.SGD([nn.Parameter(pynet.zeros(1))], lr=RATE)
    scheduler = SCHEDULES[name](optimizer, epochs)
    found = []
    for _ in range(epochs):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return np.array(found)


def main(argv: Sequence[str] | None = None) -> dict[str, float]:
    """Train with every schedule, print the table, draw rates and losses; return the numbers."""
    arguments = lecture.options(__doc__, "schedules", argv)
    epochs = 3 if arguments.quick else 30
    x, y, x_test, y_test = lecture.digits()
    # Small batches on labels of which a tenth is wrong: the noise that a falling rate averages out.
    random = np.random.default_rng(0)
    wrong = random.random(len(y)) < 0.1
    noisy = pynet.from_numpy(np.where(wrong, random.integers(0, 10, len(y)), y.array))
    facts: dict[str, float] = {}
    losses: dict[str, np.ndarray] = {}
    print(f"{'':15s}{'last rate':>10s}{'training loss':>15s}{'test':>9s}")
    for name, make in SCHEDULES.items():
        model = network()
        optimizer = optim.SGD(model.parameters(), lr=RATE, weight_decay=2e-3)
        losses[name] = lecture.descend(
            model, optimizer, x, noisy, epochs, batch=16, scheduler=make(optimizer, epochs)
        )
        end = float(losses[name][-len(losses[name]) // epochs :].mean())
        test, last = lecture.accuracy(model, x_test, y_test), rates(name, epochs)[-1]
        print(f"{name:15s}{last:10.4f}{end:15.3f}{100 * test:7.1f} %")
        facts |= {f"{name} loss": end, f"{name} test": test, f"{name} last": float(last)}
    draw(losses, epochs, arguments.out)
    return facts


def draw(losses: dict[str, np.ndarray], epochs: int, path: str) -> None:
    """A panel a schedule: its rate above, the loss of each epoch below, beside the constant rate's."""
    figure = lecture.new_figure(11, 5.6)
    panels = figure.subplots(4, 4, sharex=True, sharey="row", height_ratios=(1, 1.3, 1, 1.3))
    mean = {name: values.reshape(epochs, -1).mean(1) for name, values in losses.items()}
    for place, (name, colour) in enumerate(zip(losses, lecture.COLOURS, strict=True)):
        above, below = panels[2 * (place // 4), place % 4], panels[2 * (place // 4) + 1, place % 4]
        above.step(np.arange(epochs) + 1, rates(name, epochs), where="mid", color=colour)
        above.set_title(name)
        below.plot(np.arange(epochs) + 1, mean["constant"], color=lecture.GREY, linewidth=0.8)
        below.plot(np.arange(epochs) + 1, mean[name], color=colour)
        below.set_yscale("log")
        if place % 4 == 0:
            above.set_ylabel("rate")
            below.set_ylabel("training loss")
        if place >= 4:
            below.set_xlabel("epoch")
    figure.savefig(path)


if __name__ == "__main__":
    main()
