"""Loss layers, which hold a loss function's options."""

from __future__ import annotations

from typing import Any

from ..autograd import Tensor
from . import functional as F
from .module import Module


class _Loss(Module):
    """A loss that is reduced: "mean" (default), "sum" or "none"."""

    def __init__(self, reduction: str = "mean") -> None:
        super().__init__()
        if reduction not in ("none", "mean", "sum"):
            raise ValueError(
                f"{type(self).__name__}: reduction must be 'none', 'mean' or 'sum', got {reduction!r}"
            )
        self.reduction = reduction

    def _register_weight(self, name: str, weight: Any) -> None:
        if weight is not None and not isinstance(weight, Tensor):
            weight = Tensor(weight)
        self.register_buffer(name, weight)


class CrossEntropyLoss(_Loss):
    """Log-softmax and negative log-likelihood of class labels, in one pass.

    Args:
        weight: (C,), a factor for each class, default None.
        ignore_index: label of samples that do not count, default -100.
        reduction: "mean" (weighted), "sum" or "none"; default "mean".
        label_smoothing: in [0, 1], the share of the target spread over all classes; default 0.

    Shape:
        input (N, C) logits, target (N,) labels.

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
        super().__init__(reduction)
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


class MultiMarginLoss(_Loss):
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
        super().__init__(reduction)
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


class MSELoss(_Loss):
    """The mean of squared differences; shapes must be equal, nothing is broadcast.

    Args:
        reduction: "mean", "sum" or "none"; default "mean".

    Raises:
        ValueError: an unknown reduction.
    """

    def __init__(self, *, reduction: str = "mean") -> None:
        super().__init__(reduction)

    def forward(self, input: Tensor, target: Any) -> Tensor:
        """The loss of two Tensors of one shape."""
        return F.mse_loss(input, target, reduction=self.reduction)


class BCEWithLogitsLoss(_Loss):
    """Binary cross-entropy of the sigmoid of logits, computed without overflow; shapes must be equal.

    Args:
        weight: a factor that broadcasts to the input, default None.
        reduction: "mean", "sum" or "none"; default "mean".
        pos_weight: a factor of the positive term that broadcasts to the input, default None.

    Raises:
        ValueError: an unknown reduction.
    """

    def __init__(self, weight: Any = None, *, reduction: str = "mean", pos_weight: Any = None) -> None:
        super().__init__(reduction)
        self._register_weight("weight", weight)
        self._register_weight("pos_weight", pos_weight)

    def forward(self, input: Tensor, target: Any) -> Tensor:
        """The loss of logits and probabilities of one shape."""
        return F.binary_cross_entropy_with_logits(
            input,
            target,
            self._buffers["weight"],
            reduction=self.reduction,
            pos_weight=self._buffers["pos_weight"],
        )
