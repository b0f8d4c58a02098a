"""NAdam: Adam with Nesterov's look ahead, and a momentum that grows with the steps."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from .optimizer import Bundle, Optimizer, check_betas, check_range, check_variant


class NAdam(Optimizer):
    """``p -= lr * ((1 - mu) / (1 - P) * g + mu' / (1 - P * mu') * m) / (sqrt(v / (1 - beta2**t)) + eps)``.

    Here ``m`` and ``v`` are Adam's averages, ``mu = beta1 * (1 - 0.96**(t * momentum_decay) / 2)`` at step
    ``t`` from 1, ``mu'`` that of step ``t + 1`` and ``P`` the product of all ``mu`` so far; ``g`` is the
    gradient plus ``weight_decay * p``.

    Args:
        params: Tensors, or dicts that describe groups.
        lr: learning rate, default 2e-3.
        betas: (beta1, beta2), each in [0, 1); default (0.9, 0.999).
        eps: default 1e-8.
        weight_decay: L2 penalty, default 0.
        momentum_decay: default 4e-3.
        decoupled_weight_decay: decay as AdamW does, default False.
        maximize: climb instead of descend, default False.
        foreach, capturable, differentiable: PyTorch's choices of an implementation; only their defaults.

    Raises:
        ValueError: a negative option, or a beta outside [0, 1).

    Source:
        Dozat 2016, "Incorporating Nesterov Momentum into Adam".
    """

    _scalar_names = ("mu_product",)

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum_decay: float = 4e-3,
        decoupled_weight_decay: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_variant("NAdam", foreach, capturable, differentiable)
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "momentum_decay": momentum_decay,
            "decoupled_weight_decay": decoupled_weight_decay,
            "maximize": maximize,
        }
        super().__init__(params, defaults)

    def _check(self, group: dict[str, Any]) -> None:
        for name in ("lr", "eps", "weight_decay", "momentum_decay"):
            check_range("NAdam", name, group[name])
        check_betas("NAdam", group["betas"])

    def _state_names(self, group: dict[str, Any]) -> tuple[str, ...]:
        return ("exp_avg", "exp_avg_sq")

    def _update(self, group: dict[str, Any], bundle: Bundle) -> None:
        (beta1, beta2), decay, step = group["betas"], group["momentum_decay"], bundle.step
        mu, ahead = (beta1 * (1 - 0.5 * 0.96 ** (t * decay)) for t in (step, step + 1))
        coupled, decoupled = group["weight_decay"], 0.0
        if group["decoupled_weight_decay"]:
            coupled, decoupled = decoupled, coupled
        # Parameters of one step count share the product, unless options were changed between their steps.
        products = defaultdict(list)
        for index, parameter in enumerate(bundle.parameters):
            entry = self.state[parameter]
            entry["mu_product"] = entry.get("mu_product", 1.0) * mu
            products[entry["mu_product"]].append(index)
        for product, chosen in products.items():
            bundle.kernels.nadam_step(
                [bundle.arrays[i] for i in chosen],
                [bundle.grads[i] for i in chosen],
                [bundle.states["exp_avg"][i] for i in chosen],
                [bundle.states["exp_avg_sq"][i] for i in chosen],
                group["lr"] * (1 - mu) / (1 - product),
                group["lr"] * ahead / (1 - product * ahead),
                math.sqrt(1 - beta2**step),
                beta1,
                beta2,
                group["eps"],
                coupled,
                1 - group["lr"] * decoupled,
                group["maximize"],
            )
