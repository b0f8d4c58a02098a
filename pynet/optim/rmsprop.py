"""RMSprop: steps divided by the root of a moving average of squared gradients."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .optimizer import Bundle, Optimizer, check_range, check_variant


class RMSprop(Optimizer):
    """``s = alpha * s + (1 - alpha) * g * g; p -= lr * g / (sqrt(s) + eps)``.

    Here ``g`` is the gradient plus ``weight_decay * p``. With `centered`, the square of g's moving average is
    taken from ``s`` under the root; with `momentum`, ``b = momentum * b + g / (sqrt(s) + eps)`` takes the
    place of the quotient.

    Args:
        params: Tensors, or dicts that describe groups.
        lr: learning rate, default 1e-2.
        alpha: smoothing, in [0, inf); default 0.99.
        eps: default 1e-8.
        weight_decay: L2 penalty, default 0.
        momentum: default 0.
        centered: default False.
        maximize: climb instead of descend, default False.
        capturable, foreach, differentiable: PyTorch's choices of an implementation; only their defaults.

    Raises:
        ValueError: a negative option.

    Source:
        Tieleman and Hinton 2012, lecture 6.5 of "Neural Networks for Machine Learning"; centered: Graves
        2013, "Generating Sequences With Recurrent Neural Networks", equations 38 to 45.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum: float = 0,
        centered: bool = False,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_variant("RMSprop", foreach, capturable, differentiable)
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "alpha": alpha,
            "eps": eps,
            "centered": centered,
            "weight_decay": weight_decay,
            "maximize": maximize,
        }
        super().__init__(params, defaults)

    def _check(self, group: dict[str, Any]) -> None:
        for name in ("lr", "alpha", "eps", "weight_decay", "momentum"):
            check_range("RMSprop", name, group[name])

    def _state_names(self, group: dict[str, Any]) -> tuple[str, ...]:
        centered = ("grad_avg",) if group["centered"] else ()
        return ("square_avg", *centered, *(("momentum_buffer",) if group["momentum"] else ()))

    def _update(self, group: dict[str, Any], bundle: Bundle) -> None:
        states = bundle.states
        bundle.kernels.rmsprop_step(
            bundle.arrays,
            bundle.grads,
            states["square_avg"],
            states.get("grad_avg"),
            states.get("momentum_buffer"),
            group["lr"],
            group["alpha"],
            group["eps"],
            group["weight_decay"],
            group["momentum"],
            group["maximize"],
        )
