"""Step 6: the curves of a training, and what they say: go on, go deeper, or stop."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from ...autograd import from_numpy, no_grad
from ..checks import loss_of, loss_of_nothing
from ..pictures import draw_lines
from ..samples import Loss, endless_batches, untouched_randomness
from ..samples import step as train_step
from .case import Case, Pair
from .findings import Step

NOISE = 0.01  # by how much accuracies change for no reason, of some thousand validation samples
EPOCHS = 8
BATCH = 32


@dataclass
class Curves:
    """Scores a pass: higher is better (accuracy, or the negative loss).

    Attributes:
        name: of the score. train, validation: of each pass; validation may be empty.
        chance: the score of a model that knows nothing, NaN where it is not known.
    """

    name: str
    train: np.ndarray = field(repr=False)
    validation: np.ndarray = field(repr=False)
    chance: float = math.nan


def read_curves(history: Any) -> Curves:
    """The curves of a History: accuracies where it has them, else losses with the sign turned."""
    for key in ("accuracy", "loss"):
        if key in history:
            sign = 1 if key == "accuracy" else -1
            train, held = (
                sign * np.array(history[k] if k in history.columns else [], float)
                for k in (key, f"val_{key}")
            )
            return Curves(key, train, held)
    raise ValueError(f"the history has neither accuracy nor loss, but {', '.join(history.columns)}")


def verdict(curves: Curves, noise: float = NOISE) -> tuple[str, str]:
    """One of `VERDICTS`, and the numbers behind it.

    Args:
        curves: of training and validation.
        noise: by how much a score may change for no reason: for accuracies the standard error of the
            validation.
    """
    train, validation = curves.train, curves.validation
    if not np.isfinite(train).all():
        return (
            "diverged",
            f"the {curves.name} is not a number from pass {int(np.isfinite(train).argmin()) + 1} on",
        )
    if len(train) < 4 or len(validation) < 4:
        return "too short", f"{len(train)} passes with validation: four are the least"
    if curves.name != "accuracy":  # losses have no scale of their own: that of their own range
        noise = max(0.05 * float(np.ptp(validation)), noise * abs(float(validation[0])))
    third = max(len(train) // 3, 2)
    now, best = float(validation[-third:].mean()), float(_smooth(validation).max())
    rise = float(train[-third:].mean() - train[-2 * third : -third].mean())
    gap = float(train[-third:].mean()) - now
    evidence = (
        f"{curves.name} of the last {third} passes: training {_show(curves, train[-third:].mean())}, "
        f"validation {_show(curves, now)}, best {_show(curves, best)}"
    )
    if best - now > 3 * noise and rise > 0 and int(_smooth(validation).argmax()) < len(train) - third:
        return "stop", evidence
    if max(train.max(), validation.max()) < curves.chance + 3 * noise:
        return "flat", f"{evidence}; chance is {_show(curves, curves.chance)}"
    if curves.name == "accuracy" and now > 0.98:
        return "done", evidence
    if (
        rise <= noise / 4
        and float(validation[-third:].mean() - validation[-2 * third : -third].mean()) <= noise / 4
    ):
        return "done", evidence
    return ("go on" if gap > 2 * noise else "go deeper"), evidence


def _smooth(values: np.ndarray) -> np.ndarray:
    """Means of two neighbours: one lucky pass is no summit."""
    return (values[1:] + values[:-1]) / 2


def _show(curves: Curves, value: float) -> str:
    return f"{100 * value:.1f} %" if curves.name == "accuracy" else f"{abs(value):.4g}"


VERDICTS = {
    "go on": "both rise with a gap: the training is sound; go on, and regularise if the gap grows",
    "go deeper": "both rise without a gap: the network has room; train longer, go deeper or wider",
    "stop": "training rises and validation falls: it learns by heart",
    "flat": "neither gets anywhere: it does not learn, or not in so few passes",
    "done": "no more to gain this way: both are level, or near 100 %",
    "diverged": "the loss is not a number any more",
    "too short": "four passes with validation are the least to judge by",
}


def check_curves(case: Case) -> Step:
    """Step 6: curves of the history that was given, else of a short training."""
    curves, predicted = short_training(case)
    noise = max(NOISE, 0.5 / np.sqrt(len(case.validation[0])))  # the standard error of a share, at worst
    origin = f"of a short training of a copy, {len(curves.train)} passes of {len(case.x)} samples"
    if case.history is not None and len(case.history):
        curves, noise = read_curves(case.history), NOISE
        origin = f"of the history given, {len(curves.train)} passes"
    said, evidence = verdict(curves, noise)
    step = Step("Curves", [origin, f"verdict: {said}; {VERDICTS[said]}", evidence])
    step.open = "unclear" if said in ("flat", "too short") else ""
    scale, unit = (100, "accuracy (%)") if curves.name == "accuracy" else (-1, curves.name)
    lines = {"training": scale * curves.train, "validation": scale * curves.validation}
    lines = {label: values for label, values in lines.items() if len(values)}
    step.draw = partial(draw_lines, lines, xlabel="pass", ylabel=unit)
    if said in ("stop", "diverged"):
        step.add("overfitting" if said == "stop" else said, evidence)
    _chance(case, predicted, step)
    return step


def short_training(case: Case) -> tuple[Curves, Pair]:
    """Train a copy for some passes; the curves, and outputs and targets of the validation samples at the
    end.
    """
    train, held = [], []
    x, y = case.x, case.y
    xv, yv = case.validation
    with untouched_randomness(), np.errstate(all="ignore"):
        model, optimizer = case.trainable()
        batches = endless_batches(x, y, min(BATCH, len(x)))
        for _ in range(EPOCHS):
            model.train()
            for _, (inputs, targets) in zip(range(max(len(x) // BATCH, 1)), batches, strict=False):
                value = train_step(model, optimizer, case.loss, inputs, targets)
            model.eval()
            with no_grad():
                output, answer = model(from_numpy(xv)).array, model(from_numpy(x[:512])).array
            train.append(_score(case, case.loss, answer, y[:512]))
            held.append(_score(case, case.loss, output, yv))
            if not np.isfinite(value):
                train[-1] = np.nan
                break
    name, chance = "loss", -loss_of_nothing(case.loss, output, yv)[0]
    if case.labels:
        name, chance = "accuracy", float(np.unique(y, return_counts=True)[1].max()) / len(y)
    return Curves(name, np.array(train), np.array(held), chance), (output, yv)


def _score(case: Case, loss: Loss, output: np.ndarray, y: np.ndarray) -> float:
    if case.labels:
        return float((output.argmax(axis=1) == y).mean())
    return -loss_of(loss, output, y)


def _chance(case: Case, predicted: Pair, step: Step) -> None:
    """No better than chance on samples held out, neither the model nor the nearest neighbour: inputs and
    targets do not belong together. Both are asked: a model may be untrained, and neighbours may be blind to
    the task.
    """
    output, y = predicted
    known = {"constant_input", "not_finite", "tiny_data"} & case.codes
    if known or len(y) < 50 or case.x.dtype.kind != "f" or not np.isfinite(output).all():
        return
    neighbours = case.y[_nearest(case.x, case.validation[0])]
    if case.labels:
        shares = np.unique(y, return_counts=True)[1] / len(y)
        # Of independent labels the model guesses the most frequent one at best, the neighbour any one.
        chances = float(shares.max()), float(np.square(shares).sum())
        found = float((output.argmax(axis=1) == y).mean()), float((neighbours == y).mean())
        excess = [
            (f - c) / np.sqrt(c * (1 - c) / len(y) + 1e-12) for f, c in zip(found, chances, strict=True)
        ]
        evidence = (
            f"on {len(y)} samples held out the model is right on {100 * found[0]:.1f} % (chance "
            f"{100 * chances[0]:.1f} %), the nearest neighbour on {100 * found[1]:.1f} % "
            f"({100 * chances[1]:.1f} %)"
        )
    elif y.size == len(y) and output.size == len(y) and np.ptp(y) > 0:
        found = _correlation(output, y), _correlation(neighbours, y)
        excess = [value * np.sqrt(len(y)) for value in found]
        evidence = (
            f"on {len(y)} samples held out the correlation with the targets is {found[0]:.2f} for the model, "
            f"{found[1]:.2f} for the nearest neighbour"
        )
    else:
        return
    # 2.5 deviations: one of a hundred shuffled data sets passes, and a weak relation is seen by one of the
    # two.
    if max(excess) < 2.5:
        step.add("shuffled_labels", evidence)


def _nearest(x: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    """For each of `theirs` the position of the nearest of `x`, features standardised."""
    a, b = (part.reshape(len(part), -1).astype(np.float64) for part in (x, theirs))
    mean, deviation = a.mean(axis=0), np.maximum(a.std(axis=0), 1e-6 * np.abs(a).max() + 1e-12)
    a, b = (a - mean) / deviation, (b - mean) / deviation
    return (np.square(a).sum(axis=1) - 2 * b @ a.T).argmin(axis=1)


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
    a, b = a.ravel().astype(np.float64), b.ravel().astype(np.float64)
    return float(np.corrcoef(a, b)[0, 1]) if np.ptp(a) > 0 and np.ptp(b) > 0 else 0.0
