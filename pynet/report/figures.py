"""The figures of the reports, as matplotlib Figures for a `Page`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..train.history import History, mode_of
from .page import BLUE, COLOURS, INK, ORANGE, legend, new_panel

_NOT_CURVES = ("epoch", "lr", "seconds")


def curve_keys(history: History) -> list[str]:
    """The figures that have a curve: the loss, then the metrics."""
    return [key for key in history.columns if not key.startswith("val_") and key not in _NOT_CURVES]


def curves(history: History) -> list[Any]:
    """A panel for the loss and one for each metric: training, validation, and the gap between them shaded."""
    made = []
    epochs = np.array(history["epoch"], float)
    for key in curve_keys(history):
        figure, panel = new_panel(4.9, 3.4)
        made.append(figure)
        scale = 100 if mode_of(key) == "max" else 1
        training = scale * np.array(history[key], float)
        mark = "o" if len(epochs) <= 30 else None
        panel.plot(epochs, training, color=BLUE, marker=mark, markersize=3.5, label="training")
        if f"val_{key}" in history:
            validation = scale * np.array(history[f"val_{key}"], float)
            panel.plot(epochs, validation, color=ORANGE, marker=mark, markersize=3.5, label="validation")
            panel.fill_between(epochs, training, validation, color=ORANGE, alpha=0.15, label="gap")
        _axes(panel, key.replace("_", " ").capitalize(), "epoch", "%" if scale == 100 else "")
        whole_epochs(panel)
        legend(panel)
    return made


def steps(gradients: np.ndarray) -> list[Any]:
    """Learning rate and norm of the gradients over the epochs, from a Monitor's rows."""
    first, rate = new_panel(4.9, 2.9)
    rate.plot(gradients[:, 0], gradients[:, 2], color=BLUE)
    _axes(rate, "Learning rate", "epochs passed", "")
    second, norm = new_panel(4.9, 2.9)
    finite = np.isfinite(gradients[:, 1]) & (gradients[:, 1] > 0)
    norm.plot(gradients[finite, 0], gradients[finite, 1], color=BLUE, linewidth=1)
    if finite.any():
        norm.set_yscale("log")
    _axes(norm, "Norm of the gradients", "epochs passed", "")
    return [first, second]


def histograms(rows: Mapping[str, np.ndarray]) -> list[Any]:
    """A panel a name: the distribution after every epoch as a column, strong where many values are."""
    made = []
    for name, row in rows.items():
        figure, panel = new_panel(3.25, 2.3)
        made.append(figure)
        low, high = row[:, 0].min(), row[:, 1].max()
        bins = np.linspace(low, high if high > low else low + 1, 49)
        columns = np.stack([_rebinned(epoch, bins) for epoch in row])
        # Each epoch by its own largest bin, and a cube root, so that thin tails can be seen.
        shares = np.cbrt(columns / np.maximum(columns.max(axis=1, keepdims=True), 1e-300))
        panel.imshow(
            shares.T, origin="lower", aspect="auto", cmap=_fading(), vmin=0, vmax=1, interpolation="nearest",
            extent=(0.5, len(row) + 0.5, bins[0], bins[-1]),
        )  # fmt: skip
        panel.grid(False)
        _axes(panel, name if len(name) < 34 else "…" + name[-33:], "epoch", "")
        panel.title.set_fontsize(9.5)
        whole_epochs(panel)
    return made


def confusion(matrix: np.ndarray, classes: Sequence[str]) -> Any:
    """Shares of the true class as colours, counts as numbers; of more than 30 classes colours alone."""
    count = len(classes)
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    side = min(max(3.6, 0.5 * count + 1.8), 11)
    figure, panel = new_panel(side + 0.4, side)
    panel.grid(False)
    panel.imshow(shares, cmap=_fading(), vmin=0, vmax=1, interpolation="nearest")
    if count <= 30:
        labels = [name if len(name) <= 16 else name[:15] + "…" for name in classes]
        turned = max(map(len, labels)) > 3
        panel.set_xticks(
            range(count), labels, rotation=45 if turned else 0, ha="right" if turned else "center"
        )
        panel.set_yticks(range(count), labels)
        for row, column in np.ndindex(*matrix.shape):
            if value := int(matrix[row, column]):
                colour = "white" if shares[row, column] > 0.5 else INK
                panel.text(column, row, str(value), ha="center", va="center", fontsize=8.5, color=colour)
    _axes(panel, "", "predicted class", "true class")
    panel.tick_params(length=0)
    return figure


def seconds(history: History) -> Any:
    """The time of each epoch."""
    figure, panel = new_panel(4.9, 2.2)
    panel.bar(history["epoch"], history["seconds"], color=BLUE)
    _axes(panel, "", "epoch", "seconds")
    whole_epochs(panel)
    return figure


def overlaid(histories: Mapping[str, History]) -> list[Any]:
    """Validation curves of several runs, of those without validation the training curves; a colour a run."""
    made = []
    for key in dict.fromkeys(key for history in histories.values() for key in curve_keys(history)):
        figure, panel = new_panel(4.9, 3.6)
        made.append(figure)
        scale = 100 if mode_of(key) == "max" else 1
        for place, (name, history) in enumerate(histories.items()):
            shown = f"val_{key}" if f"val_{key}" in history else key
            if shown not in history:
                continue
            dashed = "-" if shown.startswith("val_") else "--"
            values = scale * np.array(history[shown], float)
            colour = COLOURS[place % len(COLOURS)]
            mark = "o" if len(values) <= 30 else None
            panel.plot(history["epoch"], values, dashed, color=colour, marker=mark, markersize=3, label=name)
        _axes(panel, key.replace("_", " ").capitalize(), "epoch", "%" if scale == 100 else "")
        whole_epochs(panel)
        legend(panel)
    return made


def filters(weight: np.ndarray) -> list[np.ndarray] | None:
    """The first layer's filters as images, uint8; None where they are no images (neither 1 nor 3 channels, or
    1x1).
    """
    if weight.ndim != 4 or weight.shape[1] not in (1, 3) or max(weight.shape[2:]) < 2:
        return None
    images = []
    for kernel in weight[:64]:
        finite = np.nan_to_num(kernel, posinf=0, neginf=0)
        low, high = finite.min(), finite.max()
        scaled = (255 * (finite - low) / (high - low if high > low else 1)).astype(np.uint8)
        images.append(scaled[0] if len(scaled) == 1 else scaled.transpose(1, 2, 0))
    return images


def whole_epochs(panel: Any) -> None:
    """Ticks at whole numbers alone."""
    from matplotlib.ticker import MaxNLocator

    panel.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))


def _axes(panel: Any, title: str, x: str, y: str) -> None:
    panel.set_title(title, fontsize=11, color=INK)
    panel.set_xlabel(x, fontsize=9, color=INK)
    panel.set_ylabel(y, fontsize=9, color=INK)
    panel.margins(x=0.03)


def _fading() -> Any:
    """A colour map from transparent to blue: it stands on light and on dark paper."""
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("fading", [(0.25, 0.5, 0.82, 0.0), (0.2, 0.45, 0.78, 1.0)])


def _rebinned(row: np.ndarray, bins: np.ndarray) -> np.ndarray:
    """One epoch's histogram on other bins: its cumulated counts, interpolated."""
    edges = np.linspace(row[0], row[1] if row[1] > row[0] else row[0] + 1e-12, len(row) - 1)
    total = np.concatenate([[0.0], np.cumsum(row[2:])])
    return np.diff(np.interp(bins, edges, total))
