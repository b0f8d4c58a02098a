"""Pictures of analyses, as matplotlib Figures: for a page, or for `save`. They need the `viz` extra."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..io.atomic import write_atomically

_BLUE, _ORANGE, _GREEN = "#3f7fd0", "#e07b39", "#3a9a63"


def draw_activations(stats: Any) -> Any:
    """A histogram of each layer's activations, and of its gradients where there are any."""
    layers = _shown(stats.layers)
    rows = 2 if any(layer.gradient_histogram for layer in layers) else 1
    columns = max(len(layers), 1)
    figure = _figure(max(1.7 * columns, 4), 2.2 * rows + 0.4)
    panels = figure.subplots(rows, columns, squeeze=False)
    for column, layer in enumerate(layers):
        _bars(panels[0][column], layer.histogram, _BLUE)
        panels[0][column].set_title(f"{layer.name}\ndeviation {layer.std:.2g}", fontsize=8)
        if rows == 2 and layer.gradient_histogram is not None:
            _bars(panels[1][column], layer.gradient_histogram, _ORANGE)
            panels[1][column].set_title(f"gradient\ndeviation {layer.grad_std:.1e}", fontsize=8)
    return figure


def _shown(layers: list[Any], most: int = 10) -> list[Any]:
    """All layers where there are few, else the activations, equally spaced where these are many."""
    if len(layers) > most:
        layers = [layer for layer in layers if layer.is_activation] or layers
    return [layers[i] for i in np.linspace(0, len(layers) - 1, min(len(layers), most)).round().astype(int)]


def _bars(panel: Any, histogram: tuple[np.ndarray, np.ndarray], colour: str) -> None:
    counts, edges = histogram
    _page().tidy(panel)
    panel.grid(False)
    panel.stairs(counts, edges, fill=True, color=colour)
    panel.set_yticks([])
    panel.set_xticks([edges[0], edges[-1]], [f"{edges[0]:.1g}", f"{edges[-1]:.1g}"], fontsize=7)
    panel.spines["left"].set_visible(False)


def draw_rates(found: Any, rate: float | None = None) -> Any:
    """The range test: loss over learning rate, with the suggestion and the rate in use."""
    figure = _figure(6, 3.6)
    panel = figure.subplots()
    _page().tidy(panel)
    panel.plot(found.rates, found.losses, color="#b5b5b5", linewidth=1, label="loss")
    panel.plot(found.rates, found.smoothed, color=_BLUE, linewidth=2, label="smoothed")
    if found.suggestion is not None:
        panel.axvline(
            found.suggestion, color=_ORANGE, linestyle="--", label=f"suggestion {found.suggestion:.1e}"
        )
    if rate is not None:
        panel.axvline(rate, color=_GREEN, linestyle=":", label=f"in use {rate:.1e}")
    panel.set_xscale("log")
    panel.set_xlabel("learning rate")
    panel.set_ylabel("loss")
    if len(found.losses):
        low, high = float(found.smoothed.min()), float(found.smoothed[0])
        panel.set_ylim(low - 0.1 * abs(high), high + 0.6 * abs(high))
    _page().legend(panel)
    return figure


def draw_lines(lines: Mapping[str, Any], xlabel: str, ylabel: str) -> Any:
    """Several series over their index."""
    figure = _figure(6, 3.4)
    panel = figure.subplots()
    _page().tidy(panel)
    for (label, values), colour in zip(lines.items(), (_BLUE, _ORANGE, _GREEN, "#666666"), strict=False):
        panel.plot(np.arange(1, len(values) + 1), values, color=colour, linewidth=1.8, label=label)
    panel.set_xlabel(xlabel)
    panel.set_ylabel(ylabel)
    if "%" in ylabel:
        low, high = panel.get_ylim()
        panel.set_ylim(min(low, high - 10), max(high, low + 10))  # noise is not to look like change
    _page().legend(panel)
    return figure


def draw_bars(values: Mapping[str, float], xlabel: str) -> Any:
    """A bar for each value, with its number."""
    figure = _figure(6, 0.6 * len(values) + 0.9)
    panel = figure.subplots()
    _page().tidy(panel)
    colours = [_BLUE, _ORANGE, _GREEN][: len(values)]
    finite = {label: value if np.isfinite(value) else 0.0 for label, value in values.items()}
    bars = panel.barh(list(finite), list(finite.values()), color=colours)
    panel.bar_label(bars, [f"{value:.4g}" for value in values.values()], padding=4, color=_page().INK)
    panel.margins(x=0.15)
    panel.invert_yaxis()
    panel.set_xlabel(xlabel)
    return figure


def draw_data(x: np.ndarray, y: np.ndarray) -> Any:
    """The distribution of the input's values, and that of the labels or targets."""
    figure = _figure(8, 3)
    left, right = figure.subplots(1, 2)
    for panel in (left, right):
        _page().tidy(panel)
    left.hist(x[np.isfinite(x)].ravel(), bins=60, color=_BLUE)
    left.set_xlabel("value of an input")
    if y.dtype.kind in "iu":
        values, counts = np.unique(y, return_counts=True)
        right.bar(values, counts, color=_ORANGE)
        right.set_xlabel("label")
    else:
        right.hist(y.ravel(), bins=60, color=_ORANGE)
        right.set_xlabel("target")
    return figure


def save(figure: Any, path: str | os.PathLike[str]) -> None:
    """Write a Figure as PNG on white."""
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=110, facecolor="white")
    write_atomically(path, stream.getvalue())


def _figure(width: float, height: float) -> Any:
    return _page().new_figure(width, height)


def _page() -> Any:
    """The looks of all pages and figures; imported late, since reports use analyses."""
    from ..report import page

    return page
