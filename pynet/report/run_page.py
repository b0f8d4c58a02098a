"""The report of one run: ``report.html`` in its folder."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

import numpy as np

from .. import runtime
from ..nn import Module
from ..train.history import History, mode_of
from ..train.run import Run
from . import figures
from .monitor import Monitor
from .page import Page

_WORST = 24
NAME = "report.html"
MONITOR = "monitor.safetensors"


def write_report(
    run: Run,
    history: History,
    model: Module | None = None,
    part: Any = None,
    outputs: np.ndarray | None = None,
) -> Path:
    """Write ``report.html`` into the run's folder: all that can be said of it.

    Args:
        run: the run; what its Monitor recorded is read from its folder. history: of its epochs.
        model: the network, for the filters of its first layer.
        part: the test images, and outputs: what the network gave for them, (N, C); for confusion matrix,
            scores and mistakes.

    Returns:
        The file.

    Raises:
        ImportError: matplotlib is missing. OSError: the file cannot be written.
    """
    told = run.description
    page = Page(
        f"{told['model']['name']} on {told['data'].get('name', 'data')}",
        f"{_STATUS.get(told.get('status', ''), told.get('status', ''))} · {run.path.name}",
    )
    page.numbers(_headline(run, history))
    if len(history):
        _curves(page, history)
    if (run.path / MONITOR).is_file():
        _monitor(page, Monitor.load(run.path / MONITOR))
    if outputs is not None and len(outputs):
        _results(page, run.classes, part, outputs)
    if model is not None:
        _filters(page, model)
    if len(history):
        _time(page, history, told["data"].get("train", 0))
    _settings(page, told)
    target = run.path / NAME
    page.save(target)
    return target


_STATUS = {"finished": "finished", "stopped": "stopped before its end", "training": "in training"}


def _headline(run: Run, history: History) -> dict[str, str]:
    shown = {}
    if "test_accuracy" in run.description["figures"]:
        shown["test accuracy"] = f"{100 * run.description['figures']['test_accuracy']:.2f} %"
    if "val_accuracy" in history:
        shown["validation accuracy"] = f"{100 * history['val_accuracy'][-1]:.2f} %"
        shown["gap to training"] = (
            f"{100 * (history['accuracy'][-1] - history['val_accuracy'][-1]):+.2f} points"
        )
    if len(history):
        shown["epochs"] = f"{len(history)} of {run.description['settings'].get('epochs', len(history))}"
        shown["training time"] = duration(sum(history["seconds"]))
    return shown


def _curves(page: Page, history: History) -> None:
    page.section("Curves")
    page.figure(
        figures.curves(history), f"Training and validation over {len(history)} epochs. {_gap(history)}"
    )
    keys = [key for key in history.columns if key not in ("epoch", "seconds", "lr")]
    best = [(name_of(key), *_last_and_best(history, key)) for key in keys]
    page.table(best, ("figure", "last", "best", "in epoch"))


def _gap(history: History) -> str:
    """In words, the gap of the last epoch and where it is going."""
    if "val_loss" not in history:
        return "There was no validation part: nothing tells whether the network generalises."
    with np.errstate(invalid="ignore"):
        gap = np.array(history["val_loss"], float) - np.array(history["loss"], float)
    if not np.isfinite(gap[-1]):
        return "The loss is not finite: the training diverged."
    said = (
        f"The validation loss ends {abs(gap[-1]):.3f} {'above' if gap[-1] > 0 else 'below'} the training loss"
    )
    best = int(np.nanargmin(history["val_loss"])) + 1
    return f"{said}; it was smallest in epoch {best} of {len(gap)}."


def _last_and_best(history: History, key: str) -> tuple[str, str, str]:
    values = np.array(history[key], float)
    share = mode_of(key) == "max"
    if not np.isfinite(values).any():
        return ("NaN", "", "")
    place = int(np.nanargmax(values) if share else np.nanargmin(values))
    shown = [f"{100 * value:.2f} %" if share else f"{value:.4f}" for value in (values[-1], values[place])]
    return shown[0], shown[1], str(int(history["epoch"][place]))


def _monitor(page: Page, monitor: Monitor) -> None:
    if len(monitor.gradients):
        page.section("Steps")
        page.figure(
            figures.steps(monitor.gradients), "Learning rate and norm of all gradients during the training."
        )
    for kind, meaning in (
        ("activations", "What the layers give for a fixed batch of training images, after each epoch."),
        ("weights", "The weights of the layers after each epoch."),
    ):
        rows = {layer: row for (of, layer), row in monitor.histograms.items() if of == kind}
        if rows:
            page.section(f"{kind.capitalize()} over time")
            page.figure(
                figures.histograms(rows),
                f"{meaning} A column is a histogram; strong colour is where many values are.",
            )


def _results(page: Page, classes: list[str], part: Any, outputs: np.ndarray) -> None:
    labels = np.asarray(part.labels)
    predicted = outputs.argmax(axis=1)
    count = len(classes)
    matrix = np.bincount(labels * count + predicted, minlength=count * count).reshape(count, count)
    page.section("Test images: right and wrong")
    right = int(np.trace(matrix))
    page.figure(
        figures.confusion(matrix, classes),
        f"Confusion matrix of {len(labels):,} test images: {right:,} are right. Rows are the true classes.",
    )
    page.table(scores(matrix, classes), ("class", "precision", "recall", "F1", "images"))
    _mistakes(page, classes, part, labels, predicted, outputs)


def scores(matrix: np.ndarray, classes: list[str]) -> list[tuple[str, ...]]:
    """Precision, recall and F1 of each class in percent, from a confusion matrix with true classes in rows;
    "-" where there is nothing to divide by.
    """
    rows = []
    for place, name in enumerate(classes):
        hit, support, taken = matrix[place, place], matrix[place].sum(), matrix[:, place].sum()
        parts = ((hit, taken), (hit, support), (2 * hit, support + taken))
        rows.append((name, *(f"{100 * a / b:.1f} %" if b else "-" for a, b in parts), f"{support:,}"))
    return rows


def _mistakes(
    page: Page, classes: list[str], part: Any, labels: np.ndarray, predicted: np.ndarray, outputs: np.ndarray
) -> None:
    """The images whose true class got the smallest probability."""
    shifted = outputs.astype(np.float64) - outputs.max(axis=1, keepdims=True)
    logs = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    losses = -logs[np.arange(len(labels)), labels]
    wrong = np.flatnonzero(predicted != labels)
    if not len(wrong):
        page.text("There is no mistake among them.")
        return
    worst = wrong[np.argsort(-losses[wrong], kind="stable")[:_WORST]]
    page.section("Worst mistakes")
    page.text(f"The {len(worst)} of {len(wrong):,} mistakes with the highest loss. Are the labels right?")
    images = _images(part, worst)
    page.images(
        (
            image,
            f"is {classes[labels[place]]}, taken for {classes[predicted[place]]} "
            f"({100 * np.exp(logs[place, predicted[place]]):.0f} %)",
        )
        for image, place in zip(images, worst, strict=True)
    )


def _images(part: Any, places: np.ndarray) -> list[np.ndarray]:
    """Stored images of a data set or a part of one, uint8 (H, W) or (H, W, 3)."""
    while hasattr(part, "indices"):
        part, places = part.dataset, part.indices[places]
    stored = part.images[places]
    return [image[0] if len(image) != 3 else image.transpose(1, 2, 0) for image in stored]


def _filters(page: Page, model: Module) -> None:
    weight = next((p.array for p in model.parameters() if p.ndim == 4), None)
    images = None if weight is None else figures.filters(weight)
    if images is None:
        return
    page.section("Filters of the first layer")
    page.images(((image, f"filter {number}") for number, image in enumerate(images)), side=56)


def _time(page: Page, history: History, images: int) -> None:
    page.section("Time")
    times = np.array(history["seconds"], float)
    page.figure(
        figures.seconds(history), f"Seconds an epoch, validation included; {duration(times.sum())} in all."
    )
    if images:
        page.text(
            f"Throughput: {images / np.median(times):,.0f} training images a second (median of the epochs)."
        )


def _settings(page: Page, told: dict[str, Any]) -> None:
    page.section("To repeat it")
    if told.get("command"):
        page.code(told["command"])
    rows: list[tuple[str, str]] = [(name_of(key), _shown(value)) for key, value in told["settings"].items()]
    page.table(rows, ("setting", "value"), text_columns=2)
    page.section("Environment")
    page.table(environment(told), text_columns=2)


def environment(told: dict[str, Any]) -> list[tuple[str, str]]:
    """Versions that the run was trained with, and this machine."""
    rows = [(name, str(version)) for name, version in told.get("versions", {}).items()]
    threads = f"{runtime.get_num_threads()} ({runtime.thread_choice()})"
    return [*rows, ("processor", processor()), ("isa", runtime.isa()), ("threads", threads)]


def processor() -> str:
    """The name of the processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0]}, {os.cpu_count()} logical cores" if names else platform.machine()


def duration(seconds: float) -> str:
    """Seconds as people say them."""
    if seconds < 120:
        return f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"


def name_of(key: str) -> str:
    """A setting's or figure's name in words."""
    return (
        key.replace("val_", "validation ", 1).replace("_", " ")
        if key.startswith("val_")
        else key.replace("_", " ")
    )


def _shown(value: Any) -> str:
    if value is None:
        return "-"
    return ", ".join(map(str, value)) or "-" if isinstance(value, (list, tuple)) else str(value)
