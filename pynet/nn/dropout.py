"""Dropout layers, which do nothing in evaluation mode."""

from __future__ import annotations

from ..autograd import Tensor
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


class Dropout1d(Dropout):
    """In training, zeroes each channel of a sample with probability `p`, scales the others.

    Args and errors as for Dropout.

    Shape:
        input (N, C, L) or (C, L), output the same.
    """

    def forward(self, input: Tensor) -> Tensor:
        """The input with some channels zeroed, in training."""
        return F.dropout1d(input, self.p, self.training)


class Dropout2d(Dropout):
    """In training, zeroes each map (a channel of a sample) with probability `p`, scales the others.

    Args and errors as for Dropout.

    Shape:
        input (N, C, H, W), or (N, C, L), output the same.

    Source:
        Tompson, Goroshin, Jain, LeCun and Bregler 2015, "Efficient Object Localization Using Convolutional
        Networks".
    """

    def forward(self, input: Tensor) -> Tensor:
        """The input with some maps zeroed, in training."""
        return F.dropout2d(input, self.p, self.training)


class AlphaDropout(Dropout):
    """In training, sets elements to SELU's lowest value and restores mean 0 and variance 1.

    Args and errors as for Dropout.

    Source:
        Klambauer, Unterthiner, Mayr and Hochreiter 2017, "Self-Normalizing Neural Networks", section 3.
    """

    def forward(self, input: Tensor) -> Tensor:
        """The input with some elements at SELU's lowest value, in training."""
        return F.alpha_dropout(input, self.p, self.training)


class DropPath(Module):
    """Stochastic depth: in training, zeroes whole samples, so that only a shortcut around the path remains.

    Args:
        drop_prob: in [0, 1], default 0.
        scale_by_keep: scale the other samples by ``1 / (1 - drop_prob)``, default True.

    Raises:
        ValueError: drop_prob outside [0, 1].

    Source:
        Huang, Sun, Liu, Sedra and Weinberger 2016, "Deep Networks with Stochastic Depth".
    """

    def __init__(self, drop_prob: float = 0.0, scale_by_keep: bool = True) -> None:
        super().__init__()
        self.drop_prob = probability("DropPath", drop_prob)
        self.scale_by_keep = scale_by_keep

    def forward(self, input: Tensor) -> Tensor:
        """(N, ...) with some samples zeroed, in training."""
        return F.drop_path(input, self.drop_prob, self.training, self.scale_by_keep)

    def extra_repr(self) -> str:
        """The probability."""
        return f"drop_prob={self.drop_prob}"
