"""The procedure, before any long training: first loss, overfit 20 samples, find a learning rate, read the
curves.

Each step is cheap and catches a different fault: a loss that does not start at ln 10 has a wrong scale or
wrong labels, a network that cannot learn 20 samples by heart has a broken gradient, and the learning rate
is found by raising it until the loss explodes.
"""

from __future__ import annotations

from collections.abc import Sequence

import lecture
import numpy as np

import pynet
from pynet import nn, optim


def network() -> nn.Sequential:
    """A hundred hidden neurons; small last weights, so that all classes begin equally likely."""
    pynet.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 100), nn.ReLU(), nn.Linear(100, 10))
    nn.init.normal_(model[2].weight, std=1e-3)
    nn.init.zeros_(model[2].bias)
    return model


def rate_test(x: pynet.Tensor, y: pynet.Tensor, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """The loss while the learning rate grows from step to step, from 1e-4 to 100."""
    model, loss = network(), nn.CrossEntropyLoss()
    optimizer = optim.SGD(model.parameters(), lr=1e-4, momentum=0.9)
    rates, losses = 10.0 ** np.linspace(-4, 2, steps), []
    order = np.random.default_rng(0).permutation(len(x))
    for step, rate in enumerate(rates):
        chosen = np.take(order, np.arange(64 * step, 64 * (step + 1)), mode="wrap")
        optimizer.param_groups[0]["lr"] = float(rate)
        value = loss(model(x[chosen]), y[chosen])
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        losses.append(value.item())
        if not losses[-1] < 4 * losses[0]:  # also where it is NaN
            break
    return rates[: len(losses)], np.array(losses)


def main(argv: Sequence[str] | None = None) -> dict[str, float]:
    """Do the four steps, print what they found, draw it; return the numbers."""
    arguments = lecture.options(__doc__, "procedure", argv)
    x, y, x_test, y_test = lecture.digits()
    loss = nn.CrossEntropyLoss()

    first = loss(network()(x), y).item()
    print(f"1. first loss {first:.4f}, ln 10 = {np.log(10):.4f}")

    model = network()
    optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    few = lecture.descend(model, optimizer, x[:20], y[:20], 60, batch=20)
    by_heart = lecture.accuracy(model, x[:20], y[:20])
    print(f"2. 20 samples: loss {few[-1]:.5f}, {100 * by_heart:.0f} % right, after 60 steps")

    rates, losses = rate_test(x, y, 60 if arguments.quick else 200)
    falling = lecture.smooth(losses, 5)
    steepest = float(rates[np.argmin(np.gradient(falling))])
    lowest = float(rates[np.argmin(falling)])
    chosen = 10.0 ** np.round(np.log10(lowest / 10) * 2) / 10.0 ** np.round(np.log10(lowest / 10))
    chosen = lowest / 10
    print(
        f"3. learning rate: steepest fall at {steepest:.3g}, lowest loss at {lowest:.3g}, we take {chosen:.2g}"
    )

    epochs = 2 if arguments.quick else 25
    curves: dict[str, np.ndarray] = {}
    trials = {"too low": chosen / 100, "found": chosen, "too high": chosen * 100}
    for name, rate in trials.items():
        model = network()
        optimizer = optim.SGD(model.parameters(), lr=rate, momentum=0.9)
        rows = []
        for _ in range(epochs):
            values = lecture.descend(model, optimizer, x, y, 1)
            held_out = (lecture.accuracy(model, x, y), lecture.accuracy(model, x_test, y_test))
            rows.append((values.mean(), *held_out))
        curves[name] = np.array(rows)
        end = curves[name][-1]
        print(f"4. rate {rate:.2g}, {name}: loss {end[0]:.4f}, training {100 * end[1]:.1f} %, "
              f"held out {100 * end[2]:.1f} %")  # fmt: skip
    draw(few, (rates, losses, chosen), trials, curves, arguments.out)
    facts = {"first": first, "by heart": by_heart, "few": float(few[-1]), "rate": float(chosen)}
    return facts | {f"{name} held out": float(rows[-1, 2]) for name, rows in curves.items()}


def draw(few, test, trials: dict[str, float], curves: dict[str, np.ndarray], path: str) -> None:
    """A panel for each step after the first; the first is where the first curve begins."""
    figure = lecture.new_figure(11, 3.9)
    one, two, three, four = figure.subplots(1, 4)
    one.semilogy(few, color=lecture.BLUE)
    one.axhline(np.log(10), color=lecture.GREY, linestyle="--", linewidth=1)
    one.annotate("ln 10", (30, np.log(10)), color=lecture.GREY, va="bottom")
    one.set(title="20 samples by heart", xlabel="step", ylabel="loss", ylim=(None, 6))
    rates, losses, chosen = test
    two.semilogx(rates, losses, color=lecture.BLUE, alpha=0.35, linewidth=1)
    two.semilogx(rates, lecture.smooth(losses, 5), color=lecture.BLUE)
    two.axvline(chosen, color=lecture.ORANGE, linestyle="--", linewidth=1, label=f"we take {chosen:.2g}")
    two.set(title="the rate grows", xlabel="learning rate", ylabel="loss", ylim=(0, 4))
    two.legend(loc="upper left")
    colours = dict(zip(curves, (lecture.BLUE, lecture.ORANGE, lecture.RED), strict=True))
    for name, rows in curves.items():
        epochs = np.arange(1, len(rows) + 1)
        three.semilogy(epochs, rows[:, 0], color=colours[name], label=f"{name}, {trials[name]:.2g}")
        four.plot(epochs, 100 * rows[:, 1], ":", color=colours[name])
        four.plot(epochs, 100 * rows[:, 2], color=colours[name])
    three.set(title="loss", xlabel="epoch")
    three.legend(title="learning rate")
    four.set(title="accuracy: training dotted", xlabel="epoch", ylabel="%")
    figure.savefig(path)


if __name__ == "__main__":
    main()
