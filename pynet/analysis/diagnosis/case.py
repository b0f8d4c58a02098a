"""What a diagnosis looks at: a model, its loss and optimizer, and some of the data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ... import optim
from ...autograd import Tensor, from_numpy, no_grad
from ...nn import Module
from ..checks import loss_of
from ..samples import copy_for_training, duplicate, is_labels, untouched_randomness
from .findings import Finding

Pair = tuple[np.ndarray, np.ndarray]


@dataclass
class Case:
    """Everything that the steps read; they write only what they find.

    Attributes:
        model, loss: as given; steps work on copies.
        optimizer: an Optimizer over the model's parameters, a function that makes one, or None.
        x, y: samples to train on. validation: others, for the curves.
        given: whether the validation samples were given and not split off.
        coverage: x's share of all training samples. total: how many these are.
        history: of a training that has been, or None.
        output: of the first samples, before training; None where the model fails.
        failure: what model or loss say where they refuse the data, else "".
        found: the findings so far. learnt: whether the model was trained before. linear: whether the model is
            one linear function, as far as step 3 saw.
        suggestion: a learning rate, from the range test.
    """

    model: Module
    loss: Callable[..., Tensor]
    optimizer: Any
    x: np.ndarray
    y: np.ndarray
    validation: Pair
    given: bool
    coverage: float
    total: int
    history: Any = None
    output: np.ndarray | None = None
    failure: str = ""
    found: list[Finding] = field(default_factory=list)
    learnt: bool = False
    linear: bool = False
    suggestion: float | None = None

    def __post_init__(self) -> None:
        """Run the model and the loss once: what they refuse is a finding of the first step."""
        with untouched_randomness(), np.errstate(all="ignore"), no_grad():
            try:
                output = duplicate(self.model, dropout=False)(from_numpy(self.x[:512]))
                if not isinstance(output, Tensor):
                    self.failure = f"the model gives a {type(output).__name__}, not one Tensor"
                    return
                self.output = output.array
                loss_of(self.loss, self.output, self.y[:512])
            except (ValueError, TypeError, IndexError, RuntimeError) as error:
                self.failure = " ".join(str(error).split())

    @property
    def labels(self) -> bool:
        """Whether the targets are class labels and the outputs scores of classes."""
        return is_labels(self.y) and (self.output is None or self.output.ndim == 2)

    @property
    def classes(self) -> int:
        """How many classes: outputs, or else labels that occur."""
        if self.output is not None and self.output.ndim == 2:
            return self.output.shape[1]
        return len(np.unique(self.y))

    @property
    def codes(self) -> set[str]:
        """Of the findings so far."""
        return {finding.code for finding in self.found}

    def trainable(self) -> tuple[Module, optim.Optimizer]:
        """Copies of the model and of its optimizer; each group at its planned learning rate."""
        optimizer = self.optimizer
        if optimizer is None:
            rate = self.suggestion or 1e-3

            def optimizer(parameters: Any) -> optim.Optimizer:
                return optim.Adam(parameters, lr=rate)

        model, copied = copy_for_training(self.model, optimizer)
        for group in copied.param_groups:
            group["lr"] = planned_rate(group)
        return model, copied


def planned_rate(group: dict[str, Any]) -> float:
    """The learning rate of a parameter group apart from a schedule, which may be at its warm-up or its
    end.
    """
    return float(group.get("max_lr", group.get("initial_lr", group["lr"])))
