"""LARS: gradient descent whose step in every parameter is in proportion to that parameter's norm."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .optimizer import Bundle, Optimizer, check_range
from .sgd import SGD


class LARS(SGD):
    """SGD on ``g' = trust_coefficient * |p| / (|grad| + weight_decay * |p| + eps) * g``, for large batches.

    Here ``g`` is the gradient plus ``weight_decay * p``; the norms are those of one parameter, and the ratio
    is 1 where one of them is 0. The paper's followers leave biases and batch norm out: give these a group
    with ``"trust_coefficient": None``, which takes SGD's steps.

    Args:
        params: Tensors, or dicts that describe groups.
        lr: learning rate, default 1e-3.
        momentum: default 0.9.
        dampening: default 0.
        weight_decay: L2 penalty, default 0.
        nesterov: default False; needs momentum and no dampening.
        trust_coefficient: the length of a step at rate 1, in units of ``|p|``; default 1e-3, None for SGD.
        eps: default 1e-8.
        maximize: climb instead of descend, default False.

    Raises:
        ValueError: as for SGD; `trust_coefficient` or `eps` negative.

    Source:
        You, Gitman and Ginsburg 2017, "Large Batch Training of Convolutional Networks", algorithm 1, with
        PyTorch's placing of the learning rate. Not in PyTorch.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        momentum: float = 0.9,
        dampening: float = 0,
        weight_decay: float = 0,
        nesterov: bool = False,
        trust_coefficient: float | None = 1e-3,
        eps: float = 1e-8,
        *,
        maximize: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "dampening": dampening,
            "weight_decay": weight_decay,
            "nesterov": nesterov,
            "trust_coefficient": trust_coefficient,
            "eps": eps,
            "maximize": maximize,
        }
        Optimizer.__init__(self, params, defaults)

    def _check(self, group: dict[str, Any]) -> None:
        super()._check(group)
        check_range("LARS", "eps", group["eps"])
        if group["trust_coefficient"] is not None:
            check_range("LARS", "trust_coefficient", group["trust_coefficient"])

    def _update(self, group: dict[str, Any], bundle: Bundle) -> None:
        if group["trust_coefficient"] is None:
            super()._update(group, bundle)
            return
        bundle.kernels.lars_step(
            bundle.arrays,
            bundle.grads,
            bundle.states.get("momentum_buffer"),
            group["lr"],
            group["momentum"],
            group["dampening"],
            group["weight_decay"],
            group["nesterov"],
            group["trust_coefficient"],
            group["eps"],
            group["maximize"],
            bundle.fresh,
        )
