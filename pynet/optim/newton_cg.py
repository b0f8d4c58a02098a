"""Newton's method for small problems: conjugate gradients on gradients' differences, Armijo steps."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from .flat import Evaluation, FlatOptimizer, Vector, dot
from .optimizer import check_range


class NewtonCG(FlatOptimizer):
    """``p += t * z`` with ``H z = -g`` solved roughly by conjugate gradients.

    A product of the Hessian with a vector is a difference of two gradients, ``H v = (g(p + h v) - g(p)) /
    h``, so that a solution costs an evaluation of the closure a CG step. CG ends at a residual of ``min(1/2,
    sqrt(|g|)) * |g|``, or where the curvature is not positive. The step ``t`` is halved from `lr` until the
    loss falls by ``c1 * t * (g . z)``; points where it is NaN or infinite are stepped back from.
    ``step(closure)`` makes up to `max_iter` such iterations. No state is kept between steps.

    Args:
        params: Tensors, all of one dtype, in one group.
        lr: the first step length tried, default 1.
        max_iter: Newton iterations a step, default 20.
        max_cg: CG iterations in one of these, default 50.
        max_ls: halvings of the step length, default 25.
        tolerance_grad: ends a step where no gradient is larger, default 1e-7.
        tolerance_change: ends a step where the loss changes by less, default 1e-9.
        c1: share of the predicted decrease that is asked for, in (0, 1/2); default 1e-4.

    Raises:
        ValueError: an option out of range, or a second group.
        TypeError: parameters of several dtypes.
        RuntimeError (in ``step``): the loss is NaN or infinite at its beginning; parameters are as before.

    Source:
        Nocedal and Wright 2006, "Numerical Optimization", algorithm 7.1 (line search Newton-CG) and equation
        7.10; Armijo 1966. Not in PyTorch.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1,
        max_iter: int = 20,
        max_cg: int = 50,
        max_ls: int = 25,
        tolerance_grad: float = 1e-7,
        tolerance_change: float = 1e-9,
        c1: float = 1e-4,
    ) -> None:
        defaults = {
            "lr": lr,
            "max_iter": max_iter,
            "max_cg": max_cg,
            "max_ls": max_ls,
            "tolerance_grad": tolerance_grad,
            "tolerance_change": tolerance_change,
            "c1": c1,
        }
        super().__init__(params, defaults)

    def _check(self, group: dict[str, Any]) -> None:
        for name in ("lr", "tolerance_grad", "tolerance_change"):
            check_range("NewtonCG", name, group[name])
        for name in ("max_iter", "max_cg", "max_ls"):
            check_range("NewtonCG", name, group[name], low=1)
        check_range("NewtonCG", "c1", group["c1"], below=0.5)

    def _minimize(
        self, group: dict[str, Any], x: Vector, at_x: Evaluation, evaluate: Callable[[Vector], Evaluation]
    ) -> None:
        for _ in range(group["max_iter"]):
            if np.abs(at_x.gradient).max(initial=0.0) <= group["tolerance_grad"]:
                break
            z = _newton_direction(evaluate, x, at_x.gradient, group["max_cg"])
            found = _armijo(evaluate, x, at_x, z, group)
            if found is None:  # nothing lower along this direction
                break
            before = at_x.loss
            x, at_x = found
            if before - at_x.loss < group["tolerance_change"]:
                break
        self._move_to(x)


def _newton_direction(
    evaluate: Callable[[Vector], Evaluation], x: Vector, gradient: Vector, most: int
) -> Vector:
    """An approximate solution of ``H z = -gradient`` that leads downhill."""
    square = dot(gradient, gradient)
    wanted = min(0.5, math.sqrt(math.sqrt(square))) * math.sqrt(square)
    reach = math.sqrt(np.finfo(x.dtype).eps) * (1 + math.sqrt(dot(x, x)))
    z, residual, d = np.zeros_like(x), gradient, -gradient
    for _ in range(most):
        h = reach / math.sqrt(dot(d, d))
        at = evaluate(x + np.asarray(h, x.dtype) * d)
        product = (at.gradient - gradient) / np.asarray(h, x.dtype)
        curvature = dot(d, product)
        if not (at.finite and curvature > 0):
            break
        size = np.asarray(square / curvature, x.dtype)
        z, residual = z + size * d, residual + size * product
        square, last = dot(residual, residual), square
        if math.sqrt(square) < wanted:
            break
        d = np.asarray(square / last, x.dtype) * d - residual
    return z if dot(z, gradient) < 0 else -gradient


def _armijo(
    evaluate: Callable[[Vector], Evaluation], x: Vector, at_x: Evaluation, z: Vector, group: dict[str, Any]
) -> tuple[Vector, Evaluation] | None:
    slope, t = dot(at_x.gradient, z), group["lr"]
    for _ in range(group["max_ls"]):
        candidate = x + np.asarray(t, x.dtype) * z
        at = evaluate(candidate)
        if at.finite and at.loss <= at_x.loss + group["c1"] * t * slope:
            return candidate, at
        t /= 2
    return None
