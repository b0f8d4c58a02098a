"""Two checks before a training: is the first loss the expected one, and can the model learn 20 samples."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .. import nn, optim
from ..autograd import Tensor, from_numpy, no_grad
from .samples import check_model, duplicate, gather, is_labels, step, untouched_randomness


@dataclass
class InitialLoss:
    """What `check_initial_loss` returns.

    Attributes:
        loss: measured. expected: of a model that knows nothing, NaN where that is not known.
        factor: loss / expected. ok: whether the factor lies in [0.5, 2] (for squared errors [0.5, 4]), or the
            model has learnt already.
        rule: what was expected, in words. cause: the likely cause where it is off, else "".
        learnt: whether the outputs predict the labels far better than chance, as a trained model's do.
    """

    loss: float
    expected: float
    factor: float
    ok: bool
    rule: str
    cause: str
    learnt: bool = False

    def __str__(self) -> str:
        if self.learnt:
            known = f"{self.rule} = {self.expected:.4g} is that of knowing nothing"
            return f"initial loss {self.loss:.4g}: the model has learnt already; {known}"
        if math.isnan(self.expected):
            return f"initial loss {self.loss:.4g}: what to expect of this loss is not known"
        verdict = f"{self.factor:.3g} times {self.rule} = {self.expected:.4g}"
        return f"initial loss {self.loss:.4g}: {verdict}; " + ("as it should be" if self.ok else self.cause)


def check_initial_loss(model: nn.Module, loader: Any, loss: Callable[..., Tensor]) -> InitialLoss:
    """Compare the loss before training with that of a model that knows nothing.

    The expected value is measured: the loss of outputs that are all zero (of the probability 1 / C for
    `NLLLoss`, of 1/2 for `BCELoss`). It is ln C for cross-entropy over C classes, ln 2 for the binary ones, C
    - 1 margins for the multi-class SVM (`MultiMarginLoss` divides them by C), and for squared errors the mean
    square of the targets: their variance, where they are centred. Weights, label smoothing, other reductions
    and losses of your own are so counted in.

    Args:
        model: the network, before its training; it stays as it is.
        loader: a loader, a Dataset or a pair of arrays (inputs, targets); 512 samples are used.
        loss: ``loss(outputs, targets)`` -> scalar Tensor; a layer of `nn`, or any function.

    Returns:
        An `InitialLoss`.

    Example:
        >>> print(analysis.check_initial_loss(model, loader, nn.CrossEntropyLoss()))
    """
    check_model("check_initial_loss", model)
    x, y = gather(loader, 512, "check_initial_loss", model)
    with untouched_randomness(), np.errstate(all="ignore"), no_grad():
        output = duplicate(model, dropout=False)(from_numpy(x)).array
        measured = loss_of(loss, output, y)
    expected, rule = loss_of_nothing(loss, output, y)
    if math.isnan(expected) or expected == 0:
        return InitialLoss(measured, math.nan, math.nan, True, "", "")
    factor = measured / expected
    if math.isfinite(factor) and 0 < factor < 1 and has_learnt(output, y):
        return InitialLoss(measured, expected, factor, True, rule, "", learnt=True)
    # Logits of deviation s raise cross-entropy by about s^2 / 2: twice ln 10 means s = 2, more than any usual
    # initialisation gives standardised inputs. Squared errors grow by s^2 itself, and He's give s^2 = 2.
    most = 4 if kind_of(loss) == "mse" else 2
    ok = math.isfinite(factor) and 0.5 <= factor <= most
    return InitialLoss(measured, expected, factor, ok, rule, "" if ok else _cause(factor, output, x))


def loss_of(loss: Callable[..., Tensor], output: np.ndarray, y: np.ndarray) -> float:
    """The loss of given outputs."""
    return float(loss(from_numpy(output), from_numpy(y)).array)


def kind_of(loss: Any) -> str:
    """The loss's name in small letters without underscores, as crossentropy, nll, mse."""
    loss = getattr(loss, "func", loss)  # of a functools.partial
    name = getattr(loss, "__name__", type(loss).__name__)
    name = name.replace("_", "").lower().removesuffix("loss")
    return {"binarycrossentropy": "bce", "binarycrossentropywithlogits": "bcewithlogits"}.get(name, name)


def loss_of_nothing(loss: Callable[..., Tensor], output: np.ndarray, y: np.ndarray) -> tuple[float, str]:
    """The loss of a model that knows nothing, whose outputs have the shape of `output`, and what it is
    called; NaN where the loss refuses such outputs.
    """
    kind = kind_of(loss)
    classes = output.shape[1] if output.ndim > 1 else 1
    rule = {
        "crossentropy": f"ln {classes}",
        "nll": f"ln {classes}",
        "multimargin": f"({classes} - 1) / {classes} margins",
        "bce": "ln 2",
        "bcewithlogits": "ln 2",
        "mse": "the mean square of the targets",
    }.get(kind, "the loss of outputs that are all zero")
    nothing = {"nll": -math.log(classes), "bce": 0.5}.get(kind, 0.0)
    try:
        with untouched_randomness(), np.errstate(all="ignore"), no_grad():
            return loss_of(loss, np.full_like(output, nothing), y), rule
    except (ValueError, TypeError, IndexError, ZeroDivisionError):
        return math.nan, rule


