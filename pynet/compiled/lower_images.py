"""Rules for the operations that move, repeat or blend the pixels of images."""

from __future__ import annotations

import math

import numpy as np

from pynet.compiled.capture import Node
from pynet.compiled.lower import Lowering, constants_of, refuse, rule
from pynet.compiled.memory import Operand
from pynet.ops._backend import window_counts
from pynet.ops.fold import view_of
from pynet.ops.interpolate import matrices
from pynet.ops.pad import axis_matrix, inner
from pynet.ops.resample import Taps, gather

_FLOAT32 = np.dtype(np.float32)


def _zeros_around(size: int, before: int, after: int) -> Taps:
    """Padding with zeros, the transpose of cutting; negative widths cut."""
    here, there = inner((size,), ((before, after),))
    kept = np.arange(size)[here[0]]
    padded = gather(size + before + after, np.arange(there[0].start, there[0].stop), _FLOAT32).backward
    return padded if len(kept) == size else _composed(padded, kept)


def _composed(taps: Taps, columns: np.ndarray) -> Taps:
    return taps[0], columns[taps[1]], taps[2]


def _resample(to: Lowering, x: Operand, down: Taps, across: Taps, label: str) -> Operand:
    out = to.new((*x.shape[:2], len(down[0]) - 1, len(across[0]) - 1))
    to.add("resample", (x, x.shape, down, across, out), [x], out, label)
    return out


@rule("interpolate")
def _interpolate(to: Lowering, node: Node) -> None:
    x = to.dense(node.inputs[0])
    down, across = matrices(x.shape, _FLOAT32, **node.attributes)
    to.operands[node.output] = _resample(to, x, down.forward, across.forward, "interpolate")


@rule("pad")
def _pad(to: Lowering, node: Node) -> None:
    widths, mode = node.attributes["widths"], node.attributes["mode"]
    if mode == "constant" and node.attributes["value"] != 0:
        refuse(node, "pads with another constant than 0")

    def taps(axis: int) -> Taps:
        size = node.output.shape[axis] - sum(widths[axis])
        if mode == "constant":
            return _zeros_around(size, *widths[axis])
        return axis_matrix(size, *widths[axis], mode if any(widths[axis]) else "constant", _FLOAT32).forward

    source = node.inputs[0]
    assert source is not None
    if len(widths) == 4 and not any(widths[0] + widths[1]):
        to.operands[node.output] = _resample(to, to.dense(source), taps(2), taps(3), "pad")
        return
    x = to.dense(source, "c")
    one = axis_matrix(1, 0, 0, "constant", _FLOAT32).forward
    for axis, width in enumerate(widths):
        if width == (0, 0):
            continue
        before, after = math.prod(x.shape[:axis]), math.prod(x.shape[axis + 1 :])
        columns = taps(axis)
        out = to.new((*x.shape[:axis], len(columns[0]) - 1, *x.shape[axis + 1 :]), "c")
        to.add("resample", (x, (before, after, 1, x.shape[axis]), one, columns, out), [x], out, "pad")
        x = out
    to.operands[node.output] = x


@rule("conv_transpose2d")
def _conv_transpose2d(to: Lowering, node: Node) -> None:
    x, a = to.dense(node.inputs[0]), node.attributes
    weight, bias = constants_of(node, node.inputs[1:3])
    shape = node.output.shape
    out = to.operands[node.output] = to.new(shape)
    geometry = (a["stride"], a["padding"], a["dilation"], a["groups"])
    to.add("conv_transpose2d", (x, shape, weight, *geometry, out), [x], out, "conv_transpose2d")
    if bias is not None:
        summed = to.operands[node.output] = to.new(shape)
        rows = math.prod(shape) // shape[1]
        arguments = (out, rows, shape[1], None, None, None, bias, 0.0, None, "none", 0.0, summed)
        to.add("affine", arguments, [out], summed, "bias", out)


@rule("unfold")
def _unfold(to: Lowering, node: Node) -> None:
    x, a = to.dense(node.inputs[0]), node.attributes
    if any(a["padding"]):
        down, across = (_zeros_around(n, p, p) for n, p in zip(x.shape[2:], a["padding"], strict=True))
        x = _resample(to, x, down, across, "pad")
    counts = window_counts(x.shape, a["kernel"], a["stride"], (0, 0), a["dilation"])
    windows = view_of(x.ghost, a["kernel"], a["stride"], a["dilation"], counts)
    columns = to.copied(Operand(x.buffer, windows), "c").reshaped(node.output.shape)
    assert columns is not None
    to.operands[node.output] = columns


@rule("pixel_shuffle")
def _pixel_shuffle(to: Lowering, node: Node) -> None:
    x, r = to.dense(node.inputs[0]), node.attributes["factor"]
    n, c, h, w = x.shape
    parts = x.ghost.transpose(0, 2, 3, 1).reshape(n, h, w, c // (r * r), r, r)
    pixels = to.copied(Operand(x.buffer, parts.transpose(0, 1, 4, 2, 5, 3)), "c")
    to.operands[node.output] = _as_maps(pixels, (n, h * r, w * r, c // (r * r)))


@rule("pixel_unshuffle")
def _pixel_unshuffle(to: Lowering, node: Node) -> None:
    x, r = to.dense(node.inputs[0]), node.attributes["factor"]
    n, c, h, w = x.shape
    parts = x.ghost.transpose(0, 2, 3, 1).reshape(n, h // r, r, w // r, r, c)
    pixels = to.copied(Operand(x.buffer, parts.transpose(0, 1, 3, 5, 2, 4)), "c")
    to.operands[node.output] = _as_maps(pixels, (n, h // r, w // r, c * r * r))


def _as_maps(pixels: Operand, shape: tuple[int, ...]) -> Operand:
    viewed = pixels.reshaped(shape)
    assert viewed is not None
    return Operand(viewed.buffer, viewed.ghost.transpose(0, 3, 1, 2))


@rule("maxout")
def _maxout(to: Lowering, node: Node) -> None:
    x, pieces = to.operand(node.inputs[0]), node.attributes["pieces"]
    parts = [Operand(x.buffer, x.ghost[:, i::pieces]) for i in range(pieces)]
    best = parts[0] if pieces > 1 else to.copied(parts[0], "kernel")
    for part in parts[1:]:
        out = to.new(node.output.shape)
        to.binary("maximum", best, part, out, "maxout")
        best = out
    to.operands[node.output] = best
