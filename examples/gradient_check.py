"""The gradient check on a two-layer network: is the gradient of the code that of the function?

Central differences (f(w + h) - f(w - h)) / 2h stand beside the gradient of the tape. The relative error |a
- n| / max(|a|, |n|) is tiny where both are right, unless h is badly chosen, the numbers are float32, or a
kink of ReLU lies between w - h and w + h.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import lecture
import numpy as np

import pynet
from pynet.nn import functional as F

STEPS = 10.0 ** np.arange(-11, -0.5, 0.5)


class TwoLayers:
    """scores = f(x W1 + b1) W2 + b2 with softmax loss, as a function of one flat vector of weights."""

    def __init__(self, activation: Callable[..., Any], dtype: Any, hidden: int = 10) -> None:
        x, y, _, _ = lecture.digits()
        self.x, self.y = pynet.from_numpy(x.array[:20].astype(dtype)), y[:20]
        self.activation, self.dtype = activation, dtype
        self.shapes = [(64, hidden), (hidden,), (hidden, 10), (10,)]
        sizes = [int(np.prod(shape)) for shape in self.shapes]
        self.ends = np.cumsum(sizes)
        self.weights = np.random.default_rng(0).standard_normal(self.ends[-1]) * 0.3

    def loss(self, flat: np.ndarray, gradient: bool = False) -> Any:
        """The loss at these weights; or with `gradient` the tape's gradient."""
        parts = [
            pynet.tensor(part.reshape(shape).astype(self.dtype), requires_grad=gradient)
            for part, shape in zip(np.split(flat, self.ends[:-1]), self.shapes, strict=True)
        ]
        w1, b1, w2, b2 = parts
        value = F.cross_entropy(self.activation(self.x @ w1 + b1) @ w2 + b2, self.y)
        if not gradient:
            return value.item()
        value.backward()
        return np.concatenate([part.grad.array.ravel() for part in parts]).astype(np.float64)

    def numeric(self, index: int, h: float) -> float:
        """The central difference for one weight."""
        step = np.zeros_like(self.weights)
        step[index] = h
        return float((self.loss(self.weights + step) - self.loss(self.weights - step)) / (2 * h))


def relative_error(a: np.ndarray, n: np.ndarray) -> np.ndarray:
    """|a - n| / max(|a|, |n|), and 0 where both are 0."""
    return np.abs(a - n) / np.maximum(np.maximum(np.abs(a), np.abs(n)), 1e-300)


def main(argv: Sequence[str] | None = None) -> dict[str, float]:
    """Compare at every step width, print the table, draw the errors and one kink; return the numbers."""
    arguments = lecture.options(__doc__, "gradient_check", argv)
    steps = 10.0 ** np.arange(-11, 0, 3) if arguments.quick else STEPS
    nets = {
        "tanh, float64": TwoLayers(pynet.tanh, np.float64),
        "ReLU, float64": TwoLayers(pynet.relu, np.float64),
        "tanh, float32": TwoLayers(pynet.tanh, np.float32),
    }
    chosen = np.random.default_rng(1).choice(len(nets["tanh, float64"].weights), 100, replace=False)
    errors: dict[str, np.ndarray] = {}
    for name, net in nets.items():
        tape = net.loss(net.weights, gradient=True)[chosen]
        large = np.abs(tape) > 1e-4  # where the gradient is about zero the relative error says nothing
        numeric = np.array([[net.numeric(i, h) for i in chosen[large]] for h in steps])
        errors[name] = relative_error(tape[large], numeric)

    facts: dict[str, float] = {}
    print(f"{'':15s}{'best h':>9s}{'median error':>14s}{'largest':>10s}{'largest, h = 0.01':>20s}")
    at = int(np.argmin(np.abs(steps - 1e-2)))
    for name, error in errors.items():
        best = int(np.argmin(np.median(error, 1)))
        median, most, wide = np.median(error[best]), error[best].max(), error[at].max()
        print(f"{name:15s}{steps[best]:9.0e}{median:14.1e}{most:10.1e}{wide:20.1e}")
        facts |= {
            f"{name} median": float(median),
            f"{name} largest": float(most),
            f"{name} wide": float(wide),
        }

    draw(errors, steps, nets["ReLU, float64"], arguments.out)
    return facts


def kink(net: TwoLayers) -> tuple[int, float]:
    """A weight of the first layer, and how far it must move until a hidden neuron crosses zero."""
    w1, b1 = (net.weights[: net.ends[0]].reshape(64, -1), net.weights[net.ends[0] : net.ends[1]])
    hidden = net.x.array @ w1 + b1  # moving w1[i, j] by d moves hidden[n, j] by d x[n, i]
    distance = -hidden[:, None, :] / np.where(np.abs(net.x.array) > 0.2, net.x.array, np.nan)[:, :, None]
    sample, pixel, neuron = np.unravel_index(np.nanargmin(np.abs(distance)), distance.shape)
    return int(pixel * w1.shape[1] + neuron), float(distance[sample, pixel, neuron])


def draw(errors: dict[str, np.ndarray], steps: np.ndarray, net: TwoLayers, path: str) -> None:
    """Errors against the step width; and the slope of the loss on either side of a kink."""
    figure = lecture.new_figure(10.5, 4.6)
    left, right = figure.subplots(1, 2)
    for (name, error), colour in zip(errors.items(), lecture.COLOURS, strict=False):
        left.loglog(steps, np.median(error, 1), color=colour, label=f"{name}, median")
        left.loglog(steps, error.max(1), ":", color=colour, label=f"{name}, largest")
    left.axhline(1e-7, color=lecture.GREY, linewidth=0.8)
    left.annotate("below: right", (1e-11, 0.4e-7), color=lecture.GREY, fontsize=8, va="top")
    left.set(title="relative error against step width", xlabel="h", ylabel="relative error", ylim=(1e-11, 10))
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower left", ncols=3)

    index, distance = kink(net)
    reach = np.linspace(-4, 6, 200) * abs(distance)
    moved = np.repeat(net.weights[None], len(reach), 0)
    moved[:, index] += reach
    slopes = np.array([net.loss(weights, gradient=True)[index] for weights in moved])
    right.plot(reach, slopes, color=lecture.ORANGE)
    right.axvline(0, color=lecture.GREY, linewidth=0.8, label="the weight as it is")
    right.axvline(distance, color=lecture.RED, linestyle="--", linewidth=1, label="a neuron crosses zero")
    right.set(title="gradient of one weight of the ReLU net", xlabel="weight moved by", ylabel="gradient")
    right.ticklabel_format(axis="x", style="sci", scilimits=(-2, 2))
    right.legend()
    figure.savefig(path)


if __name__ == "__main__":
    main()
