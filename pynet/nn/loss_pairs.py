"""Loss layers over pairs of equal shape and over vectors, which hold a loss function's options."""

from __future__ import annotations

from typing import Any

from ..autograd import Tensor
from . import functional as F
from .loss import Loss


class MSELoss(Loss):
    """The mean of squared differences; shapes must be equal, nothing is broadcast.

    Args:
        reduction: "mean", "sum" or "none"; default "mean".

    Raises:
        ValueError: an unknown reduction.
    """

    def forward(self, input: Tensor, target: Any) -> Tensor:
        """The loss of two Tensors of one shape."""
        return F.mse_loss(input, target, reduction=self.reduction)


class BCEWithLogitsLoss(Loss):
    """Binary cross-entropy of the sigmoid of logits, computed without overflow; shapes must be equal.

    Args:
        weight: a factor that broadcasts to the input, default None.
        reduction: "mean", "sum" or "none"; default "mean".
        pos_weight: a factor of the positive term that broadcasts to the input, default None.

    Raises:
        ValueError: an unknown reduction.
    """

    def __init__(self, weight: Any = None, *, reduction: str = "mean", pos_weight: Any = None) -> None:
        super().__init__(reduction=reduction)
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


class L1Loss(Loss):
    """The mean absolute difference; shapes must be equal.

    Args:
        reduction: "mean", "sum" or "none"; default "mean".

    Raises:
        ValueError: an unknown reduction.
    """

    def forward(self, input: Tensor, target: Any) -> Tensor:
        """The loss of two Tensors of one shape."""
        return F.l1_loss(input, target, self.reduction)


class SmoothL1Loss(Loss):
    """The absolute difference with a parabola of width `beta` at its foot; shapes must be equal.

    Args:
        beta: where the parabola ends, default 1.
        reduction: "mean", "sum" or "none"; default "mean".

    Raises:
        ValueError: an unknown reduction.
    """

    def __init__(self, *, reduction: str = "mean", beta: float = 1.0) -> None:
        super().__init__(reduction=reduction)
        self.beta = beta

    def forward(self, input: Tensor, target: Any) -> Tensor:
        """The loss of two Tensors of one shape."""
        return F.smooth_l1_loss(input, target, self.reduction, self.beta)


class HuberLoss(Loss):
    """Half the square up to `delta`, a line beyond; shapes must be equal.

    Args:
        delta: where the line begins, default 1.
        reduction: "mean", "sum" or "none"; default "mean".

    Raises:
        ValueError: an unknown reduction.
    """

    def __init__(self, reduction: str = "mean", delta: float = 1.0) -> None:
        super().__init__(reduction=reduction)
        self.delta = delta

    def forward(self, input: Tensor, target: Any) -> Tensor:
        """The loss of two Tensors of one shape."""
        return F.huber_loss(input, target, self.reduction, self.delta)


class BCELoss(Loss):
    """Binary cross-entropy of probabilities; shapes must be equal. `BCEWithLogitsLoss` is more accurate.

    Args:
        weight: a factor that broadcasts to the input, default None.
        reduction: "mean", "sum" or "none"; default "mean".

    Raises:
        ValueError: an unknown reduction.
    """

    def __init__(self, weight: Any = None, *, reduction: str = "mean") -> None:
        super().__init__(reduction=reduction)
        self._register_weight("weight", weight)

    def forward(self, input: Tensor, target: Any) -> Tensor:
        """The loss of probabilities and targets of one shape."""
        return F.binary_cross_entropy(input, target, self._buffers["weight"], self.reduction)


class KLDivLoss(Loss):
    """The Kullback-Leibler divergence of log-probabilities from probabilities.

    Args:
        log_target: the target holds logarithms; default False.
        reduction: "mean", "batchmean" (the divergence itself), "sum" or "none"; default "mean".

    Raises:
        ValueError: an unknown reduction.
    """

    reductions = ("none", "mean", "sum", "batchmean")

    def __init__(self, *, reduction: str = "mean", log_target: bool = False) -> None:
        super().__init__(reduction=reduction)
        self.log_target = log_target

    def forward(self, input: Tensor, target: Any) -> Tensor:
        """The loss of log-probabilities and probabilities of one shape."""
        return F.kl_div(input, target, self.reduction, self.log_target)


class SoftMarginLoss(Loss):
    """log(1 + exp(-target * input)) for targets 1 and -1.

    Args:
        reduction: "mean", "sum" or "none"; default "mean".

    Raises:
        ValueError: an unknown reduction.
    """

    def forward(self, input: Tensor, target: Any) -> Tensor:
        """The loss of scores and signs of one shape."""
        return F.soft_margin_loss(input, target, self.reduction)


class HingeEmbeddingLoss(Loss):
    """A distance where the target is 1, what it lacks of `margin` where it is -1.

    Args:
        margin: default 1.
        reduction: "mean", "sum" or "none"; default "mean".

    Raises:
        ValueError: an unknown reduction.
    """

    def __init__(self, margin: float = 1.0, *, reduction: str = "mean") -> None:
        super().__init__(reduction=reduction)
        self.margin = margin

    def forward(self, input: Tensor, target: Any) -> Tensor:
        """The loss of distances and signs of one shape."""
        return F.hinge_embedding_loss(input, target, self.margin, self.reduction)


class CosineEmbeddingLoss(Loss):
    """1 - cos of two vectors where the target is 1, max(0, cos - margin) where it is -1.

    Args:
        margin: default 0.
        reduction: "mean", "sum" or "none"; default "mean".

    Raises:
        ValueError: an unknown reduction.
    """

    def __init__(self, margin: float = 0.0, *, reduction: str = "mean") -> None:
        super().__init__(reduction=reduction)
        self.margin = margin

    def forward(self, input1: Tensor, input2: Tensor, target: Any) -> Tensor:
        """The loss of vectors (N, D) and signs (N,)."""
        return F.cosine_embedding_loss(input1, input2, target, self.margin, self.reduction)


class TripletMarginLoss(Loss):
    """max(0, margin + d(anchor, positive) - d(anchor, negative)), d the p-norm of the difference.

    Args:
        margin: default 1.
        p: of the norm, default 2.
        eps: added to the differences, default 1e-6.
        swap: use d(positive, negative) where it is smaller than d(anchor, negative); default False.
        reduction: "mean", "sum" or "none"; default "mean".

    Raises:
        ValueError: an unknown reduction.
    """

    def __init__(
        self,
        margin: float = 1.0,
        p: float = 2.0,
        eps: float = 1e-6,
        swap: bool = False,
        *,
        reduction: str = "mean",
    ) -> None:
        super().__init__(reduction=reduction)
        self.margin, self.p, self.eps, self.swap = margin, p, eps, swap

    def forward(self, anchor: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
        """The loss of three Tensors (N, D)."""
        return F.triplet_margin_loss(
            anchor, positive, negative, self.margin, self.p, self.eps, self.swap, self.reduction
        )
