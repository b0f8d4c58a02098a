"""Figures over many batches: each metric counts what it has seen, so that the size of the batches changes
nothing.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from .batches import as_array


class Metric:
    """A figure over a data set: ``reset()``, then ``update(outputs, targets)`` for each batch, then
    ``compute()``.

    A subclass sets `name` (its key in logs and history) and keeps its counts in `total` and `count`, or
    overrides ``state_dict`` and ``load_state_dict`` too: a training that is resumed in mid-epoch continues
    the counts.
    """

    name = "metric"

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget everything seen."""
        self.total: float = 0
        self.count: int = 0

    def update(self, outputs: np.ndarray, targets: np.ndarray) -> None:
        """Count one batch: what the network gave, and what was right."""
        raise NotImplementedError(f"{type(self).__name__} does not define update(outputs, targets)")

    def compute(self) -> float:
        """Return the figure over everything since ``reset``; NaN before the first sample."""
        return self.total / self.count if self.count else float("nan")

    def state_dict(self) -> dict[str, Any]:
        """Return the counts, as JSON values or arrays."""
        return {"total": self.total, "count": self.count}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over counts from ``state_dict``."""
        self.total, self.count = state["total"], state["count"]


class Mean(Metric):
    """A mean of batch means, weighted by the number of samples in each batch.

    Args:
        name: its key in logs and history.
    """

    def __init__(self, name: str = "loss") -> None:
        super().__init__()
        self.name = name

    def add(self, value: float, samples: int) -> None:
        """Count `value`, the mean over `samples` samples."""
        self.total += value * samples
        self.count += samples


class Accuracy(Metric):
    """The share of samples whose largest output is at the target class.

    ``update`` takes outputs (N, C, ...) with C >= 2 and integer targets (N, ...), or probabilities
    (N, C, ...).
    """

    name = "accuracy"

    def update(self, outputs: np.ndarray, targets: np.ndarray) -> None:
        """Count one batch."""
        targets = _class_numbers(self.name, outputs, targets)
        self.total += int((outputs.argmax(axis=1) == targets).sum())
        self.count += targets.size


class TopK(Metric):
    """The share of samples whose target class is among the k largest outputs; of equal outputs the first
    counts first.

    Args:
        k: how many guesses a sample has.
    """

    def __init__(self, k: int = 5) -> None:
        if isinstance(k, bool) or not isinstance(k, int) or k < 1:
            raise ValueError(f"TopK: k must be an integer of at least 1, not {k!r}")
        super().__init__()
        self.k = k
        self.name = f"top_{k}"

    def update(self, outputs: np.ndarray, targets: np.ndarray) -> None:
        """Count one batch."""
        targets = _class_numbers(self.name, outputs, targets)
        index = np.expand_dims(targets, 1)
        score = np.take_along_axis(outputs, index, axis=1)
        classes = np.arange(outputs.shape[1]).reshape(1, -1, *[1] * (outputs.ndim - 2))
        ahead = (outputs > score) | ((outputs == score) & (classes < index))
        # Nothing compares with NaN, which would put a sample without a score first.
        right = (ahead.sum(axis=1) < self.k) & ~np.isnan(score).squeeze(1)
        self.total += int(right.sum())
        self.count += targets.size


def create(metric: str | Metric) -> Metric:
    """Return the metric called "accuracy", "top_k" (k = 5) or "top_3" and the like; a Metric is returned as
    it is.

    Raises:
        ValueError: no metric has that name.
    """
    if isinstance(metric, Metric):
        return metric
    if metric == "accuracy":
        return Accuracy()
    match = re.fullmatch(r"top_?(\d+|k)", str(metric))
    if match is None:
        raise ValueError(
            f"no metric is called {metric!r}; use 'accuracy', 'top_5' or a pynet.train.Metric object"
        )
    return TopK(5 if match[1] == "k" else int(match[1]))


def create_all(metrics: Sequence[str | Metric]) -> list[Metric]:
    """Return the metrics; a single name is taken as a list of one.

    Raises:
        ValueError: two have the same name, or one is called "loss".
    """
    created = [create(metric) for metric in ([metrics] if isinstance(metrics, (str, Metric)) else metrics)]
    names = ["loss", *(metric.name for metric in created)]
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        raise ValueError(
            f"two metrics are called {', '.join(doubled)} (the loss is one of them); give each its own name"
        )
    return created


def _class_numbers(name: str, outputs: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """The targets as class numbers (N, ...); of probabilities (N, C, ...) the most probable ones."""
    if targets.dtype.kind == "f" and targets.shape == outputs.shape and outputs.ndim > 1:
        targets = targets.argmax(axis=1)
    if outputs.ndim < 2 or outputs.shape[1] < 2 or targets.shape != outputs.shape[:1] + outputs.shape[2:]:
        raise ValueError(
            f"{name}: outputs {outputs.shape} and targets {targets.shape} do not fit; outputs are "
            "(N, C, ...) with a score for each of C >= 2 classes, targets (N, ...) class numbers or "
            "(N, C, ...) probabilities"
        )
    if targets.dtype.kind not in "iu":
        raise TypeError(f"{name}: targets are class numbers and must be integers, not {targets.dtype}")
    return targets


def confusion_matrix(targets: np.ndarray, predictions: np.ndarray, classes: int) -> np.ndarray:
    """Return int64 (classes, classes): row t, column p counts samples of class t that were taken for class p.

    Args:
        targets: integers (N,).
        predictions: integers (N,).
        classes: how many classes there are.

    Raises:
        IndexError: a class number is outside [0, classes).
    """
    for name, values in (("target", targets), ("prediction", predictions)):
        wrong = values[(values < 0) | (values >= classes)]
        if wrong.size:
            raise IndexError(f"confusion_matrix: {name} {wrong[0]} is outside the {classes} classes")
    return np.bincount(targets * classes + predictions, minlength=classes * classes).reshape(classes, classes)


def fresh(metrics: Sequence[Metric]) -> list[Metric]:
    """Return copies that have counted nothing: a validation happens while the epoch's own counts are still
    needed.
    """
    copies = copy.deepcopy(list(metrics))
    for metric in copies:
        metric.reset()
    return copies


def count_batch(figures: Sequence[Metric], loss: float, outputs: Any, targets: Any) -> None:
    """Count one batch in all `figures`: its loss, or its outputs (a Tensor) and targets."""
    arrays = (outputs.array, as_array(targets))
    for figure in figures:
        if isinstance(figure, Mean):
            figure.add(loss, len(arrays[0]))
        else:
            figure.update(*arrays)
