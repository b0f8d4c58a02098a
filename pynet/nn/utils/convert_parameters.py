"""All parameters as one vector, and back."""

from __future__ import annotations

from collections.abc import Iterable

from ...autograd import Tensor
from ...ops.shape import cat, reshape
from ..parameter import write


def parameters_to_vector(parameters: Iterable[Tensor]) -> Tensor:
    """The parameters one after the other, each in the order of its public shape; gradients lead back to them.

    Raises:
        ValueError: there are none.
    """
    flat = [reshape(parameter, -1) for parameter in parameters]
    if not flat:
        raise ValueError("parameters_to_vector: there are no parameters")
    return cat(flat)


def vector_to_parameters(vec: Tensor, parameters: Iterable[Tensor]) -> None:
    """Write slices of `vec` into the parameters' own memory.

    Raises:
        TypeError: `vec` is no Tensor.
        ValueError: it has another length than the parameters together; nothing is written then.
    """
    if not isinstance(vec, Tensor):
        raise TypeError(f"vector_to_parameters: vec must be a Tensor, got {type(vec).__name__}")
    parameters = list(parameters)
    total = sum(parameter.array.size for parameter in parameters)
    if vec.shape != (total,):
        raise ValueError(
            f"vector_to_parameters: vec has shape {vec.shape}, the parameters have {total} elements: "
            f"({total},)"
        )
    values, start = vec.array, 0
    for parameter in parameters:
        size = parameter.array.size
        write(parameter, values[start : start + size].reshape(parameter.shape))
        start += size
