"""All weights equal: the hidden neurons stay the same for ever, and logistic regression learns all the
same.

Neurons that begin alike get the same gradient and stay alike: a hidden layer of sixteen is one neuron. A
model without hidden neurons has nothing to be alike, so for logistic regression zero is as good a start as
any.
"""

from __future__ import annotations

from collections.abc import Sequence

import lecture
import numpy as np

import pynet
from pynet import nn, optim


def network(start: str) -> nn.Sequential:
    """Sixteen tanh neurons; weights all 0.1, all 0, or random."""
    pynet.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 16), nn.Tanh(), nn.Linear(16, 10))
    if start != "random":
        for parameter in model.parameters():
            nn.init.constant_(parameter, 0.1 if start == "all 0.1" else 0.0)
    return model


def main(argv: Sequence[str] | None = None) -> dict[str, float]:
    """Train from each start, print how different the neurons are, draw their weights; return the numbers."""
    arguments = lecture.options(__doc__, "equal_weights", argv)
    x, y, x_test, y_test = lecture.digits()
    epochs = 3 if arguments.quick else 40
    facts: dict[str, float] = {}
    hidden: dict[str, np.ndarray] = {}
    print(f"{'':32s}{'test':>8s}{'largest difference of two neurons':>36s}")
    for start in ("all 0", "all 0.1", "random"):
        model = network(start)
        lecture.descend(model, optim.SGD(model.parameters(), lr=0.05, momentum=0.9), x, y, epochs)
        weights = hidden[start] = model[0].weight.array.copy()
        apart = float(np.abs(weights - weights[0]).max())
        share = lecture.accuracy(model, x_test, y_test)
        facts |= {f"{start} test": share, f"{start} apart": apart}
        print(f"{'network, ' + start:32s}{100 * share:6.1f} %{apart:36.3g}")
    linear = nn.Linear(64, 10)
    for parameter in linear.parameters():
        nn.init.zeros_(parameter)
    lecture.descend(linear, optim.SGD(linear.parameters(), lr=0.05, momentum=0.9), x, y, epochs)
    facts["logistic test"] = lecture.accuracy(linear, x_test, y_test)
    print(f"{'logistic regression, all 0':32s}{100 * facts['logistic test']:6.1f} %")

    figure = lecture.new_figure(10.5, 3.4)
    for axis, (start, weights) in zip(figure.subplots(1, 3), hidden.items(), strict=True):
        largest = max(np.abs(weights).max(), 1e-3)
        axis.imshow(weights, aspect="auto", cmap="RdBu_r", vmin=-largest, vmax=largest)
        axis.set(
            title=f"begun {start}: {100 * facts[f'{start} test']:.0f} %",
            xlabel="pixel",
            ylabel="hidden neuron",
        )
        axis.grid(False)
    figure.savefig(arguments.out)
    return facts


if __name__ == "__main__":
    main()
