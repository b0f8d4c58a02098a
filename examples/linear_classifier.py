"""A linear classifier on scanned digits: what the softmax loss and the SVM loss make of the same model.

Ten scores, a row of weights each. Since a row has one weight a pixel it can be looked at as a picture: the
template of its class. The lower row shows the loss itself, along a line and on a plane through the
solution.
"""

from __future__ import annotations

from collections.abc import Sequence

import lecture
import numpy as np

import pynet
from pynet import nn, optim


def trained(loss: nn.Module, x: pynet.Tensor, y: pynet.Tensor, epochs: int) -> nn.Linear:
    """scores = x W^T + b, trained with weight decay, which keeps the templates smooth."""
    pynet.manual_seed(0)
    model = nn.Linear(64, 10)
    optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-3)
    lecture.descend(model, optimizer, x, y, epochs, loss=loss)
    return model


def along(loss: nn.Module, model: nn.Linear, x, y, directions: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """The loss at W + sum of step times direction, for each row of `steps`; W is put back."""
    weights = model.weight.array.copy()
    found = []
    with pynet.no_grad():
        for step in steps:
            moved = weights + np.tensordot(step, directions, 1)
            model.weight.copy_(pynet.from_numpy(moved.astype(np.float32)))
            found.append(loss(model(x), y).item())
        model.weight.copy_(pynet.from_numpy(weights))
    return np.array(found)


def main(argv: Sequence[str] | None = None) -> dict[str, float]:
    """Train both, print their accuracies, draw templates and loss; return the numbers."""
    arguments = lecture.options(__doc__, "linear_classifier", argv)
    x, y, x_test, y_test = lecture.digits(standardise=False)
    epochs = 5 if arguments.quick else 60
    losses = {"softmax": nn.CrossEntropyLoss(), "SVM": nn.MultiMarginLoss()}
    models = {name: trained(loss, x, y, epochs) for name, loss in losses.items()}

    facts: dict[str, float] = {}
    print(f"{'':10s}{'training':>10s}{'test':>8s}{'samples without loss':>23s}")
    for name, model in models.items():
        each = {"softmax": nn.CrossEntropyLoss, "SVM": nn.MultiMarginLoss}[name](reduction="none")
        none = float((each(model(x), y).array == 0).mean())  # the SVM asks for a margin of 1 and no more
        training, test = lecture.accuracy(model, x, y), lecture.accuracy(model, x_test, y_test)
        print(f"{name:10s}{100 * training:8.1f} %{100 * test:6.1f} %{100 * none:21.1f} %")
        facts |= {f"{name} training": training, f"{name} test": test, f"{name} without loss": none}

    draw(models, losses, x, y, 9 if arguments.quick else 33, arguments.out)
    return facts


def draw(models: dict[str, nn.Linear], losses: dict[str, nn.Module], x, y, points: int, path: str) -> None:
    """Templates above; below the loss of single samples along a line, and of all on a plane."""
    figure = lecture.new_figure(10.5, 5.6)
    rows = figure.subfigures(2, 1, height_ratios=(1.0, 1.35))
    templates = rows[0].subplots(2, 10)
    for axes, (name, model) in zip(templates, models.items(), strict=True):
        largest = np.abs(model.weight.array).max()
        for digit, axis in enumerate(axes):
            template = model.weight.array[digit].reshape(8, 8)
            axis.imshow(template, cmap="RdBu_r", vmin=-largest, vmax=largest)
            axis.set(xticks=[], yticks=[], title=str(digit) if name == "softmax" else None)
            axis.grid(False)
        axes[0].set_ylabel(name)

    random = np.random.default_rng(1)
    directions = random.standard_normal((2, 10, 64))
    line, planes = rows[1].subplots(1, 3, width_ratios=(1.1, 1, 1))[0], rows[1].axes[1:]
    reach = np.linspace(-1.5, 1.5, 20 * points)
    for sample, style in zip((0, 1, 2), ("-", "--", ":"), strict=True):
        one = slice(sample, sample + 1)
        for (name, loss), colour in zip(losses.items(), (lecture.BLUE, lecture.ORANGE), strict=True):
            values = along(loss, models[name], x[one], y[one], directions[:1], reach[:, None])
            line.plot(reach, values, style, color=colour, label=name if sample == 0 else None)
    line.set(title="loss of three samples along a line", xlabel="distance from W", ylabel="loss")
    line.legend()
    grid = np.linspace(-1, 1, points)
    steps = np.stack(np.meshgrid(grid, grid, indexing="ij"), -1).reshape(-1, 2)
    for axis, (name, loss) in zip(planes, losses.items(), strict=True):
        values = along(loss, models[name], x, y, directions, steps).reshape(points, points)
        drawn = axis.contourf(grid, grid, values.T, levels=14, cmap="viridis")
        rows[1].colorbar(drawn, ax=axis)
        axis.plot(0, 0, "w*", markersize=9)
        axis.set(title=f"{name}: mean loss on a plane", xlabel="direction 1", ylabel="direction 2")
        axis.grid(False)
    figure.savefig(path)


if __name__ == "__main__":
    main()
