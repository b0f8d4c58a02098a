"""Loss layers over class labels, which hold a loss function's options."""

from __future__ import annotations

from typing import Any

from ..autograd import Tensor
from . import functional as F
from .module import Module


class Loss(Module):
    """A loss that is reduced: "mean" (default), "sum" or "none"."""

    reductions: tuple[str, ...] = ("none", "mean", "sum")

    def __init__(self, *, reduction: str = "mean") -> None:
        super().__init__()
        if reduction not in self.reductions:
            raise ValueError(
                f"{type(self).__name__}: reduction must be one of {', '.join(self.reductions)}, got "
                f"{reduction!r}"
            )
        self.reduction = reduction

    def _register_weight(self, name: str, weight: Any) -> None:
        if weight is not None and not isinstance(weight, Tensor):
            weight = Tensor(weight)
        self.register_buffer(name, weight)


class CrossEntropyLoss(Loss):
    """Log-softmax and negative log-likelihood of class labels, in one pass.

    Args:
        weight: (C,), a factor for each class, default None.
        ignore_index: label of samples that do not count, default -100.
        reduction: "mean" (weighted), "sum" or "none"; default "mean".
        label_smoothing: in [0, 1], the share of the target spread over all classes; default 0.

    Shape:
        input (N, C) or (N, C, d1, ...) logits; target (N,) or (N, d1, ...) labels, or probabilities of
        input's shape.

    Raises:
        ValueError: an unknown reduction, or smoothing outside [0, 1].

    Source:
        label smoothing: Szegedy et al. 2016, "Rethinking the Inception Architecture", section 7.
    """

    def __init__(
        self,
        weight: Any = None,
        *,
        ignore_index: int = -100,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(reduction=reduction)
        if not 0 <= label_smoothing <= 1:
            raise ValueError(f"CrossEntropyLoss: label_smoothing must be in [0, 1], got {label_smoothing}")
        self._register_weight("weight", weight)
        self.ignore_index = ignore_index
        self.label_smoothing = label_smoothing

    def forward(self, input: Tensor, target: Any) -> Tensor:
        """The loss of logits (N, C) and labels (N,)."""
        return F.cross_entropy(
            input,
            target,
            self._buffers["weight"],
            ignore_index=self.ignore_index,
            reduction=self.reduction,
            label_smoothing=self.label_smoothing,
        )


class MultiMarginLoss(Loss):
    """The multi-class hinge loss: ``sum over j != y of max(0, margin - x[y] + x[j])^p / C``.

    Args:
        p: 1 or 2, default 1.
        margin: default 1.
        weight: (C,), a factor for each class, default None.
        reduction: "mean", "sum" or "none"; default "mean".

    Shape:
        input (N, C) scores, target (N,) labels.

    Raises:
        ValueError: another p, or an unknown reduction.

    Source:
        Crammer and Singer 2001, in the form of Weston and Watkins 1999.
    """

    def __init__(
        self, p: int = 1, margin: float = 1.0, weight: Any = None, *, reduction: str = "mean"
    ) -> None:
        super().__init__(reduction=reduction)
        if p not in (1, 2):
            raise ValueError(f"MultiMarginLoss: p must be 1 or 2, got {p!r}")
        self.p = p
        self.margin = margin
        self._register_weight("weight", weight)

    def forward(self, input: Tensor, target: Any) -> Tensor:
        """The loss of scores (N, C) and labels (N,)."""
        return F.multi_margin_loss(
            input, target, self.p, self.margin, self._buffers["weight"], reduction=self.reduction
        )


class NLLLoss(Loss):
    """Negative log-likelihood of class labels, given log-probabilities.

    Args:
        weight: (C,), a factor for each class, default None.
        ignore_index: label of samples that do not count, default -100.
        reduction: "mean" (weighted), "sum" or "none"; default "mean".

    Shape:
        input (N, C) or (N, C, d1, ...) log-probabilities, target (N,) or (N, d1, ...) labels.

    Raises:
        ValueError: an unknown reduction.
    """

    def __init__(self, weight: Any = None, *, ignore_index: int = -100, reduction: str = "mean") -> None:
        super().__init__(reduction=reduction)
        self._register_weight("weight", weight)
        self.ignore_index = ignore_index

    def forward(self, input: Tensor, target: Any) -> Tensor:
        """The loss of log-probabilities and labels."""
        return F.nll_loss(input, target, self._buffers["weight"], self.ignore_index, self.reduction)


class MultiLabelMarginLoss(Loss):
    """The hinge of every wrong class against every true one, for several labels a row.

    Args:
        reduction: "mean", "sum" or "none"; default "mean".

    Shape:
        input (N, C) scores; target (N, C) labels, of which those before the first -1 count.

    Raises:
        ValueError: an unknown reduction.
    """

    def forward(self, input: Tensor, target: Any) -> Tensor:
        """The loss of scores and lists of labels."""
        return F.multilabel_margin_loss(input, target, self.reduction)
