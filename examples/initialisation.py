"""Ten layers before any training: which initial weights keep the signal alive.

Normal weights of deviation 0.01 and 0.05 and Xavier's under tanh; Xavier's and Kaiming's under ReLU. One
row of histograms each: the activations of every layer, with their deviation. Below, the gradients on their
way back.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import lecture
import numpy as np

import pynet
from pynet import nn
from pynet.nn import init

LAYERS = 10
SCHEMES: dict[str, tuple[type[nn.Module], Callable[[pynet.Tensor], object]]] = {
    "tanh, 0.01": (nn.Tanh, lambda w: init.normal_(w, std=0.01)),
    "tanh, 0.05": (nn.Tanh, lambda w: init.normal_(w, std=0.05)),
    "tanh, Xavier": (nn.Tanh, init.xavier_normal_),
    "ReLU, Xavier": (nn.ReLU, init.xavier_normal_),
    "ReLU, Kaiming": (nn.ReLU, init.kaiming_normal_),
}


def signals(scheme: str, width: int, samples: int = 100) -> tuple[list[np.ndarray], np.ndarray]:
    """The activations of each layer for normal inputs, and the deviation of the gradient there."""
    pynet.manual_seed(0)
    activation, initialise = SCHEMES[scheme]
    hidden = pynet.randn(samples, width, requires_grad=True)
    kept = []
    for _ in range(LAYERS):
        linear = nn.Linear(width, width, bias=False)
        initialise(linear.weight)
        linear.weight.requires_grad_(False)  # the gradients of the activations are what we look at
        hidden = activation()(linear(hidden))
        hidden.retain_grad()
        kept.append(hidden)
    (hidden * pynet.randn(samples, width)).sum().backward()  # a gradient of deviation 1 at the output
    return [h.array for h in kept], np.array([h.grad.array.std() for h in kept])


def main(argv: Sequence[str] | None = None) -> dict[str, float]:
    """Send one batch through, print deviations, draw histograms; return the numbers."""
    arguments = lecture.options(__doc__, "initialisation", argv)
    width = 512 if arguments.quick else 2048
    found = {scheme: signals(scheme, width) for scheme in SCHEMES}
    facts: dict[str, float] = {}
    print(f"deviation of the activations, {width} neurons a layer")
    print(f"{'layer':15s}{'1':>9s}{'5':>9s}{'10':>9s}{'saturated':>12s}{'gradient at 1':>15s}")
    for scheme, (hidden, gradients) in found.items():
        std = [float(h.std()) for h in hidden]
        saturated = float(np.mean([np.abs(h) > 0.95 for h in hidden])) if "tanh" in scheme else 0.0
        share = f"{100 * saturated:.1f} %" if "tanh" in scheme else "-"
        print(f"{scheme:15s}{std[0]:9.2g}{std[4]:9.2g}{std[-1]:9.2g}{share:>12s}{gradients[0]:15.2g}")
        facts |= {f"{scheme} first": std[0], f"{scheme} last": std[-1], f"{scheme} saturated": saturated}
        facts[f"{scheme} gradient"] = float(gradients[0])
    draw(found, arguments.out)
    return facts


def draw(found: dict[str, tuple[list[np.ndarray], np.ndarray]], path: str) -> None:
    """Histograms, a row a scheme and a column a layer; deviations and gradients below."""
    figure = lecture.new_figure(11, 9)
    upper, lower = figure.subfigures(2, 1, height_ratios=(1.9, 1))
    rows = upper.subplots(len(found), LAYERS, sharex="row")
    for row, (scheme, (hidden, _)), colour in zip(rows, found.items(), lecture.COLOURS, strict=False):
        reach = (-1.05, 1.05) if "tanh" in scheme else (-0.1, 3)
        for layer, (axis, values) in enumerate(zip(row, hidden, strict=True), 1):
            axis.hist(values.ravel(), bins=41, range=reach, color=colour)
            axis.set(yticks=[], title=f"layer {layer}" if axis in rows[0] else None)
            axis.text(0.97, 0.95, f"{values.std():.1g}", transform=axis.transAxes, ha="right", va="top")
            axis.spines["left"].set_visible(False)
            axis.grid(False)
        row[0].set_ylabel(scheme)
    left, right = lower.subplots(1, 2)
    layers = np.arange(1, LAYERS + 1)
    for (scheme, (hidden, gradients)), colour in zip(found.items(), lecture.COLOURS, strict=False):
        left.semilogy(layers, [h.std() for h in hidden], "o-", color=colour, label=scheme, markersize=4)
        right.semilogy(layers, gradients, "o-", color=colour, markersize=4)
    left.set(title="deviation of the activations", xlabel="layer", xticks=layers)
    right.set(title="deviation of the gradient, from layer 10 back to 1", xlabel="layer", xticks=layers)
    left.legend()
    figure.savefig(path)


if __name__ == "__main__":
    main()
