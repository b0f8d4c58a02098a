"""Step 2: the first loss, and whether outputs and loss belong together."""

from __future__ import annotations

import math
from functools import partial

import numpy as np

from ...autograd import no_grad
from ..activations import activation_stats
from ..checks import check_initial_loss, kind_of, loss_of, loss_of_nothing
from ..pictures import draw_bars
from ..samples import untouched_randomness
from .case import Case
from .findings import Step


def check_loss(case: Case) -> Step:
    """Step 2."""
    step = Step("Initial loss")
    first = check_initial_loss(case.model, (case.x, case.y), case.loss)
    step.evidence.append(str(first))
    case.learnt = first.learnt
    _sign(case, step)
    _ends(case, step)
    if not first.ok and not step.findings:
        step.add("initial_loss", str(first), factor=f"{first.factor:.3g}")
    if not math.isnan(first.expected):
        bars = {"knows nothing": first.expected, "this model": first.loss}
        step.draw = partial(draw_bars, bars, xlabel="loss before training")
    return step


def _sign(case: Case, step: Step) -> None:
    """A loss must prefer right outputs to those of a model that knows nothing, whatever it is called."""
    assert case.output is not None
    output, y = case.output, case.y[: len(case.output)]
    if any(group.get("maximize") for group in getattr(case.optimizer, "param_groups", [])):
        step.add("wrong_sign", "the optimizer has maximize=True")
    right = right_outputs(kind_of(case.loss), output, y, case.labels)
    if right is None:
        return
    nothing = loss_of_nothing(case.loss, output, y)[0]
    try:
        with untouched_randomness(), np.errstate(all="ignore"), no_grad():
            best = loss_of(case.loss, right.astype(output.dtype), y)
    except (ValueError, TypeError, IndexError):
        return
    if best > nothing + 1e-6 * abs(nothing):
        step.add(
            "wrong_sign", f"the loss of right answers is {best:.3g}, that of knowing nothing {nothing:.3g}"
        )


def right_outputs(kind: str, output: np.ndarray, y: np.ndarray, labels: bool) -> np.ndarray | None:
    """Outputs that answer rightly and surely, as the loss takes them; None where that is not known."""
    if labels:  # 10 for the right class and 0 for the others; log-probabilities of 0 and -10
        shift = -10.0 if kind == "nll" else 0.0
        rows = np.full(output.shape, shift)
        inside = (y >= 0) & (y < output.shape[1])  # the others are those that the loss ignores
        rows[np.flatnonzero(inside), y[inside]] += 10.0
        return rows
    if y.shape != output.shape:
        return None
    if kind == "bcewithlogits":
        return 20.0 * (y - 0.5)
    if kind == "crossentropy":
        return np.log(np.maximum(y, 1e-4))
    return y.astype(np.float64)


def _ends(case: Case, step: Step) -> None:
    """What the outputs are (logits, probabilities or their logarithms) against what the loss takes."""
    assert case.output is not None
    output, kind = case.output.astype(np.float64), kind_of(case.loss)
    between = f"the outputs lie between {output.min():.3g} and {output.max():.3g}"
    bounded = bool(output.min() >= 0 and output.max() <= 1)
    classes = output.shape[1] if output.ndim > 1 else 1
    if kind == "crossentropy" and bounded and classes > 1 and np.allclose(output.sum(axis=1), 1, atol=1e-3):
        step.add("double_softmax", "the outputs of every sample are positive and sum to 1", last="softmax")
    elif kind == "bcewithlogits" and bounded:
        layers = activation_stats(case.model, case.x[:8]).layers
        if layers and layers[-1].kind == "sigmoid":
            step.add("double_softmax", between, last="sigmoid")
    elif kind == "bce" and not bounded:
        step.add("no_softmax", between, wanted="probabilities")
    elif kind == "nll" and classes > 1:
        sums = np.exp(output).sum(axis=1)
        if not np.allclose(sums, 1, atol=1e-2):
            evidence = f"exp(outputs) sums to {sums.min():.3g} to {sums.max():.3g} a sample, not to 1"
            step.add("no_softmax", evidence, wanted="log-probabilities")
