"""Some two hundred random convolution layers, measured as in the benchmark of chosen ones: what holds for
the layers of a few networks should hold for any. Kind by kind, channels, maps and batches are drawn by a
fixed seed among common and odd sizes, and kept where the layer takes roughly 50 us to 30 ms on one core. A
ratio below 0.95 is measured a second time, with more rounds, and then counts as it came out there."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator
from typing import Any

from bench import shapes
from bench.bench_conv2d import MODES, PASSES, flops, prepare
from bench.shapes import Case
from bench.timing import geometric_mean

__all__ = ["CASES", "MODES", "PASSES", "TITLE", "flops", "prepare", "summary"]

TITLE = "Random convolution layers"
ROUNDS = 3
BLOCK_SECONDS = 0.03
AGAIN_BELOW = 0.95
AGAIN_ROUNDS = 9
QUICK_CASES = 3
WORST = 10

SEED = 20
BATCHES = (1, 5, 32, 50)
WIDTHS = (16, 20, 24, 32, 40, 48, 64, 96, 128, 160, 256, 320, 512)
MAPS = (7, 8, 14, 15, 16, 28, 30, 32, 33, 56)
# Multiply-adds count twice: 50 us to 30 ms at 100 GFLOP/s. Layers that do little with what they read take
# longer than that; the other limits (bytes of both maps) stand for 10 GB/s.
FLOPS = (5e6, 3e9)
BYTES = (0.5e6, 100e6)


def _dense(size: tuple[int, int], stride: int, widths: tuple[int, ...] = WIDTHS) -> Callable[..., Any]:
    def draw(pick: Callable[..., Any]) -> tuple[int, int, tuple[int, int], int, int]:
        return pick(widths), pick(WIDTHS), size, stride, 1

    return draw


def _depthwise(size: int, stride: int) -> Callable[..., Any]:
    def draw(pick: Callable[..., Any]) -> tuple[int, int, tuple[int, int], int, int]:
        width = pick(WIDTHS)
        return width, width, (size, size), stride, width

    return draw


def _grouped(pick: Callable[..., Any]) -> tuple[int, int, tuple[int, int], int, int]:
    groups = pick((2, 4, 8, 32))
    wide = tuple(width for width in WIDTHS if width % groups == 0 and width > groups)
    return pick(wide), pick(wide), (3, 3), pick((1, 2)), groups


# How many of each kind: a function that draws (in channels, out channels, kernel, stride, groups).
KINDS: dict[str, tuple[int, Callable[..., Any]]] = {
    "3x3": (30, _dense((3, 3), 1)),
    "3x3 stride 2": (20, _dense((3, 3), 2)),
    "5x5": (14, _dense((5, 5), 1)),
    "5x5 stride 2": (8, _dense((5, 5), 2)),
    "1x1": (28, _dense((1, 1), 1)),
    "1x1 stride 2": (16, _dense((1, 1), 2)),
    "7x7 stride 2": (10, _dense((7, 7), 2, (3, *WIDTHS[:7]))),
    "1x7": (8, _dense((1, 7), 1)),
    "7x1": (8, _dense((7, 1), 1)),
    "depthwise 3x3": (18, _depthwise(3, 1)),
    "depthwise 3x3 stride 2": (10, _depthwise(3, 2)),
    "depthwise 5x5": (10, _depthwise(5, 1)),
    "depthwise 5x5 stride 2": (6, _depthwise(5, 2)),
    "grouped 3x3": (16, _grouped),
}


def _draw() -> Iterator[Case]:
    stream = random.Random(SEED)

    def pick(values: tuple[Any, ...]) -> Any:
        return values[int(stream.random() * len(values))]  # random() is the same in every Python

    for kind, (count, draw) in KINDS.items():
        seen = set()
        while len(seen) < count:
            channels, filters, size, stride, groups = draw(pick)
            side = pick(MAPS)
            x, weight = (pick(BATCHES), channels, side, side), (filters, channels // groups, *size)
            padding = (size[0] // 2, size[1] // 2)
            work = flops(x, weight, stride, padding, groups)["forward"]
            out = work / (2 * math.prod(weight[1:]))
            moved = 4 * (math.prod(x) + out)
            small = work < FLOPS[0] and moved < BYTES[0]
            if small or work > FLOPS[1] or moved > BYTES[1] or (x, weight, stride, groups) in seen:
                continue
            seen.add((x, weight, stride, groups))
            text = f"{shapes.text(x)} * {shapes.text(weight)}"
            text += f", stride {stride}, {groups} groups" if kind.startswith("grouped") else ""
            params = {"x": x, "weight": weight, "stride": stride, "padding": padding, "groups": groups}
            yield Case(f"{kind}: {text}", params)


CASES = list(_draw())


def summary(rows: list[dict[str, Any]]) -> str:
    """The geometric mean of the ratios of every kind and pass, and the worst layers."""
    rated = [(row["case"].split(":")[0], row["pass"], row) for row in rows if "ratio" in row]
    if not rated:
        return "PyTorch was not measured: there are no ratios."

    def mean(kind: str | None, name: str | None) -> str:
        found = [row["ratio"]["value"] for k, n, row in rated if kind in (None, k) and name in (None, n)]
        return f"{geometric_mean(found):.2f} ({min(found):.2f})" if found else "-"

    lines = [["kind", "layers", *PASSES, "all"], ["---", *["---:"] * (len(PASSES) + 2)]]
    for kind in [*dict.fromkeys(kind for kind, _, _ in rated), None]:
        layers = len({row["case"] for k, _, row in rated if kind in (None, k)})
        lines.append([kind or "**all**", str(layers), *(mean(kind, name) for name in (*PASSES, None))])
    table = "\n".join("| " + " | ".join(line) + " |" for line in lines)

    slow = sum(row["ratio"]["value"] < AGAIN_BELOW for _, _, row in rated)
    again = sum("first_ratio" in row for _, _, row in rated)
    worst = sorted((row for _, _, row in rated), key=lambda row: row["ratio"]["value"])[:WORST]
    listed = [
        "- {value:.2f} ({low:.2f}-{high:.2f})".format(**row["ratio"])
        + f" {row['case']}, {row['pass']}: {row['times']['pynet']['median'] * 1e3:.3f} ms,"
        + f" {row['gflops']:.0f} GFLOP/s, {row['best']} {row['times'][row['best']]['median'] * 1e3:.3f} ms"
        for row in worst
    ]
    return "\n\n".join(
        [
            "Geometric mean of the ratios, the smallest in brackets:",
            table,
            f"{again} of {len(rated)} ratios measured twice, {slow} stayed below {AGAIN_BELOW}. The worst:",
            "\n".join(listed),
        ]
    )
