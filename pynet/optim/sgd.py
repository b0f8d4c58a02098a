"""Stochastic gradient descent, with momentum and Nesterov's variant."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .optimizer import Bundle, Optimizer, check_range, check_variant


class SGD(Optimizer):
    """``v = momentum * v + (1 - dampening) * g; p -= lr * v``.

    With `nesterov`, ``p -= lr * (g + momentum * v)``. Here ``g`` is the gradient plus ``weight_decay * p``;
    the first ``v`` of a parameter is its ``g``.

    Args:
        params: Tensors, or dicts that describe groups.
        lr: learning rate, default 1e-3.
        momentum: default 0: no velocity is kept.
        dampening: default 0.
        weight_decay: L2 penalty, default 0.
        nesterov: default False; needs momentum and no dampening.
        maximize: climb instead of descend, default False.
        foreach, differentiable, fused: PyTorch's choices of an implementation; only their defaults.

    Raises:
        ValueError: `lr`, `momentum` or `weight_decay` negative; `nesterov` without momentum or with
            dampening.

    Source:
        Sutskever, Martens, Dahl and Hinton 2013, "On the importance of initialization and momentum in deep
        learning", with PyTorch's placing of the learning rate.
    """

    _counts_steps = False

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        check_variant("SGD", foreach=foreach, differentiable=differentiable, fused=fused)
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "dampening": dampening,
            "weight_decay": weight_decay,
            "nesterov": nesterov,
            "maximize": maximize,
        }
        super().__init__(params, defaults)

    def _check(self, group: dict[str, Any]) -> None:
        owner = type(self).__name__
        for name in ("lr", "momentum", "weight_decay"):
            check_range(owner, name, group[name])
        check_range(owner, "dampening", group["dampening"], low=-float("inf"))
        if group["nesterov"] and (group["momentum"] == 0 or group["dampening"] != 0):
            raise ValueError(
                f"{owner}: nesterov needs momentum > 0 and dampening 0, got momentum {group['momentum']} and "
                "dampening "
                f"{group['dampening']}"
            )

    def _state_names(self, group: dict[str, Any]) -> tuple[str, ...]:
        return ("momentum_buffer",) if group["momentum"] else ()

    def _update(self, group: dict[str, Any], bundle: Bundle) -> None:
        bundle.kernels.sgd_step(
            bundle.arrays,
            bundle.grads,
            bundle.states.get("momentum_buffer"),
            group["lr"],
            group["momentum"],
            group["dampening"],
            group["weight_decay"],
            group["nesterov"],
            group["maximize"],
            bundle.fresh,
        )
