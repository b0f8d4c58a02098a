"""Small kernels against large: three 3x3 see as much as one 7x7, with fewer weights and less arithmetic.

Stacks of convolutions with the same field of view, 64 channels and ReLU between: weights, multiply-adds and
measured time of forward and backward. A column and a row (7x1, 1x7) and a bottleneck (1x1, 3x3, 1x1) save
more still.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import lecture
import numpy as np

import pynet
from pynet import nn

CHANNELS, SIDE = 64, 28


def convolution(kernel: tuple[int, int], inputs: int = CHANNELS, outputs: int = CHANNELS) -> list[nn.Module]:
    """A convolution that keeps the size, and ReLU."""
    return [nn.Conv2d(inputs, outputs, kernel, padding=(kernel[0] // 2, kernel[1] // 2)), nn.ReLU()]


STACKS = {
    "one 7x7": lambda: convolution((7, 7)),
    "5x5, 3x3": lambda: convolution((5, 5)) + convolution((3, 3)),
    "three 3x3": lambda: convolution((3, 3)) + convolution((3, 3)) + convolution((3, 3)),
    "7x1, 1x7": lambda: convolution((7, 1)) + convolution((1, 7)),
    "three bottlenecks": lambda: [
        layer
        for _ in range(3)
        for layer in (
            convolution((1, 1), CHANNELS, CHANNELS // 4)
            + convolution((3, 3), CHANNELS // 4, CHANNELS // 4)
            + convolution((1, 1), CHANNELS // 4, CHANNELS)
        )
    ],
}  # fmt: skip


def seconds(model: nn.Module, x: pynet.Tensor, repeats: int) -> float:
    """The median time of a forward and backward."""
    times = []
    for _ in range(repeats + 1):
        begin = time.perf_counter()
        model(x).sum().backward()
        model.zero_grad()
        times.append(time.perf_counter() - begin)
    return float(np.median(times[1:]))


def field_of_view(model: nn.Module) -> int:
    """How many rows of the input reach one output pixel: those with a gradient."""
    x = pynet.rand(1, CHANNELS, SIDE, SIDE, requires_grad=True)
    model(x)[0, :, SIDE // 2, SIDE // 2].sum().backward()
    reached = np.abs(x.grad.array[0]).sum(axis=(0, 2))
    return int((reached > 1e-4 * reached.max()).sum())  # an FFT rounds everywhere


def main(argv: Sequence[str] | None = None) -> dict[str, float]:
    """Count, measure, print, draw; return the numbers."""
    arguments = lecture.options(__doc__, "small_kernels", argv)
    x = pynet.rand(4 if arguments.quick else 32, CHANNELS, SIDE, SIDE)
    facts: dict[str, float] = {}
    print(f"{'':20s}{'field':>7s}{'weights':>10s}{'GFLOP an image':>16s}{'ms an image':>13s}")
    for name, build in STACKS.items():
        pynet.manual_seed(0)
        model = nn.Sequential(*build())
        weights = sum(p.array.size for p in model.parameters())
        flops = 2 * SIDE**2 * sum(p.array.size for p in model.parameters() if p.ndim == 4)
        taken = seconds(model, x, 1 if arguments.quick else 9) / len(x)
        field = field_of_view(model)
        facts |= {
            f"{name} weights": weights,
            f"{name} flops": flops,
            f"{name} time": taken,
            f"{name} field": field,
        }
        print(f"{name:20s}{field:7d}{weights:10,d}{flops / 1e9:16.3f}{1e3 * taken:13.2f}")
    draw(facts, arguments.out)
    return facts


def draw(facts: dict[str, float], path: str) -> None:
    """Bars of weights, arithmetic and time."""
    figure = lecture.new_figure(10.5, 3.2)
    for axis, (what, title, scale) in zip(
        figure.subplots(1, 3, sharey=True),
        (("weights", "weights (thousands)", 1e-3), ("flops", "GFLOP, forward", 1e-9),
         ("time", "ms, forward and backward", 1e3)),
        strict=True,
    ):  # fmt: skip
        values = [scale * facts[f"{name} {what}"] for name in STACKS]
        axis.barh(list(STACKS), values, color=lecture.COLOURS[: len(STACKS)])
        axis.bar_label(axis.containers[0], fmt="%.3g", padding=3, fontsize=9)
        axis.set(title=title)
        axis.margins(x=0.18)
        axis.invert_yaxis()
    figure.savefig(path)


if __name__ == "__main__":
    main()
