"""Adamax: Adam with the largest recent gradient in the place of the root mean square."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .optimizer import Bundle, Optimizer, check_betas, check_range, check_variant


class Adamax(Optimizer):
    """``m += (1 - beta1) * (g - m); u = max(beta2 * u, |g| + eps); p -= lr / (1 - beta1**t) * m / u``.

    Here ``g`` is the gradient plus ``weight_decay * p`` and ``t`` the number of the step, from 1.

    Args:
        params: Tensors, or dicts that describe groups.
        lr: learning rate, default 2e-3.
        betas: (beta1, beta2), each in [0, 1); default (0.9, 0.999).
        eps: default 1e-8.
        weight_decay: L2 penalty, default 0.
        maximize: climb instead of descend, default False.
        foreach, capturable, differentiable: PyTorch's choices of an implementation; only their defaults.

    Raises:
        ValueError: a negative option, or a beta outside [0, 1).

    Source:
        Kingma and Ba 2015, "Adam: A Method for Stochastic Optimization", algorithm 2.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ) -> None:
        check_variant("Adamax", foreach, capturable, differentiable)
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "maximize": maximize,
        }
        super().__init__(params, defaults)

    def _check(self, group: dict[str, Any]) -> None:
        for name in ("lr", "eps", "weight_decay"):
            check_range("Adamax", name, group[name])
        check_betas("Adamax", group["betas"])

    def _state_names(self, group: dict[str, Any]) -> tuple[str, ...]:
        return ("exp_avg", "exp_inf")

    def _update(self, group: dict[str, Any], bundle: Bundle) -> None:
        beta1, beta2 = group["betas"]
        bundle.kernels.adamax_step(
            bundle.arrays,
            bundle.grads,
            bundle.states["exp_avg"],
            bundle.states["exp_inf"],
            group["lr"] / (1 - beta1**bundle.step),
            beta1,
            beta2,
            group["eps"],
            group["weight_decay"],
            group["maximize"],
        )
