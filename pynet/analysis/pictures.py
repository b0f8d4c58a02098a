"""Pictures of analyses. They need matplotlib (the `viz` extra)."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..io.atomic import write_atomically

_BLUE, _ORANGE, _GREEN = "#2f6db3", "#d9662b", "#2a7d46"
Path = str | os.PathLike[str]


def plot_activations(stats: Any, path: Path) -> None:
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
    _save(figure, path)


def _shown(layers: list[Any], most: int = 10) -> list[Any]:
    """All layers where there are few, else the activations, equally spaced where these are many."""
    if len(layers) > most:
        layers = [layer for layer in layers if layer.is_activation] or layers
    return [layers[i] for i in np.linspace(0, len(layers) - 1, min(len(layers), most)).round().astype(int)]


def _bars(panel: Any, histogram: tuple[np.ndarray, np.ndarray], colour: str) -> None:
    counts, edges = histogram
    panel.stairs(counts, edges, fill=True, color=colour)
    panel.set_yticks([])
    panel.set_xticks([edges[0], edges[-1]], [f"{edges[0]:.1g}", f"{edges[-1]:.1g}"], fontsize=7)
    for side in ("top", "right", "left"):
        panel.spines[side].set_visible(False)


def plot_rates(found: Any, path: Path, rate: float | None = None) -> None:
    """The range test: loss over learning rate, with the suggestion and the rate in use."""
    figure = _figure(6, 3.6)
    panel = figure.subplots()
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
    panel.legend(frameon=False)
    _save(figure, path)


def plot_lines(lines: Mapping[str, Any], path: Path, xlabel: str, ylabel: str) -> None:
    """Several series over their index."""
    figure = _figure(6, 3.4)
    panel = figure.subplots()
    for (label, values), colour in zip(lines.items(), (_BLUE, _ORANGE, _GREEN, "#666666"), strict=False):
        panel.plot(np.arange(1, len(values) + 1), values, color=colour, linewidth=1.8, label=label)
    panel.set_xlabel(xlabel)
    panel.set_ylabel(ylabel)
    if "%" in ylabel:
        low, high = panel.get_ylim()
        panel.set_ylim(min(low, high - 10), max(high, low + 10))  # noise is not to look like change
    panel.legend(frameon=False)
    _save(figure, path)


def plot_bars(values: Mapping[str, float], path: Path, xlabel: str) -> None:
    """A bar for each value, with its number."""
    figure = _figure(6, 0.6 * len(values) + 0.9)
    panel = figure.subplots()
    colours = [_BLUE, _ORANGE, _GREEN][: len(values)]
    finite = {label: value if np.isfinite(value) else 0.0 for label, value in values.items()}
    bars = panel.barh(list(finite), list(finite.values()), color=colours)
    panel.bar_label(bars, [f"{value:.4g}" for value in values.values()], padding=4)
    panel.margins(x=0.15)
    panel.invert_yaxis()
    panel.set_xlabel(xlabel)
    for side in ("top", "right"):
        panel.spines[side].set_visible(False)
    _save(figure, path)


def plot_data(x: np.ndarray, y: np.ndarray, path: Path) -> None:
    """The distribution of the input's values, and that of the labels or targets."""
    figure = _figure(8, 3)
    left, right = figure.subplots(1, 2)
    left.hist(x[np.isfinite(x)].ravel(), bins=60, color=_BLUE)
    left.set_xlabel("value of an input")
    if y.dtype.kind in "iu":
        values, counts = np.unique(y, return_counts=True)
        right.bar(values, counts, color=_ORANGE)
        right.set_xlabel("label")
    else:
        right.hist(y.ravel(), bins=60, color=_ORANGE)
        right.set_xlabel("target")
    _save(figure, path)


def _figure(width: float, height: float) -> Any:
    try:
        from matplotlib.figure import Figure  # not pyplot: no window system, no global state
    except ImportError:
        raise ImportError("pictures need matplotlib; install it with `pip install pynet-nn[viz]`") from None
    return Figure(figsize=(width, height), dpi=110, layout="constrained")


def _save(figure: Any, path: Path) -> None:
    stream = io.BytesIO()
    figure.savefig(stream, format="png")
    write_atomically(path, stream.getvalue())
