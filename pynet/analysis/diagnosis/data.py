"""Step 1: the data. Are inputs and targets what a network can learn from?"""

from __future__ import annotations

from functools import partial

import numpy as np

from ..checks import kind_of
from ..pictures import draw_data
from .case import Case
from .findings import Step

# Initialisations assume inputs whose mean square is about 1. Pixels in [0, 1] have about 0.2, whitened ones
# 1; with 0 to 255 it is over 10,000, with 0 to 16 (digits) 60. From 4 times the deviation on, the first
# outputs are so large that the loss begins wrong and tanh saturates.
LARGEST_RMS = 4.0
SMALLEST_VALUE = 0.1  # no value is larger: the signal is ten times weaker than planned
OFF_CENTRE = 5.0  # mean over deviation; images on white ground in [0, 1] have 3
FEATURE_RATIO = 100.0  # of the largest to the median deviation of a table's columns
LARGEST_TARGET = 10.0  # root mean square: outputs begin near 0, and some 1e-3 a step is all that they move
FEW = 10  # samples a class: a validation of a tenth would hold one of each
FEW_IN_ALL = 50


def check_data(case: Case) -> Step:
    """Step 1."""
    x, y = case.x, case.y
    step = Step("Data", draw=partial(draw_data, x, y))
    kind = f"{case.classes} classes" if case.labels else f"targets of shape {y.shape[1:]}"
    step.evidence.append(f"{case.total} samples of shape {x.shape[1:]}, {kind}; {len(x)} were looked at")
    if x.dtype.kind == "f":
        step.evidence.append(
            f"inputs: mean {x.mean(dtype=np.float64):.3g}, deviation {x.std(dtype=np.float64):.3g}, "
            f"from {x.min():.3g} to {x.max():.3g}"
        )
    if case.labels:
        _labels(case, step)
    else:
        _targets(case, step)
    if case.failure and not step.findings:
        step.add("model_fails", case.failure)
    bad = np.count_nonzero(~np.isfinite(x)) + np.count_nonzero(~np.isfinite(y))
    if bad:
        step.add("not_finite", f"{bad} values")
    elif x.dtype.kind == "f":
        _inputs(case, step)
    _amount(case, step)
    if case.given and not bad:
        _leak(case, step)
    return step


def _labels(case: Case, step: Step) -> None:
    counted = case.y[case.y != getattr(case.loss, "ignore_index", -100)]
    seen = np.unique(counted)
    if len(seen) and (seen[0] < 0 or seen[-1] >= case.classes):
        outside = np.count_nonzero((counted < 0) | (counted >= case.classes))
        step.add(
            "labels_out_of_range",
            f"{outside} of {len(counted)} labels have no output",
            low=seen[0],
            high=seen[-1],
            last=case.classes - 1,
        )
    elif len(seen) == 1:
        step.add("one_class", f"{len(counted)} samples", label=seen[0])
    elif len(seen) < case.classes and len(counted) >= 20 * case.classes:
        missing = case.classes - len(seen)
        step.add(
            "outputs_without_samples",
            f"labels that occur: {_few(seen)}",
            missing=missing,
            classes=case.classes,
        )


def _targets(case: Case, step: Step) -> None:
    y, kind = case.y, kind_of(case.loss)
    if kind in ("bce", "bcewithlogits") and y.size and (y.min() < 0 or y.max() > 1):
        step.add("binary_out_of_range", f"targets run from {y.min():.3g} to {y.max():.3g}")
    elif (kind in ("crossentropy", "nll") and y.dtype.kind == "f" and y.ndim == 1) or (
        kind in ("nll", "multimargin") and y.ndim == 2
    ):
        step.add("labels_not_integers", f"{y.dtype} of shape {y.shape}, the first ones {_few(y.ravel())}")
    elif kind == "crossentropy" and y.ndim == 2 and not np.allclose(sums := y.sum(axis=1), 1, atol=1e-3):
        step.add("targets_no_probabilities", f"they sum to {sums.min():.3g} to {sums.max():.3g}")
    elif kind == "mse" and np.sqrt(np.square(y, dtype=np.float64).mean()) > LARGEST_TARGET:
        step.add("targets_not_standardised", f"mean {y.mean():.3g}, deviation {y.std():.3g}")


def _inputs(case: Case, step: Step) -> None:
    x = case.x.reshape(len(case.x), -1).astype(np.float64)
    deviations = x.std(axis=0)
    usual = float(np.median(deviations[deviations > 0])) if deviations.any() else 0.0
    rms, largest = float(np.sqrt(np.square(x).mean())), float(np.abs(x).max())
    size = f"root mean square {rms:.3g}, largest {largest:.3g}; initialisations count on about 1"
    if len(x) > 1 and deviations.max() <= 1e-6 * max(largest, 1e-30):
        step.add("constant_input", f"the largest deviation of a feature is {deviations.max():.3g}")
    elif rms > LARGEST_RMS:
        step.add("unscaled_input", size, what="large values")
    elif largest < SMALLEST_VALUE:
        step.add("unscaled_input", size, what="tiny values, perhaps scaled twice")
    elif abs(x.mean()) > OFF_CENTRE * x.std():
        step.add("unscaled_input", f"mean {x.mean():.3g}, deviation {x.std():.3g}", what="values far from 0")
    elif case.x.ndim == 2 and deviations.max() > FEATURE_RATIO * usual:
        evidence = (
            f"feature {deviations.argmax()} has deviation {deviations.max():.3g}, the median is {usual:.3g}"
        )
        step.add("unscaled_input", evidence, what="one feature far larger than the others")


def _amount(case: Case, step: Step) -> None:
    least = max(FEW_IN_ALL, FEW * case.classes if case.labels else 0)
    if case.total < least:
        each = f", {case.total / case.classes:.1f} a class" if case.labels else ""
        step.add("tiny_data", f"{case.total} samples{each}; a split in two parts needs {least} at least")


def _leak(case: Case, step: Step) -> None:
    """Equal samples in both parts, beyond what the data repeats of itself."""
    known = {row.tobytes() for row in np.ascontiguousarray(case.x)}
    if len(known) == 1:  # constant
        return
    theirs = np.ascontiguousarray(case.validation[0])
    twins = sum(row.tobytes() in known for row in theirs)
    share = twins / len(theirs) / case.coverage
    repeated = (1 - len(known) / len(case.x)) / case.coverage
    # Three, and 2 %: fashion-mnist and CIFAR-10 have some equal images in both parts, fewer than 1 %. Tables
    # of few values repeat themselves: there the training part does so as well.
    if twins >= 3 and share > 0.02 and share > 3 * repeated:
        step.add(
            "train_test_leak",
            f"{twins} of {len(theirs)} validation samples are among {len(case.x)} training samples"
            + (f", about {100 * min(share, 1):.0f} % in all" if case.coverage < 1 else ""),
        )


def _few(values: np.ndarray) -> str:
    shown = ", ".join(f"{value:g}" for value in values[:6])
    return shown + (", ..." if len(values) > 6 else "")
