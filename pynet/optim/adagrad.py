"""AdaGrad: steps divided by the root of the sum of all squared gradients so far."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .optimizer import Bundle, Optimizer, check_range, check_variant


class Adagrad(Optimizer):
    """``sum += g * g; p -= lr / (1 + (t - 1) * lr_decay) * g / (sqrt(sum) + eps)``.

    Here ``g`` is the gradient plus ``weight_decay * p`` and ``t`` the number of the step, from 1.

    Args:
        params: Tensors, or dicts that describe groups.
        lr: learning rate, default 1e-2.
        lr_decay: default 0.
        weight_decay: L2 penalty, default 0.
        initial_accumulator_value: with which ``sum`` starts, default 0.
        eps: default 1e-10.
        maximize: climb instead of descend, default False.
        foreach, differentiable, fused: PyTorch's choices of an implementation; only their defaults.

    Raises:
        ValueError: a negative option.

    Source:
        Duchi, Hazan and Singer 2011, "Adaptive Subgradient Methods for Online Learning and Stochastic
        Optimization".
    """

    _initial_value = "initial_accumulator_value"

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-2,
        lr_decay: float = 0,
        weight_decay: float = 0,
        initial_accumulator_value: float = 0,
        eps: float = 1e-10,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        check_variant("Adagrad", foreach=foreach, differentiable=differentiable, fused=fused)
        defaults = {
            "lr": lr,
            "lr_decay": lr_decay,
            "eps": eps,
            "weight_decay": weight_decay,
            "initial_accumulator_value": initial_accumulator_value,
            "maximize": maximize,
        }
        super().__init__(params, defaults)

    def _check(self, group: dict[str, Any]) -> None:
        for name in ("lr", "lr_decay", "weight_decay", "initial_accumulator_value", "eps"):
            check_range("Adagrad", name, group[name])

    def _state_names(self, group: dict[str, Any]) -> tuple[str, ...]:
        return ("sum",)

    def _update(self, group: dict[str, Any], bundle: Bundle) -> None:
        rate = group["lr"] / (1 + (bundle.step - 1) * group["lr_decay"])
        bundle.kernels.adagrad_step(
            bundle.arrays,
            bundle.grads,
            bundle.states["sum"],
            rate,
            group["weight_decay"],
            group["eps"],
            group["maximize"],
        )
