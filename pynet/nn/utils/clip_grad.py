"""Bounds on gradients, by their common norm or by value."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from ...autograd import Tensor, before_write, wrote


def clip_grad_norm_(
    parameters: Tensor | Iterable[Tensor],
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
) -> Tensor:
    """Scale all gradients, in place, so that their norm as one vector is at most `max_norm`.

    Args:
        parameters: Tensors; those without a gradient are passed over.
        max_norm: the bound, not negative.
        norm_type: p of the p-norm, may be inf; default 2.
        error_if_nonfinite: refuse a norm that is NaN or infinite, default False.

    Returns:
        the norm before scaling, a 0-d Tensor in the gradients' dtype; it is summed in double precision.

    Raises:
        ValueError: `max_norm` is negative, or `norm_type` not positive.
        RuntimeError: the norm is not finite and `error_if_nonfinite` is True; the gradients are unchanged.

    Source:
        Pascanu, Mikolov and Bengio 2013, "On the difficulty of training recurrent neural networks", algorithm
        1.
    """
    if not max_norm >= 0:
        raise ValueError(f"clip_grad_norm_: max_norm must not be negative, got {max_norm}")
    if not norm_type > 0:
        raise ValueError(f"clip_grad_norm_: norm_type must be positive, got {norm_type}")
    grads = _gradients(parameters)
    if not grads:
        return Tensor(np.zeros((), np.float32))
    norm = _norm([_norm_of(grad.array, norm_type) for grad in grads], norm_type)
    if error_if_nonfinite and not math.isfinite(norm):
        raise RuntimeError(
            f"clip_grad_norm_: the gradients' norm of order {norm_type} is {norm}; nothing was scaled"
        )
    factor = max_norm / (norm + 1e-6)
    if not factor >= 1:  # a NaN norm makes all gradients NaN, where nobody can overlook it
        before_write()
        for grad in grads:
            np.multiply(grad.array, grad.dtype.type(factor), out=grad.array)
        wrote(*grads)
    return Tensor(np.array(norm, grads[0].dtype))


def clip_grad_value_(parameters: Tensor | Iterable[Tensor], clip_value: float) -> None:
    """Clip each element of all gradients to [-clip_value, clip_value], in place.

    Raises:
        ValueError: `clip_value` is negative.
    """
    if not clip_value >= 0:
        raise ValueError(f"clip_grad_value_: clip_value must not be negative, got {clip_value}")
    grads = _gradients(parameters)
    before_write()
    for grad in grads:
        np.clip(grad.array, -clip_value, clip_value, out=grad.array)
    wrote(*grads)


def _gradients(parameters: Tensor | Iterable[Tensor]) -> list[Tensor]:
    parameters = [parameters] if isinstance(parameters, Tensor) else list(parameters)
    return [parameter.grad for parameter in parameters if parameter.grad is not None]


def _norm_of(array: np.ndarray, order: float) -> float:
    if array.size == 0:
        return 0.0
    flat = array.ravel(order="K")
    if math.isinf(order):
        return float(np.max(np.abs(flat)))
    if order == 2:  # NumPy's own sum of squares in float64: no BLAS, whose result may depend on its threads
        return math.sqrt(np.sum(np.square(flat, dtype=np.float64)))
    return float(np.sum(np.abs(flat.astype(np.float64)) ** order) ** (1 / order))


def _norm(norms: list[float], order: float) -> float:
    return _norm_of(np.array(norms, np.float64), order)
