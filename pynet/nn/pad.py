"""Padding layers for signals (N, C, L) and maps (N, C, H, W)."""

from __future__ import annotations

from ..autograd import Tensor
from . import functional as F
from .arguments import integer
from .module import Module


class _Pad(Module):
    """Checks the widths and pads the last `_axes` axes."""

    _axes: int
    _mode = "constant"

    def __init__(self, padding: int | tuple[int, ...]) -> None:
        super().__init__()
        owner, sides = type(self).__name__, 2 * self._axes
        each = tuple(padding) if isinstance(padding, (tuple, list)) else (padding,) * sides
        if len(each) != sides:
            raise ValueError(f"{owner}: padding must be an int or {sides} of them, got {padding!r}")
        self.padding = tuple(integer(owner, "padding", n, least=-(2**62)) for n in each)

    def forward(self, input: Tensor) -> Tensor:
        """The padded input."""
        if self._mode != "constant" and input.ndim not in (self._axes + 1, self._axes + 2):
            raise ValueError(
                f"{type(self).__name__}: input must have {self._axes + 1} or {self._axes + 2} axes, got "
                f"{input.shape}"
            )
        return F.pad(input, self.padding, self._mode)

    def extra_repr(self) -> str:
        """The widths."""
        return f"{self.padding}"


class _ConstantPad(_Pad):
    def __init__(self, padding: int | tuple[int, ...], value: float) -> None:
        super().__init__(padding)
        self.value = value

    def forward(self, input: Tensor) -> Tensor:
        """The padded input."""
        return F.pad(input, self.padding, "constant", self.value)

    def extra_repr(self) -> str:
        """Widths and value."""
        return f"padding={self.padding}, value={self.value}"


class ConstantPad1d(_ConstantPad):
    """Puts a constant around signals.

    Args:
        padding: one int for all sides, or (left, right); negative takes elements away.
        value: what is put there.

    Shape:
        input (N, C, L) or (C, L), output likewise with every axis longer by its two widths.

    Raises:
        TypeError: a width that is no int.
        ValueError: another count of widths; or nothing left of an axis, when it is called.
    """

    _axes = 1


class ZeroPad1d(_Pad):
    """Puts zeros around signals.

    Args:
        padding: one int for all sides, or (left, right); negative takes elements away.

    Shape:
        input (N, C, L) or (C, L), output likewise with every axis longer by its two widths.

    Raises:
        TypeError: a width that is no int.
        ValueError: another count of widths; or nothing left of an axis, when it is called.
    """

    _axes = 1


class ReflectionPad1d(_Pad):
    """Puts the values within, reflected at the edge, which is not repeated around signals.

    Args:
        padding: one int for all sides, or (left, right); negative takes elements away.

    Shape:
        input (N, C, L) or (C, L), output likewise with every axis longer by its two widths.

    Raises:
        TypeError: a width that is no int.
        ValueError: another count of widths; a width that reaches the size, or nothing left of an axis, when
            it is called.
    """

    _axes = 1
    _mode = "reflect"


class ReplicationPad1d(_Pad):
    """Puts the value at the edge around signals.

    Args:
        padding: one int for all sides, or (left, right); negative takes elements away.

    Shape:
        input (N, C, L) or (C, L), output likewise with every axis longer by its two widths.

    Raises:
        TypeError: a width that is no int.
        ValueError: another count of widths; or nothing left of an axis, when it is called.
    """

    _axes = 1
    _mode = "replicate"


class CircularPad1d(_Pad):
    """Puts the values from the other end around signals.

    Args:
        padding: one int for all sides, or (left, right); negative takes elements away.

    Shape:
        input (N, C, L) or (C, L), output likewise with every axis longer by its two widths.

    Raises:
        TypeError: a width that is no int.
        ValueError: another count of widths; a width above the size, or nothing left of an axis, when it is
            called.
    """

    _axes = 1
    _mode = "circular"


class ConstantPad2d(_ConstantPad):
    """Puts a constant around maps.

    Args:
        padding: one int for all sides, or (left, right, top, bottom); negative takes elements away.
        value: what is put there.

    Shape:
        input (N, C, H, W) or (C, H, W), output likewise with every axis longer by its two widths.

    Raises:
        TypeError: a width that is no int.
        ValueError: another count of widths; or nothing left of an axis, when it is called.
    """

    _axes = 2


class ZeroPad2d(_Pad):
    """Puts zeros around maps.

    Args:
        padding: one int for all sides, or (left, right, top, bottom); negative takes elements away.

    Shape:
        input (N, C, H, W) or (C, H, W), output likewise with every axis longer by its two widths.

    Raises:
        TypeError: a width that is no int.
        ValueError: another count of widths; or nothing left of an axis, when it is called.
    """

    _axes = 2


class ReflectionPad2d(_Pad):
    """Puts the values within, reflected at the edge, which is not repeated around maps.

    Args:
        padding: one int for all sides, or (left, right, top, bottom); negative takes elements away.

    Shape:
        input (N, C, H, W) or (C, H, W), output likewise with every axis longer by its two widths.

    Raises:
        TypeError: a width that is no int.
        ValueError: another count of widths; a width that reaches the size, or nothing left of an axis, when
            it is called.
    """

    _axes = 2
    _mode = "reflect"


class ReplicationPad2d(_Pad):
    """Puts the value at the edge around maps.

    Args:
        padding: one int for all sides, or (left, right, top, bottom); negative takes elements away.

    Shape:
        input (N, C, H, W) or (C, H, W), output likewise with every axis longer by its two widths.

    Raises:
        TypeError: a width that is no int.
        ValueError: another count of widths; or nothing left of an axis, when it is called.
    """

    _axes = 2
    _mode = "replicate"


class CircularPad2d(_Pad):
    """Puts the values from the other end around maps.

    Args:
        padding: one int for all sides, or (left, right, top, bottom); negative takes elements away.

    Shape:
        input (N, C, H, W) or (C, H, W), output likewise with every axis longer by its two widths.

    Raises:
        TypeError: a width that is no int.
        ValueError: another count of widths; a width above the size, or nothing left of an axis, when it is
            called.
    """

    _axes = 2
    _mode = "circular"
