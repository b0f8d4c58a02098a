"""Layers that change shapes: Flatten and Unflatten."""

from __future__ import annotations

import math

from ..autograd import Tensor
from ..ops.shape import flatten, reshape
from .arguments import integer
from .module import Module


class Flatten(Module):
    """Joins the axes `start_dim` to `end_dim` into one, in the order of the public shape.

    Args:
        start_dim: first axis, default 1: all but the batch.
        end_dim: last axis, default -1.
    """

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        super().__init__()
        self.start_dim = start_dim
        self.end_dim = end_dim

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C * H * W) with the default axes."""
        return flatten(input, self.start_dim, self.end_dim)

    def extra_repr(self) -> str:
        """Both axes."""
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"


class Unflatten(Module):
    """Splits one axis into several.

    Args:
        dim: the axis.
        unflattened_size: their sizes; one may be -1.

    Raises:
        TypeError: a size that is no int.
        ValueError: a size below -1, or more than one -1.
    """

    def __init__(self, dim: int, unflattened_size: tuple[int, ...] | list[int]) -> None:
        super().__init__()
        if not isinstance(unflattened_size, (tuple, list)):
            raise TypeError(f"Unflatten: unflattened_size must be a tuple of ints, got {unflattened_size!r}")
        self.dim = dim
        self.unflattened_size = tuple(
            integer("Unflatten", "unflattened_size", n, least=-1) for n in unflattened_size
        )
        if self.unflattened_size.count(-1) > 1:
            raise ValueError(f"Unflatten: only one size may be -1, got {self.unflattened_size}")

    def forward(self, input: Tensor) -> Tensor:
        """The input with axis `dim` split.

        Raises:
            IndexError: there is no such axis.
            ValueError: the sizes do not multiply to the axis.
        """
        if not -input.ndim <= self.dim < input.ndim:
            raise IndexError(f"Unflatten: dim {self.dim} is out of range for shape {input.shape}")
        axis = self.dim % input.ndim
        size, parts = input.shape[axis], self.unflattened_size
        known = math.prod(n for n in parts if n != -1)
        if (-1 in parts and (known == 0 or size % known)) or (-1 not in parts and known != size):
            raise ValueError(
                f"Unflatten: axis {axis} of {input.shape} has {size} elements and cannot become {parts}"
            )
        parts = tuple(size // known if n == -1 else n for n in parts)
        return reshape(input, input.shape[:axis] + parts + input.shape[axis + 1 :])

    def extra_repr(self) -> str:
        """Axis and sizes."""
        return f"dim={self.dim}, unflattened_size={self.unflattened_size}"
