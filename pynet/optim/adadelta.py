"""Adadelta: steps as long as the past ones, divided by the root of the past squared gradients."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .optimizer import Bundle, Optimizer, check_range, check_variant


class Adadelta(Optimizer):
    """``s += (1 - rho) * (g * g - s); d = sqrt(u + eps) / sqrt(s + eps) * g; p -= lr * d``.

    Then ``u += (1 - rho) * (d * d - u)``. Here ``g`` is the gradient plus ``weight_decay * p``.

    Args:
        params: Tensors, or dicts that describe groups.
        lr: learning rate, default 1.
        rho: of the running means, in [0, 1]; default 0.9.
        eps: default 1e-6.
        weight_decay: L2 penalty, default 0.
        maximize: climb instead of descend, default False.
        foreach, capturable, differentiable: PyTorch's choices of an implementation; only their defaults.

    Raises:
        ValueError: a negative option, or rho above 1.

    Source:
        Zeiler 2012, "ADADELTA: An Adaptive Learning Rate Method", algorithm 1.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ) -> None:
        check_variant("Adadelta", foreach, capturable, differentiable)
        defaults = {
            "lr": lr,
            "rho": rho,
            "eps": eps,
            "weight_decay": weight_decay,
            "maximize": maximize,
        }
        super().__init__(params, defaults)

    def _check(self, group: dict[str, Any]) -> None:
        for name in ("lr", "rho", "eps", "weight_decay"):
            check_range("Adadelta", name, group[name])
        if group["rho"] > 1:
            raise ValueError(f"Adadelta: rho must be in [0, 1], got {group['rho']}")

    def _state_names(self, group: dict[str, Any]) -> tuple[str, ...]:
        return ("square_avg", "acc_delta")

    def _update(self, group: dict[str, Any], bundle: Bundle) -> None:
        bundle.kernels.adadelta_step(
            bundle.arrays,
            bundle.grads,
            bundle.states["square_avg"],
            bundle.states["acc_delta"],
            group["lr"],
            group["rho"],
            group["eps"],
            group["weight_decay"],
            group["maximize"],
        )