def has_learnt(output: np.ndarray, y: np.ndarray) -> bool:
    """Whether outputs (N, C) name labels (N,) far better than by chance: three times and five deviations."""
    if not is_labels(y) or output.ndim != 2:
        return False
    share = float((output.argmax(axis=1) == y).mean())
    chance = float(np.unique(y, return_counts=True)[1].max()) / len(y)
    return share > min(3 * chance, (1 + chance) / 2) and share > chance + 5 * math.sqrt(chance / len(y))


def _cause(factor: float, output: np.ndarray, x: np.ndarray) -> str:
    if not math.isfinite(factor):
        return "the outputs overflow: weights or inputs are far too large, or a logarithm meets zero"
    if factor <= 0:
        return (
            "a negative loss: its sign is wrong, or it takes log-probabilities and gets something else "
            "(use CrossEntropyLoss on logits)"
        )
    if factor > 1:
        large = float(np.abs(x).max())
        inputs = f"; inputs reach {large:.3g}, standardise them" if large > 20 else ""
        return f"too large: the outputs (deviation {output.std():.3g}) are confident before training{inputs}"
    return "too small: the loss does not get what it expects, or the labels are known from the inputs"


@dataclass
class Overfit:
    """What `overfit_small` returns.

    Attributes:
        ok: whether the samples were learnt. samples: how many. steps: taken. loss: the last. accuracy: of
            class labels, else NaN. losses: before each step, of the better learning rate.
    """

    ok: bool
    samples: int
    steps: int
    loss: float
    accuracy: float
    losses: np.ndarray = field(repr=False)

    def __str__(self) -> str:
        share = "" if math.isnan(self.accuracy) else f", accuracy {100 * self.accuracy:.0f} %"
        verdict = "learnt" if self.ok else "NOT learnt"
        return f"{self.samples} samples {verdict} in {self.steps} steps: loss {self.loss:.3g}{share}"


def overfit_small(
    model: nn.Module, loader: Any, loss: Callable[..., Tensor], samples: int = 20, steps: int = 150
) -> Overfit:
    """Try to learn a few samples by heart: what fails here will not train on more.

    A copy is trained without dropout by Adam, at rate 3e-3 and, if that fails, at 3e-2. Learnt means every
    label right, and half of the loss of a model that knows nothing at most (label smoothing keeps the loss
    from zero); without labels, a fifth of it.

    Args:
        model: the network; it stays as it is.
        loader: a loader, a Dataset or a pair of arrays (inputs, targets).
        loss: ``loss(outputs, targets)`` -> scalar Tensor.
        samples: how many. steps: the most for each rate.

    Returns:
        An `Overfit`.
    """
    check_model("overfit_small", model)
    x, y = gather(loader, samples, "overfit_small", model)
    best: Overfit | None = None
    for rate in (3e-3, 3e-2):
        with untouched_randomness(), np.errstate(all="ignore"):
            tried = _learn(model, x, y, loss, rate, steps)
        if best is None or tried.ok or tried.loss < best.loss:
            best = tried
        if best.ok:
            break
    assert best is not None
    return best


def _learn(model: nn.Module, x: np.ndarray, y: np.ndarray, loss: Any, rate: float, steps: int) -> Overfit:
    copied = duplicate(model, dropout=False)
    weights = [p for p in copied.parameters() if p.requires_grad]
    if not weights:
        return Overfit(False, len(x), 0, math.nan, math.nan, np.zeros(0))
    with no_grad():
        output = copied(from_numpy(x)).array
    start = loss_of_nothing(loss, output, y)[0]
    labels = is_labels(y) and output.ndim == 2
    optimizer = optim.Adam(weights, lr=rate)
    losses: list[float] = []
    accuracy = math.nan
    ok = False
    for number in range(1, steps + 1):
        losses.append(step(copied, optimizer, loss, x, y))
        if not math.isfinite(losses[-1]):
            break
        if number % 10 and number < steps:
            continue
        if math.isnan(start):
            start = losses[0]
        if labels:
            with no_grad():
                accuracy = float((copied(from_numpy(x)).array.argmax(axis=1) == y).mean())
        ok = losses[-1] <= 0.5 * start and accuracy == 1 if labels else losses[-1] <= 0.2 * start
        if ok:
            break
    return Overfit(ok, len(x), len(losses), losses[-1], accuracy, np.array(losses))
