"""Pictures for the docs from results.json: ratios of whole steps, GEMM's share of the peak, convolution
algorithms by channels and by kernel size. `python -m bench plot` writes docs/figures/*.svg."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from bench.processes import ROOT

FOLDER = ROOT / "docs" / "figures"
BLUE, GREY = "#2563eb", "#94a3b8"
Results = dict[str, dict[str, Any]]


def _style() -> Any:
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    pyplot.rcParams.update(
        {
            "svg.hashsalt": "pynet",  # the same figures give the same file
            "svg.fonttype": "none",
            "font.size": 10,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "figure.constrained_layout.use": True,
        }
    )
    return pyplot


def _level(result: dict[str, Any]) -> str:
    """The ISA level that pynet ran at."""
    found = re.search(r"isa (\w+)", result["versions"]["pynet"])
    return found[1] if found else ""


def _sections(results: Results, bench: str) -> list[dict[str, Any]]:
    """A benchmark's newest section of each thread count, by thread count: of the ISA level measured last, and
    without a neighbour."""
    found = [r for r in results.values() if r["bench"] == bench and r.get("condition") in (None, "", "avx2")]
    found.sort(key=lambda r: r["date"])
    newest = {r["threads"]: r for r in found if _level(r) == _level(found[-1])}
    return [newest[threads] for threads in sorted(newest)]


def _threads(result: dict[str, Any]) -> str:
    return f"{result['threads']} thread" + ("s" if result["threads"] > 1 else "")


def steps(results: Results, pyplot: Any) -> Any:
    """Bars: PyTorch's best time over pynet's, a group a network, with quartiles."""
    sections = _sections(results, "steps")
    names = list(dict.fromkeys(row["case"].split(",")[0] for s in sections for row in s["rows"]))
    figure, axes = pyplot.subplots(figsize=(7, 3.4))
    width = 0.8 / max(1, len(sections))
    for i, section in enumerate(sections):
        rows = [row for row in section["rows"] if "ratio" in row]
        at = [names.index(row["case"].split(",")[0]) + (i - (len(sections) - 1) / 2) * width for row in rows]
        ratios = [row["ratio"] for row in rows]
        values = [r["value"] for r in ratios]
        low = [max(0.0, r["value"] - r["low"]) for r in ratios]
        high = [max(0.0, r["high"] - r["value"]) for r in ratios]
        color = (GREY, BLUE)[i % 2] if len(sections) > 1 else BLUE
        axes.bar(at, values, width * 0.92, color=color, label=_threads(section))
        axes.errorbar(at, values, [low, high], fmt="none", ecolor="black", elinewidth=1, capsize=3)
    axes.axhline(1, color="black", linewidth=1)
    axes.set_xlim(-0.6, len(names) - 0.4)
    axes.text(len(names) - 0.38, 1, "PyTorch", ha="left", va="center", fontsize=9)
    short = [name.replace(" (CIFAR stem)", "").replace(" 784-256-128-10", "") for name in names]
    axes.set_xticks(range(len(names)), short)
    axes.set_ylabel("times as fast as PyTorch's best mode")
    axes.set_title(f"One training step, ISA level {_level(sections[-1])}")
    axes.legend(frameon=False, loc="upper left")
    return figure


def gemm(results: Results, pyplot: Any) -> Any:
    """Lines: share of the measured peak by the size of a square product, pynet and PyTorch."""
    sections = _sections(results, "gemm")
    figure, axes = pyplot.subplots(figsize=(6, 3.4))
    for section in sections:
        points = []
        for row in section["rows"]:
            square = re.fullmatch(r"(\d+) x \1 x \1", row["case"])
            if square and "pynet" in row["times"] and section["peak_gflops"]:
                n = int(square[1])
                points.append((n, row))
        points.sort(key=lambda point: point[0])
        sides = [("pynet", "pynet", BLUE), ("PyTorch", "eager", GREY)]
        for label, mode, color in sides:
            found = [(n, row["times"][mode]["median"]) for n, row in points if mode in row["times"]]
            share = [200e-9 * n**3 / seconds / section["peak_gflops"] for n, seconds in found]
            style = "-" if section is sections[-1] else "--"
            axes.plot(
                [n for n, _ in found],
                share,
                style,
                color=color,
                marker="o",
                markersize=4,
                label=f"{label}, {_threads(section)}",
            )
    sizes = sorted({n for line in axes.lines for n in line.get_xdata()})
    axes.set_xscale("log", base=2)
    axes.set_xticks(sizes, [str(int(n)) for n in sizes])
    axes.axhline(100, color="black", linewidth=1, linestyle=":")
    axes.set_ylim(0, 1.05 * max(100, axes.get_ylim()[1]))
    axes.set_xlabel("n, of an n x n x n product")
    axes.set_ylabel("% of the measured peak")
    axes.set_title(f"Matrix products, ISA level {_level(sections[-1])}")
    axes.legend(frameon=False, fontsize=9)
    return figure


def algorithms(results: Results, pyplot: Any) -> Any:
    """Lines: GFLOP/s of each convolution algorithm by channel count, and by kernel size."""
    section = _sections(results, "algorithms")[-1]
    figure, both = pyplot.subplots(1, 2, figsize=(9, 3.8), sharey=False)
    names = list(dict.fromkeys(row["pass"] for row in section["rows"] if row["pass"] != "auto"))
    colors = pyplot.get_cmap("tab10")
    for axes, family, title, pattern in (
        (both[0], "channels", "3x3 on 32x32 maps, C = F", r"channels: \d+x(\d+)x"),
        (both[1], "kernel", "32 channels, 32x32 maps", r"kernel: .* \d+x\d+x(\d+)x"),
    ):
        found = [(int(m[1]), row) for row in section["rows"] if (m := re.match(pattern, row["case"]))]
        for i, name in enumerate(("auto", *names)):
            line = sorted((x, row["gflops"]) for x, row in found if row["pass"] == name)
            if not line:
                continue
            look: dict[str, Any] = {"color": colors(i - 1), "marker": "o", "markersize": 4, "zorder": 3}
            if name == "auto":  # a broad line under the algorithm that it chose
                look = {"color": "#cbd5e1", "linewidth": 8, "solid_capstyle": "round", "zorder": 1}
            axes.plot([x for x, _ in line], [y for _, y in line], label=name, **look)
        ticks = sorted({x for x, _ in found})
        axes.set_xscale("log", base=2)
        axes.set_xticks(ticks, [str(x) for x in ticks])
        axes.minorticks_off()
        axes.set_ylim(0, None)
        if section["peak_gflops"]:
            axes.axhline(section["peak_gflops"], color="black", linewidth=1, linestyle=":", label="peak")
        axes.set_xlabel({"channels": "channels", "kernel": "kernel side"}[family])
        axes.set_title(title, fontsize=10)
    both[0].set_ylabel(f"GFLOP/s of the direct algorithm, {_threads(section)}")
    both[0].legend(frameon=False, fontsize=9)
    return figure


def kernels(results: Results, pyplot: Any) -> Any:
    """Lines: milliseconds of each convolution algorithm by kernel size."""
    section = _sections(results, "algorithms")[0]
    found = [
        (int(m[1]), row)
        for row in section["rows"]
        if (m := re.match(r"kernel: .* \d+x\d+x(\d+)x", row["case"]))
    ]
    figure, axes = pyplot.subplots(figsize=(6, 3.8))
    colors = pyplot.get_cmap("tab10")
    for i, name in enumerate(("direct", "im2col", "fft", "winograd4")):
        line = sorted((x, 1e3 * row["times"]["pynet"]["median"]) for x, row in found if row["pass"] == name)
        axes.plot(*zip(*line, strict=True), marker="o", markersize=4, color=colors(i), label=name)
    ticks = sorted({x for x, _ in found})
    axes.set_yscale("log")
    axes.set_xticks(ticks, [str(x) for x in ticks])
    axes.set_xlabel("kernel side")
    axes.set_ylabel(f"ms, forward, {_threads(section)}")
    axes.set_title("16 images, 32 channels to 32, 32x32 maps", fontsize=10)
    axes.grid(axis="y", alpha=0.3)
    axes.legend(frameon=False, fontsize=9)
    return figure


# Picture: the benchmark that it shows, and who draws it.
PICTURES = {
    "steps": ("steps", steps),
    "gemm": ("gemm", gemm),
    "algorithms": ("algorithms", algorithms),
    "kernels": ("algorithms", kernels),
}


def main(source: Path = ROOT / "bench" / "results.json", folder: Path = FOLDER) -> int:
    """Draw every picture whose benchmark is in `source`; the exit status is 1 where there was none."""
    results: Results = json.loads(source.read_text()) if source.exists() else {}
    pyplot = _style()
    drawn = 0
    for name, (bench, draw) in PICTURES.items():
        if not _sections(results, bench):
            print(f"{name}: {bench} is not in {source.name}, left out")
            continue
        folder.mkdir(parents=True, exist_ok=True)
        figure = draw(results, pyplot)
        figure.savefig(folder / f"{name}.svg", metadata={"Date": None})
        pyplot.close(figure)
        print(f"{name}: {folder / name}.svg")
        drawn += 1
    return 0 if drawn else 1
