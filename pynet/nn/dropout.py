"""Dropout layers, which do nothing in evaluation mode."""

from __future__ import annotations

import numpy as np

from ..autograd import Tensor
from ..ops.arithmetic import multiply
from . import functional as F
from .arguments import probability
from .module import Module


class Dropout(Module):
    """In training, zeroes each element with probability `p` and scales the others by ``1 / (1 - p)``.

    Args:
        p: in [0, 1], default 0.5.
        inplace: accepted, default False; the result is a new Tensor in any case.

    Raises:
        ValueError: p outside [0, 1].

    Source:
        Srivastava, Hinton, Krizhevsky, Sutskever and Salakhutdinov 2014, "Dropout".
    """

    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__()
        self.p = probability(type(self).__name__, p)
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        """The input with some elements zeroed, in training."""
        return F.dropout(input, self.p, self.training)

    def extra_repr(self) -> str:
        """Both arguments."""
        return f"p={self.p}, inplace={self.inplace}"


class Dropout2d(Dropout):
    """In training, zeroes each map (a channel of a sample) with probability `p`, scales the others.

    Args and errors as for Dropout.

    Shape:
        input (N, C, H, W) or (C, H, W), output the same.

    Source:
        Tompson, Goroshin, Jain, LeCun and Bregler 2015, "Efficient Object Localization Using Convolutional
        Networks".
    """

    def forward(self, input: Tensor) -> Tensor:
        """The input with some maps zeroed, in training.

        Raises:
            ValueError: another rank.
        """
        if input.ndim not in (3, 4):
            raise ValueError(f"Dropout2d: expected (N, C, H, W) or (C, H, W), got shape {input.shape}")
        if not self.training or self.p == 0:
            return input
        maps = Tensor(np.ones((*input.shape[:-2], 1, 1), input.dtype))
        return multiply(input, F.dropout(maps, self.p))
