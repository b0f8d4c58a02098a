"""RAdam: Adam whose first steps, when the mean square is still uncertain, are not divided by it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from .optimizer import Bundle, Optimizer, check_betas, check_range, check_variant


class RAdam(Optimizer):
    """``p -= lr * r * m' / (sqrt(v) + eps) * sqrt(1 - beta2**t)``, or ``p -= lr * m'`` in the first steps.

    Here ``m' = m / (1 - beta1**t)`` and ``v`` are Adam's averages at step ``t``, from 1; with ``n = 2 / (1 -
    beta2) - 1`` and ``k = n - 2 * t * beta2**t / (1 - beta2**t)``, the first steps are those with ``k <= 5``
    and ``r = sqrt((k - 4) * (k - 2) * n / ((n - 4) * (n - 2) * k))``; ``g`` is the gradient plus
    ``weight_decay * p``.

    Args:
        params: Tensors, or dicts that describe groups.
        lr: learning rate, default 1e-3.
        betas: (beta1, beta2), each in [0, 1); default (0.9, 0.999).
        eps: default 1e-8.
        weight_decay: L2 penalty, default 0.
        decoupled_weight_decay: decay as AdamW does, default False.
        maximize: climb instead of descend, default False.
        foreach, capturable, differentiable: PyTorch's choices of an implementation; only their defaults.

    Raises:
        ValueError: a negative option, or a beta outside [0, 1).

    Source:
        Liu et al. 2020, "On the Variance of the Adaptive Learning Rate and Beyond", algorithm 2.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        decoupled_weight_decay: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_variant("RAdam", foreach, capturable, differentiable)
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "decoupled_weight_decay": decoupled_weight_decay,
            "maximize": maximize,
        }
        super().__init__(params, defaults)

    def _check(self, group: dict[str, Any]) -> None:
        for name in ("lr", "eps", "weight_decay"):
            check_range("RAdam", name, group[name])
        check_betas("RAdam", group["betas"])

    def _state_names(self, group: dict[str, Any]) -> tuple[str, ...]:
        return ("exp_avg", "exp_avg_sq")

    def _update(self, group: dict[str, Any], bundle: Bundle) -> None:
        lr, (beta1, beta2), t = group["lr"], group["betas"], bundle.step
        coupled, decoupled = group["weight_decay"], 0.0
        if group["decoupled_weight_decay"]:
            coupled, decoupled = decoupled, coupled
        size, correction = lr / (1 - beta1**t), 1 - beta2**t
        most = 2 / (1 - beta2) - 1
        length = most - 2 * t * beta2**t / correction
        if length > 5:
            ratio = (length - 4) * (length - 2) * most / ((most - 4) * (most - 2) * length)
            size *= math.sqrt(ratio * correction)
        bundle.kernels.radam_step(
            bundle.arrays,
            bundle.grads,
            bundle.states["exp_avg"],
            bundle.states["exp_avg_sq"],
            size,
            beta1,
            beta2,
            group["eps"],
            coupled,
            1 - lr * decoupled,
            length > 5,
            group["maximize"],
        )
