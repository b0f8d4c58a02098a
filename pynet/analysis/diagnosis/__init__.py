"""`diagnose`: the six steps by which a training is looked at before it is trusted, a file a step.

| step | file | asks |
| --- | --- | --- |
| 1 data | data.py | scale, labels, amount, leaks |
| 2 initial loss | loss.py | is it that of a model that knows nothing; do outputs and loss belong together |
| 3 activations and gradients | signals.py | dead, saturated, equal, frozen, vanishing, exploding |
| 4 learn 20 samples by heart | learning.py | can it learn at all |
| 5 learning rate | learning.py | range test; too high, too low |
| 6 curves | curves.py | go on, go deeper or stop; do inputs and targets belong together |
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...autograd import Tensor
from ...nn import CrossEntropyLoss, Module
from ..samples import check_model, count, gather
from .case import Case
from .curves import check_curves
from .data import check_data
from .findings import Diagnosis, Finding, Step
from .learning import check_overfit, check_rate
from .loss import check_loss
from .signals import check_signals

__all__ = ["Diagnosis", "Finding", "Step", "diagnose"]

# What these name makes every number after them meaningless.
_STOPPERS = {"model_fails", "labels_out_of_range", "not_finite", "targets_no_probabilities"}


def diagnose(
    model: Module,
    data: Any,
    loss: Callable[..., Tensor] | None = None,
    optimizer: Any = None,
    *,
    validation: Any = None,
    history: Any = None,
    samples: int = 2000,
) -> Diagnosis:
    """Look at a model, its data and its training in six steps, and say in plain words what is wrong.

    Copies are trained for a few seconds at most; model, optimizer and random numbers stay as they are.

    Args:
        model: the network, best before its training.
        data: the training data: a loader, a Dataset, or a pair of arrays (inputs, targets).
        loss: ``loss(outputs, targets)`` -> scalar Tensor; default `CrossEntropyLoss`.
        optimizer: an Optimizer over the model's parameters, whose learning rate is judged (where a schedule
            moves it: the rate that the schedule plans for); or a function ``parameters -> Optimizer``;
            default Adam at the rate that the range test suggests.
        validation: like `data`; default: a fifth of the samples is held out.
        history: a `train.History` of a training; default: the curves of a short training of a copy.
        samples: how many are taken from `data` at most; half as many from `validation`.

    Returns:
        A `Diagnosis`; `print` it, or `save` it as a page.

    Raises:
        TypeError: the model is no Module.
        ValueError: no samples, or no pairs of inputs and targets.

    Source:
        Karpathy et al., CS231n, "Neural Networks Part 3: Learning and Evaluation".

    Example:
        >>> print(pynet.diagnose(model, loader, nn.CrossEntropyLoss(), optimizer))
    """
    check_model("diagnose", model)
    if samples < 1:
        raise ValueError(f"diagnose: samples must be at least 1, not {samples}")
    x, y = gather(data, samples, "diagnose", model)
    total, held = count(data), None
    coverage = len(x) / total if total else 1.0
    if validation is not None:
        held = gather(validation, max(samples // 2, 1), "diagnose", model)
    elif len(x) > 4:
        order = np.random.default_rng(0).permutation(len(x))
        rest, last = order[: -(len(x) // 5)], order[-(len(x) // 5) :]
        held, (x, y) = (x[last], y[last]), (x[rest], y[rest])
    else:
        held = (x, y)
    case = Case(
        model, CrossEntropyLoss() if loss is None else loss, optimizer, x, y, held, validation is not None,
        coverage, total or len(x), history,
    )  # fmt: skip
    return Diagnosis(_run(case))


_STEPS = (
    ("Data", check_data),
    ("Initial loss", check_loss),
    ("Activations and gradients", check_signals),
    ("Learn 20 samples by heart", check_overfit),
    ("Learning rate", check_rate),
    ("Curves", check_curves),
)


def _run(case: Case) -> list[Step]:
    steps = []
    for title, check in _STEPS:
        if case.found and (case.failure or case.codes & _STOPPERS):
            reason = next(finding.sentence for finding in case.found if finding.severity == "error")
            steps.append(Step(title, [f"left out: {reason}"], open="left out"))
            continue
        try:
            step = check(case)
        except (ValueError, TypeError, IndexError, RuntimeError) as error:
            # Data that one batch has shown to fit may still fail: other sizes of batches, labels further on.
            step = Step(title)
            step.add("model_fails", " ".join(str(error).split()))
        case.found += step.findings
        steps.append(step)
    return steps
