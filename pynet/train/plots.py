"""Pictures of a training: its curves, and the confusion matrix of its result. They need matplotlib (the `viz`
extra).
"""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..io.atomic import write_atomically
from .history import History, mode_of

_TRAIN, _VALIDATION = "#2f6db3", "#d9662b"
_FAINT = "#b5b5b5"


def plot_curves(history: History, path: str | os.PathLike[str], title: str = "Training") -> None:
    """Write a picture with a panel for the loss and one for each metric, training against validation.

    Args:
        history: of the training; at least one epoch.
        path: a PNG file, written atomically.
        title: above the panels.

    Raises:
        ImportError: matplotlib is missing.
        ValueError: the history is empty.
    """
    if not len(history):
        raise ValueError("plot_curves: the history is empty; train for an epoch first")
    keys = [
        key for key in history.columns if not key.startswith("val_") and key not in ("epoch", "lr", "seconds")
    ]
    figure = _figure(5.2 * len(keys), 4.0)
    panels = figure.subplots(1, len(keys), squeeze=False)[0]
    for panel, key in zip(panels, keys, strict=True):
        _draw_curve(panel, history, key)
    figure.suptitle(title, fontsize=13, fontweight="bold")
    _save(figure, path)


def _draw_curve(panel: Any, history: History, key: str) -> None:
    epochs = history["epoch"]
    share = mode_of(key) == "max"
    scale = 100 if share else 1
    series = [("training", key, _TRAIN), ("validation", f"val_{key}", _VALIDATION)]
    series = [entry for entry in series if entry[1] in history]
    last = {name: history[name][-1] for _, name, _ in series}
    for label, name, colour in series:
        values = scale * np.array(history[name], float)
        marker = "o" if len(epochs) <= 20 else None
        panel.plot(epochs, values, color=colour, marker=marker, markersize=4, linewidth=1.8, label=label)
        if np.isfinite(values[-1]):
            text = f"{values[-1]:.1f} %" if share else f"{values[-1]:.3f}"
            # The number of the upper curve stands above it, that of the lower one below: they do not meet.
            above = last[name] == max(last.values())
            panel.annotate(
                text, (epochs[-1], values[-1]), xytext=(0, 7 if above else -14), textcoords="offset points",
                ha="right", fontsize=9, color=colour,
            )  # fmt: skip
    name = key.replace("_", " ")
    panel.set_title(name.capitalize())
    panel.set_xlabel("epoch")
    panel.set_ylabel(f"{name} (%)" if share else name)
    panel.xaxis.get_major_locator().set_params(integer=True)
    panel.margins(y=0.12)
    _tidy(panel)
    panel.legend(frameon=False)


def plot_confusion(
    matrix: np.ndarray, classes: Sequence[str], path: str | os.PathLike[str], title: str = "Confusion matrix"
) -> None:
    """Write a picture of a confusion matrix: colours are shares of the true class, numbers are counts.

    Args:
        matrix: integers (C, C), true classes in rows, as from ``confusion_matrix``.
        classes: C names.
        path: a PNG file, written atomically.
        title: above the matrix.

    Raises:
        ImportError: matplotlib is missing.
        ValueError: matrix and names do not fit.
    """
    count = len(classes)
    if matrix.shape != (count, count):
        raise ValueError(f"plot_confusion: the matrix is {matrix.shape}, but there are {count} class names")
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    side = max(4.6, 0.56 * count + 2.2)
    figure = _figure(side + 0.9, side)
    panel = figure.subplots()
    picture = panel.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    labels = [name if len(name) <= 16 else name[:15] + "…" for name in classes]
    long = max(map(len, labels)) > 3
    panel.set_xticks(range(count), labels, rotation=45 if long else 0, ha="right" if long else "center")
    panel.set_yticks(range(count), labels)
    panel.set_xlabel("predicted class")
    panel.set_ylabel("true class")
    accuracy = np.trace(matrix) / max(matrix.sum(), 1)
    panel.set_title(
        f"{title}\n{np.trace(matrix):,} of {matrix.sum():,} right ({100 * accuracy:.1f} %)", fontsize=12
    )
    if count <= 30:
        _write_counts(panel, matrix, shares)
    panel.set_xticks(np.arange(count + 1) - 0.5, minor=True)
    panel.set_yticks(np.arange(count + 1) - 0.5, minor=True)
    panel.grid(which="minor", color="white", linewidth=1)
    panel.tick_params(which="both", length=0)
    for spine in panel.spines.values():
        spine.set_visible(False)
    bar = figure.colorbar(picture, ax=panel, fraction=0.046, pad=0.03)
    bar.set_label("share of the true class")
    bar.outline.set_visible(False)
    _save(figure, path)


def _write_counts(panel: Any, matrix: np.ndarray, shares: np.ndarray) -> None:
    for row, column in np.ndindex(*matrix.shape):
        value = int(matrix[row, column])
        colour = "white" if shares[row, column] > 0.5 else (_FAINT if value == 0 else "black")
        panel.text(column, row, str(value), ha="center", va="center", fontsize=9, color=colour)


def _figure(width: float, height: float) -> Any:
    try:
        from matplotlib.figure import Figure  # not pyplot: no window system, no global state
    except ImportError:
        raise ImportError("pictures need matplotlib; install it with `pip install pynet-nn[viz]`") from None
    return Figure(figsize=(width, height), dpi=130, layout="constrained")


def _tidy(panel: Any) -> None:
    panel.grid(True, color="#dddddd", linewidth=0.7)
    panel.set_axisbelow(True)
    for side in ("top", "right"):
        panel.spines[side].set_visible(False)


def _save(figure: Any, path: str | os.PathLike[str]) -> None:
    stream = io.BytesIO()
    figure.savefig(stream, format="png")
    write_atomically(path, stream.getvalue())
