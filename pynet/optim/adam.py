"""Adam, and AdamW, which keeps the weight decay out of the moving averages."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .optimizer import Bundle, Optimizer, check_betas, check_range, check_variant


class Adam(Optimizer):
    """``m += (1 - beta1) * (g - m); v += (1 - beta2) * (g * g - v); p -= lr * m' / (sqrt(v') + eps)``.

    Here ``g`` is the gradient plus ``weight_decay * p``, and ``m' = m / (1 - beta1**t)``, ``v' = v / (1 -
    beta2**t)`` at step ``t``, from 1.

    Args:
        params: Tensors, or dicts that describe groups.
        lr: learning rate, default 1e-3.
        betas: (beta1, beta2), each in [0, 1); default (0.9, 0.999).
        eps: default 1e-8.
        weight_decay: L2 penalty, default 0.
        amsgrad: divide by the largest ``v`` so far, default False.
        maximize: climb instead of descend, default False.
        foreach, capturable, differentiable, fused: PyTorch's choices of an implementation; only
            their defaults.
        decoupled_weight_decay: decay as AdamW does, default False.

    Raises:
        ValueError: a negative option, or a beta outside [0, 1).

    Source:
        Kingma and Ba 2015, "Adam: A Method for Stochastic Optimization", algorithm 1; amsgrad: Reddi, Kale
        and Kumar 2018, "On the Convergence of Adam and Beyond".
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        amsgrad: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        decoupled_weight_decay: bool = False,
    ) -> None:
        check_variant(type(self).__name__, foreach, capturable, differentiable, fused)
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "amsgrad": amsgrad,
            "maximize": maximize,
            "decoupled_weight_decay": decoupled_weight_decay,
        }
        super().__init__(params, defaults)

    def _check(self, group: dict[str, Any]) -> None:
        name = type(self).__name__
        for option in ("lr", "eps", "weight_decay"):
            check_range(name, option, group[option])
        check_betas(name, group["betas"])

    def _state_names(self, group: dict[str, Any]) -> tuple[str, ...]:
        return ("exp_avg", "exp_avg_sq", "max_exp_avg_sq") if group["amsgrad"] else ("exp_avg", "exp_avg_sq")

    def _update(self, group: dict[str, Any], bundle: Bundle) -> None:
        states, (beta1, beta2) = bundle.states, group["betas"]
        bundle.kernels.adam_step(
            bundle.arrays,
            bundle.grads,
            states["exp_avg"],
            states["exp_avg_sq"],
            states.get("max_exp_avg_sq"),
            bundle.step,
            group["lr"],
            beta1,
            beta2,
            group["eps"],
            group["weight_decay"],
            group["decoupled_weight_decay"],
            group["maximize"],
        )


class AdamW(Adam):
    """Adam with the decay ``p -= lr * weight_decay * p`` beside the adaptive step, not inside the gradient.

    Args:
        params, lr, betas, eps, amsgrad, maximize, and PyTorch's choices: as for Adam.
        weight_decay: default 1e-2.

    Raises:
        ValueError: as for Adam.

    Source:
        Loshchilov and Hutter 2019, "Decoupled Weight Decay Regularization", algorithm 2.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        super().__init__(
            params, lr, betas, eps, weight_decay, amsgrad, foreach=foreach, maximize=maximize,
            capturable=capturable, differentiable=differentiable, fused=fused, decoupled_weight_decay=True,
        )  # fmt: skip
