"""Lion: steps of one length in every weight, in the direction of the sign of an average."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .optimizer import Bundle, Optimizer, check_betas, check_range


class Lion(Optimizer):
    """``p -= lr * (sign(beta1 * m + (1 - beta1) * g) + weight_decay * p); m += (1 - beta2) * (g - m)``.

    Of half Adam's memory. All steps have length `lr`, so that it wants a rate some 3 to 10 times smaller than
    AdamW, and a decay as much larger.

    Args:
        params: Tensors, or dicts that describe groups.
        lr: learning rate, default 1e-4.
        betas: (beta1, beta2), each in [0, 1); default (0.9, 0.99).
        weight_decay: decoupled, default 0.
        maximize: climb instead of descend, default False.

    Raises:
        ValueError: a negative option, or a beta outside [0, 1).

    Source:
        Chen et al. 2023, "Symbolic Discovery of Optimization Algorithms", algorithm 2. Not in PyTorch.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-4,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0,
        *,
        maximize: bool = False,
    ) -> None:
        defaults = {"lr": lr, "betas": betas, "weight_decay": weight_decay, "maximize": maximize}
        super().__init__(params, defaults)

    _counts_steps = False

    def _check(self, group: dict[str, Any]) -> None:
        for name in ("lr", "weight_decay"):
            check_range("Lion", name, group[name])
        check_betas("Lion", group["betas"])

    def _state_names(self, group: dict[str, Any]) -> tuple[str, ...]:
        return ("exp_avg",)

    def _update(self, group: dict[str, Any], bundle: Bundle) -> None:
        bundle.kernels.lion_step(
            bundle.arrays,
            bundle.grads,
            bundle.states["exp_avg"],
            group["lr"],
            *group["betas"],
            group["weight_decay"],
            group["maximize"],
        )
