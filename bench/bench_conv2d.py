"""Convolution, kernels alone: `pynet._core.conv2d_*` (algorithm "auto", arrays in kernel order) against
`aten::convolution` and `aten::convolution_backward` with one output asked for at a time; no bias, no
autograd on either side. GFLOP/s counts the arithmetic of the direct algorithm, so a kernel that needs
less may exceed the peak."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from bench import shapes
from bench.framework import Framework, hwio, nhwc, numbers
from bench.shapes import Case

TITLE = "Convolution"
MODES = ("eager", "channels_last")
PASSES = ("forward", "backward data", "backward weight")


Shape = tuple[int, ...]


def _case(label: str, x: Shape, weight: Shape, stride: int, padding: int, groups: int) -> Case:
    params = {"x": x, "weight": weight, "stride": stride, "padding": (padding, padding), "groups": groups}
    return Case(f"{label}: {shapes.text(x)} * {shapes.text(weight)}", params)


CASES = [
    *(_case("3x3", (n, c, h, h), (f, c, 3, 3), 1, 1, 1) for n, c, h, f in shapes.CONV3X3),
    *(_case(*case) for case in shapes.CONV_OTHER),
]


def _out_shape(x: Shape, weight: Shape, stride: int, padding: Shape) -> Shape:
    return (x[0], weight[0], *((x[i] + 2 * padding[i - 2] - weight[i]) // stride + 1 for i in (2, 3)))


def flops(x: Shape, weight: Shape, stride: int, padding: Shape, groups: int) -> dict[str, float]:
    """Of the direct algorithm, padding included."""
    out = _out_shape(x, weight, stride, padding)
    return dict.fromkeys(PASSES, 2.0 * math.prod(out) * math.prod(weight[1:]))


def prepare(
    fw: Framework, x: Shape, weight: Shape, stride: int, padding: Shape, groups: int
) -> dict[str, Callable[[], Any]]:
    """The three directions."""
    out = _out_shape(x, weight, stride, padding)
    image, filters, dout = numbers(*x), numbers(*weight, seed=1), numbers(*out, seed=2)
    steps, pads = (stride, stride), padding
    if fw.name == "pynet":
        core, image, filters, dout = fw.core, nhwc(image), hwio(filters), nhwc(dout)
        geometry = (steps, pads, (1, 1), groups)
        runs = (
            lambda: core.conv2d_forward(image, filters, None, *geometry, "none", 0.0, "auto"),
            lambda: core.conv2d_backward_data(dout, filters, tuple(x), *geometry, "auto"),
            lambda: core.conv2d_backward_weight(dout, image, tuple(weight), *geometry, False, "auto")[0],
        )
        return dict(zip(PASSES, runs, strict=True))

    ti, tw, td = (fw.tensor(array) for array in (image, filters, dout))
    backward = fw.lib.ops.aten.convolution_backward

    def only(index: int) -> Callable[[], Any]:
        mask = [i == index for i in range(3)]
        arguments = ([0], list(steps), list(pads), [1, 1], False, [0, 0], groups, mask)
        return lambda: backward(td, ti, tw, *arguments)[index]

    runs = (lambda: fw.F.conv2d(ti, tw, None, steps, pads, (1, 1), groups), only(0), only(1))
    return dict(zip(PASSES, runs, strict=True))
