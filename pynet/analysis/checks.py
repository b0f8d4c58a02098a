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
        loss: measured. expected: of a model that knows nothing, NaN where no rule is known for the loss.
        factor: loss / expected. ok: whether the factor lies in [0.5, 2] (true where no rule is known).
        rule: what was expected, in words. cause: the likely cause where it is off, else "".
    """

    loss: float
    expected: float
    factor: float
    ok: bool
    rule: str
    cause: str

    def __str__(self) -> str:
        if math.isnan(self.expected):
            return f"initial loss {self.loss:.4g}: no rule is known for this loss"
        verdict = f"{self.factor:.3g} times {self.rule} = {self.expected:.4g}"
        return f"initial loss {self.loss:.4g}: {verdict}; " + ("as it should be" if self.ok else self.cause)


def check_initial_loss(model: nn.Module, loader: Any, loss: Callable[..., Tensor]) -> InitialLoss:
    """Compare the loss before training with that of a model that knows nothing.

    Expected are ln C for cross-entropy and NLL over C classes, (C - 1) * margin^p / C for `MultiMarginLoss`
    (C - 1 for the hinge loss summed over classes, which its mean over C divides), ln 2 for the binary
    cross-entropies, and the mean square of the targets (their variance, where they are centred) for MSE.

    Args:
        model: the network, before its training; it stays as it is.
        loader: a loader, a Dataset or a pair of arrays (inputs, targets); 512 samples are used.
        loss: ``loss(outputs, targets)`` -> scalar Tensor; a layer of `nn`, or a function of the same name.

    Returns:
        An `InitialLoss`.

    Example:
        >>> print(analysis.check_initial_loss(model, loader, nn.CrossEntropyLoss()))
    """
    check_model("check_initial_loss", model)
    x, y = gather(loader, 512, "check_initial_loss")
    with untouched_randomness(), np.errstate(all="ignore"), no_grad():
        output = duplicate(model, dropout=False)(from_numpy(x))
        measured = float(loss(output, from_numpy(y)).array)
    expected, rule = _expectation(loss, output.shape, y)
    if math.isnan(expected) or expected == 0:
        return InitialLoss(measured, math.nan, math.nan, True, "", "")
    factor = measured / expected
    ok = math.isfinite(factor) and 0.5 <= factor <= 2
    return InitialLoss(measured, expected, factor, ok, rule, "" if ok else _cause(factor, output.array, x))


def kind_of(loss: Any) -> str:
    """The loss's name in small letters without underscores, as crossentropy, nll, mse."""
    name = getattr(loss, "__name__", type(loss).__name__)
    return name.replace("_", "").lower().removesuffix("loss")


def _expectation(loss: Any, shape: tuple[int, ...], y: np.ndarray) -> tuple[float, str]:
    kind = kind_of(loss)
    classes = shape[1] if len(shape) > 1 else 1
    if kind in ("crossentropy", "nll") and classes > 1:
        return math.log(classes), f"ln {classes}"
    if kind == "multimargin" and classes > 1:
        power = getattr(loss, "margin", 1.0) ** getattr(loss, "p", 1)
        return (classes - 1) / classes * power, f"({classes} - 1) / {classes} of the margin"
    if kind in ("bcewithlogits", "bce", "binarycrossentropy", "binarycrossentropywithlogits"):
        return math.log(2), "ln 2"
    if kind == "mse":
        return float(np.square(y, dtype=np.float64).mean()), "the mean square of the targets"
    return math.nan, ""


def _cause(factor: float, output: np.ndarray, x: np.ndarray) -> str:
    if not math.isfinite(factor):
        return "the outputs overflow: weights or inputs are far too large, or a logarithm meets zero"
    if factor <= 0:
        return (
            "a negative loss: its sign is wrong, or it takes log-probabilities and gets something else "
            "(use CrossEntropyLoss on logits)"
        )
    if factor > 2:
        large = float(np.abs(x).max())
        inputs = f"; inputs reach {large:.3g}, standardise them" if large > 20 else ""
        return f"too large: the outputs (deviation {output.std():.3g}) are confident before training{inputs}"
    return "too small: the model is trained already, the labels leak into the inputs, or the loss is scaled"


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
    label right and a fifth of the first loss at most; without labels, a tenth of the first loss.

    Args:
        model: the network; it stays as it is.
        loader: a loader, a Dataset or a pair of arrays (inputs, targets).
        loss: ``loss(outputs, targets)`` -> scalar Tensor.
        samples: how many. steps: the most for each rate.

    Returns:
        An `Overfit`.
    """
    check_model("overfit_small", model)
    x, y = gather(loader, samples, "overfit_small")
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
    optimizer = optim.Adam(weights, lr=rate)
    losses: list[float] = []
    accuracy = math.nan
    ok = False
    for count in range(steps):
        losses.append(step(copied, optimizer, loss, x, y))
        if not math.isfinite(losses[-1]):
            break
        if count % 10 == 9:
            if is_labels(y):
                with no_grad():
                    accuracy = float((copied(from_numpy(x)).array.argmax(axis=1) == y).mean())
                ok = accuracy == 1 and losses[-1] <= 0.2 * abs(losses[0])
            else:
                ok = losses[-1] <= 0.1 * losses[0]
            if ok:
                break
    return Overfit(ok, len(x), len(losses), losses[-1], accuracy, np.array(losses))
