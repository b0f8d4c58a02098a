"""Bounds on gradients, by their common norm or by value."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from ...autograd import Tensor, before_write, wrote
from ...ops._backend import backend, number


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
    if not number("clip_grad_norm_", "max_norm", max_norm) >= 0:
        raise ValueError(f"clip_grad_norm_: max_norm must not be negative, got {max_norm}")
    if not norm_type > 0:
        raise ValueError(f"clip_grad_norm_: norm_type must be positive, got {norm_type}")
    grads = _gradients(parameters)
    if not grads:
        return Tensor(np.zeros((), np.float32))
    groups = _by_dtype(grads)
    norms = np.array([backend(arrays[0]).gradient_norm(arrays, norm_type) for arrays in groups])
    norm = float(norms[0]) if len(norms) == 1 else backend(norms).gradient_norm([norms], norm_type)
    if error_if_nonfinite and not math.isfinite(norm):
        raise RuntimeError(
            f"clip_grad_norm_: the gradients' norm of order {norm_type} is {norm}; nothing was scaled"
        )
    factor = max_norm / (norm + 1e-6)
    if not factor >= 1:  # a NaN norm makes all gradients NaN, where nobody can overlook it
        before_write()
        for arrays in groups:
            backend(arrays[0]).scale_gradients(arrays, factor)
        wrote(*grads)
    return Tensor(np.array(norm, grads[0].dtype))


def clip_grad_value_(parameters: Tensor | Iterable[Tensor], clip_value: float) -> None:
    """Clip each element of all gradients to [-clip_value, clip_value], in place.

    Raises:
        ValueError: `clip_value` is negative.
    """
    if not number("clip_grad_value_", "clip_value", clip_value) >= 0:
        raise ValueError(f"clip_grad_value_: clip_value must not be negative, got {clip_value}")
    grads = _gradients(parameters)
    before_write()
    for arrays in _by_dtype(grads):
        backend(arrays[0]).clamp_gradients(arrays, -clip_value, clip_value)
    wrote(*grads)


def _gradients(parameters: Tensor | Iterable[Tensor]) -> list[Tensor]:
    parameters = [parameters] if isinstance(parameters, Tensor) else list(parameters)
    return [parameter.grad for parameter in parameters if parameter.grad is not None]


def _by_dtype(grads: list[Tensor]) -> list[list[np.ndarray]]:
    """The gradients' arrays, each list of one dtype, for one call of a kernel."""
    groups: dict[np.dtype, list[np.ndarray]] = {}
    for grad in grads:
        groups.setdefault(grad.dtype, []).append(grad.array)
    return list(groups.values())
