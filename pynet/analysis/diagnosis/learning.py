"""Steps 4 and 5: can the model learn 20 samples, and is the learning rate in the right range."""

from __future__ import annotations

import math
from functools import partial

import numpy as np

from ..checks import overfit_small
from ..lr_finder import lr_finder
from ..pictures import draw_lines, draw_rates
from ..samples import train_losses, untouched_randomness
from .case import Case, planned_rate
from .findings import Step

STEPS = 60  # of each short training
BATCH = 64
FACTORS = (0.01, 0.1, 1.0, 10.0, 100.0, 1000.0)


def check_overfit(case: Case) -> Step:
    """Step 4."""
    result = overfit_small(case.model, (case.x, case.y), case.loss)
    step = Step("Learn 20 samples by heart", [str(result)])
    lines = {f"loss of {result.samples} samples": result.losses}
    step.draw = partial(draw_lines, lines, xlabel="step", ylabel="loss")
    if not result.ok:
        step.add("too_simple" if case.linear else "cannot_overfit", str(result), samples=result.samples)
    return step


def check_rate(case: Case) -> Step:
    """Step 5: the range test, and short trainings at the optimizer's rate and at some below and above."""
    found = lr_finder(case.model, (case.x, case.y), case.loss, case.optimizer)
    case.suggestion = found.suggestion
    step = Step("Learning rate", [str(found)], draw=partial(draw_rates, found))
    step.open = "" if found.suggestion is not None or case.learnt else "unclear"
    if not hasattr(case.optimizer, "param_groups"):
        return step
    rate = planned_rate(case.optimizer.param_groups[0])
    step.draw = partial(draw_rates, found, rate=rate)
    begin = float(_losses(case, 0.0, 8).mean())
    if rate > 0 and begin > 0 and math.isfinite(begin):  # elsewhere shares of the first loss say nothing
        factors = set(FACTORS) if found.suggestion is None else {*FACTORS, found.suggestion / rate}
        trials = {factor: Trial(_losses(case, factor, STEPS), begin) for factor in sorted(factors)}
        step.evidence.append(f"losses of {STEPS} steps of {BATCH}, as multiples of the first:")
        step.table = [("learning rate", "last", "highest")]
        step.table += [(f"{f * rate:.1e}", f"{t.end:.3g}", f"{t.peak:.3g}") for f, t in trials.items()]
        _judge(case, trials, rate, begin, step)
    return step


class Trial:
    """A short training: `end`, its last losses, and `peak`, the highest, as shares of the first loss;
    infinite where it diverged.
    """

    def __init__(self, losses: np.ndarray, begin: float) -> None:
        whole = bool(np.isfinite(losses).all())
        self.end = float(losses[-max(len(losses) // 4, 1) :].mean()) / begin if whole else math.inf
        self.peak = float(losses.max()) / begin if whole else math.inf


def _judge(case: Case, trials: dict[float, Trial], rate: float, begin: float, step: Step) -> None:
    """Compare the loss at the rate with the losses at smaller and larger ones."""
    own = trials[1.0]
    below = min(trials[0.1].end, trials[0.01].end)
    better = min((factor for factor in trials if factor > 10), key=lambda factor: trials[factor].end)
    above = trials[better].end
    shares = f"after {STEPS} steps {100 * own.end:.3g} % of the first loss are left at {rate:.1e}"
    # Too high: hardly anything is learnt, or the loss first shot up to twice that of knowing nothing, where
    # no sound training goes; and a tenth or a hundredth of the rate does far better.
    if (own.end > 0.6 or own.peak > 2) and below < 0.6 * own.end:
        evidence = (
            f"{shares}, at worst {100 * own.peak:.3g} %; {100 * below:.3g} % at a rate 10 or 100 times lower"
        )
        step.add("lr_too_high", evidence, "error" if own.end > 1 else None, rate=rate)
    # Too low: neither this rate nor ten times it gets anywhere, a hundred or a thousand times it does, and
    # five times as many steps do not help either. Slow nets with plain SGD move by then.
    elif own.end > 0.97 and trials[10.0].end > 0.9 and above < 0.7:
        longer = Trial(_losses(case, 1.0, 5 * STEPS), begin).end
        if longer > 0.9:
            at_best = f"{100 * above:.3g} % after {STEPS} at {better * rate:.1e}"
            step.add("lr_too_low", f"{shares}, {100 * longer:.3g} % after {5 * STEPS}; {at_best}", rate=rate)


def _losses(case: Case, factor: float, steps: int) -> np.ndarray:
    """Of a short training at `factor` times the optimizer's rates."""
    with untouched_randomness():
        model, optimizer = case.trainable()
        for group in optimizer.param_groups:
            group["lr"] *= factor
        return train_losses(model, optimizer, case.loss, case.x, case.y, steps, BATCH)
