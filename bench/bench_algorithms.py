"""Which convolution algorithm is the fastest where: every algorithm that can compute a layer, forward, by
channel count (3x3) and by kernel size (32 channels). pynet alone. GFLOP/s counts the arithmetic of the direct
algorithm."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bench import bench_conv2d, shapes
from bench.framework import Framework, hwio, nhwc, numbers
from bench.shapes import Case

TITLE = "Convolution algorithms"
MODES = ()
CHANNELS = (4, 8, 16, 32, 64, 128, 256)
KERNELS = (3, 5, 7, 9, 11, 15, 21)


def _case(label: str, channels: int, side: int, kernel: int) -> Case:
    x, weight = (16, channels, side, side), (channels, channels, kernel, kernel)
    return Case(f"{label}: {shapes.text(x)} * {shapes.text(weight)}", {"x": x, "weight": weight})


CASES = [
    *(_case("channels", channels, 32, 3) for channels in CHANNELS),
    *(_case("kernel", 32, 32, kernel) for kernel in KERNELS),
]
# Every algorithm is one pass; which there are, the core says.
CHECK_TOLERANCE = 2e-3


def flops(x: tuple[int, ...], weight: tuple[int, ...]) -> dict[str, float]:
    """Of the direct algorithm, whichever runs."""
    from pynet import _core

    work = bench_conv2d.flops(x, weight, 1, (weight[2] // 2, weight[2] // 2), 1)["forward"]
    return dict.fromkeys(_core.conv2d_algorithms(), work)


def prepare(fw: Framework, x: tuple[int, ...], weight: tuple[int, ...]) -> dict[str, Callable[[], Any]]:
    """One pass an algorithm that can compute this layer."""
    image, filters = nhwc(numbers(*x)), hwio(numbers(*weight, seed=1, scale=0.1))
    padding = (weight[2] // 2, weight[2] // 2)

    def forward(algorithm: str) -> Callable[[], Any]:
        rest = ((1, 1), padding, (1, 1), 1, "none", 0.0, algorithm)
        return lambda: fw.core.conv2d_forward(image, filters, None, *rest)

    passes = {}
    for algorithm in fw.core.conv2d_algorithms():
        try:
            forward(algorithm)()
        except ValueError:  # cannot compute this layer
            continue
        passes[algorithm] = forward(algorithm)
    return passes
