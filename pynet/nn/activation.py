"""Activation layers; a container fuses the element-wise ones with the layer before them."""

from __future__ import annotations

from ..autograd import Tensor
from . import functional as F
from .arguments import integer, non_negative
from .module import Module


class _InPlace(Module):
    """An activation with PyTorch's `inplace` argument, which is accepted and changes no result."""

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace

    def extra_repr(self) -> str:
        """`inplace=True` where it was given."""
        return "inplace=True" if self.inplace else ""


class ReLU(_InPlace):
    """``max(x, 0)``, any shape.

    Args:
        inplace: accepted, default False; the result is a new Tensor in any case.
    """

    def forward(self, input: Tensor) -> Tensor:
        """``max(input, 0)``."""
        return F.relu(input)


class LeakyReLU(_InPlace):
    """``x`` where positive, else ``negative_slope * x``, any shape.

    Args:
        negative_slope: at least 0, default 0.01.
        inplace: accepted, default False; the result is a new Tensor in any case.

    Raises:
        ValueError: a negative slope.

    Source:
        Maas, Hannun and Ng 2013, "Rectifier Nonlinearities Improve Neural Network Acoustic Models".
    """

    def __init__(self, negative_slope: float = 1e-2, inplace: bool = False) -> None:
        super().__init__(inplace)
        self.negative_slope = non_negative("LeakyReLU", "negative_slope", negative_slope)

    def forward(self, input: Tensor) -> Tensor:
        """The input, negative values times the slope."""
        return F.leaky_relu(input, self.negative_slope)

    def extra_repr(self) -> str:
        """Slope, and `inplace`."""
        return f"negative_slope={self.negative_slope}" + (", inplace=True" if self.inplace else "")


class ELU(_InPlace):
    """``x`` where positive, else ``alpha * (exp(x) - 1)``, any shape.

    Args:
        alpha: at least 0, default 1.
        inplace: accepted, default False; the result is a new Tensor in any case.

    Raises:
        ValueError: alpha is negative.

    Source:
        Clevert, Unterthiner and Hochreiter 2016, "Fast and Accurate Deep Network Learning by Exponential
        Linear Units".
    """

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        super().__init__(inplace)
        self.alpha = non_negative("ELU", "alpha", alpha)

    def forward(self, input: Tensor) -> Tensor:
        """The input, negative values bent towards -alpha."""
        return F.elu(input, self.alpha)

    def extra_repr(self) -> str:
        """Alpha, and `inplace`."""
        return f"alpha={self.alpha}" + (", inplace=True" if self.inplace else "")


class Sigmoid(Module):
    """``1 / (1 + exp(-x))``, any shape."""

    def forward(self, input: Tensor) -> Tensor:
        """The logistic function of the input."""
        return F.sigmoid(input)


class Tanh(Module):
    """The hyperbolic tangent, any shape."""

    def forward(self, input: Tensor) -> Tensor:
        """The hyperbolic tangent of the input."""
        return F.tanh(input)


class Maxout(Module):
    """The largest of each `pieces` neighbouring channels: (N, C * pieces, ...) -> (N, C, ...).

    Args:
        pieces: at least 1; channel c of the result is the largest of the channels c * pieces to (c + 1) *
            pieces - 1.

    Raises:
        TypeError: no int.
        ValueError: less than 1.

    Source:
        Goodfellow, Warde-Farley, Mirza, Courville and Bengio 2013, "Maxout Networks".
    """

    def __init__(self, pieces: int) -> None:
        super().__init__()
        self.pieces = integer("Maxout", "pieces", pieces)

    def forward(self, input: Tensor) -> Tensor:
        """(N, C * pieces, ...) -> (N, C, ...)."""
        return F.maxout(input, self.pieces)

    def extra_repr(self) -> str:
        """The number of pieces."""
        return f"pieces={self.pieces}"


class Softmax(Module):
    """``exp(x) / sum(exp(x))`` along an axis.

    Args:
        dim: the axis. None, the default, takes the axis of classes: 0 for 0-d, 1-d and 3-d inputs, 1 for
            others.
    """

    def __init__(self, dim: int | None = None) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, input: Tensor) -> Tensor:
        """Probabilities that sum to one along `dim`."""
        return F.softmax(input, _class_axis(input) if self.dim is None else self.dim)

    def extra_repr(self) -> str:
        """The axis."""
        return f"dim={self.dim}"


class LogSoftmax(Module):
    """The logarithm of softmax along an axis, computed without its rounding.

    Args:
        dim: the axis; None, the default, as for Softmax.
    """

    def __init__(self, dim: int | None = None) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, input: Tensor) -> Tensor:
        """Log-probabilities along `dim`."""
        return F.log_softmax(input, _class_axis(input) if self.dim is None else self.dim)

    def extra_repr(self) -> str:
        """The axis."""
        return f"dim={self.dim}"


class Softmin(Module):
    """The softmax of ``-x`` along an axis.

    Args:
        dim: the axis; None, the default, as for Softmax.
    """

    def __init__(self, dim: int | None = None) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, input: Tensor) -> Tensor:
        """Shares that sum to one along `dim`, the smallest element's the largest."""
        return F.softmin(input, _class_axis(input) if self.dim is None else self.dim)

    def extra_repr(self) -> str:
        """The axis."""
        return f"dim={self.dim}"


class Softmax2d(Module):
    """Softmax over the channels of each pixel: (N, C, H, W) or (C, H, W)."""

    def forward(self, input: Tensor) -> Tensor:
        """Probabilities that sum to one over the channels.

        Raises:
            ValueError: another rank.
        """
        if input.ndim not in (3, 4):
            raise ValueError(f"Softmax2d: expected (N, C, H, W) or (C, H, W), got shape {input.shape}")
        return F.softmax(input, -3)


def _class_axis(input: Tensor) -> int:
    """The axis that PyTorch takes where none is named."""
    return 0 if input.ndim in (0, 1, 3) else 1
