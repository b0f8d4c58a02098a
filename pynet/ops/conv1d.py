"""Convolutions of signals (N, C, L): those of images of height one."""

from __future__ import annotations

from typing import Any

from pynet.autograd import Tensor
from pynet.ops._backend import integer, require_floats
from pynet.ops.conv2d import conv2d
from pynet.ops.conv_transpose import conv_transpose2d
from pynet.ops.shape import squeeze, unsqueeze


def _number(name: str, argument: str, value: Any, least: int) -> int:
    """An int, or one in a tuple."""
    if isinstance(value, (tuple, list)):
        if len(value) != 1:
            raise ValueError(f"{name}: {argument} takes one int, got {value!r}")
        value = value[0]
    number = integer(name, argument, value)
    if number < least:
        raise ValueError(f"{name}: {argument} must be at least {least}, got {number}")
    return number


def _image(name: str, input: Tensor, weight: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor]:
    """Input and weight with a height of one."""
    require_floats(name, input=input, weight=weight, bias=bias)
    if input.ndim not in (2, 3) or weight.ndim != 3:
        raise ValueError(
            f"{name}: expected input (N, C, L) or (C, L) and weight with three axes; input is "
            f"{input.shape}, weight "
            f"{weight.shape}"
        )
    return unsqueeze(input, -2), unsqueeze(weight, -2)


def conv1d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | tuple[int] = 1,
    padding: int | tuple[int] | str = 0,
    dilation: int | tuple[int] = 1,
    groups: int = 1,
) -> Tensor:
    """Slides the filters along the signals, as `conv2d` over maps.

    Args:
        input: float (N, C, L) or (C, L).
        weight: (F, C // groups, K).
        bias: (F,) or None.
        stride, dilation: int or a tuple of one, at least 1.
        padding: zeros on both ends, int or a tuple of one; "valid", or "same" with stride 1.
        groups: into how many independent parts the channels are split; divides C and F.
    Returns:
        Tensor (N, F, OL), OL = (L + 2*padding - dilation*(K - 1) - 1) // stride + 1.
    Raises:
        ValueError, TypeError: as `conv2d`.
    """
    x, w = _image("conv1d", input, weight, bias)
    along = (1, _number("conv1d", "stride", stride, 1))
    ends: Any = padding if isinstance(padding, str) else (0, _number("conv1d", "padding", padding, 0))
    apart = (1, _number("conv1d", "dilation", dilation, 1))
    return squeeze(conv2d(x, w, bias, along, ends, apart, groups), -2)


def conv_transpose1d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | tuple[int] = 1,
    padding: int | tuple[int] = 0,
    output_padding: int | tuple[int] = 0,
    groups: int = 1,
    dilation: int | tuple[int] = 1,
) -> Tensor:
    """Every element times the filters, laid `stride` apart and added up, as `conv_transpose2d` on maps.

    Args:
        input: float (N, C, L) or (C, L).
        weight: (C, F // groups, K).
        bias: (F,) or None.
        stride, padding, output_padding, groups, dilation: as `conv_transpose2d`, ints or tuples of one.
    Returns:
        Tensor (N, F, OL), OL = (L - 1) * stride - 2 * padding + dilation * (K - 1) + output_padding + 1.
    Raises:
        ValueError, TypeError: as `conv_transpose2d`.
    """
    name = "conv_transpose1d"
    x, w = _image(name, input, weight, bias)
    along, ends = (1, _number(name, "stride", stride, 1)), (0, _number(name, "padding", padding, 0))
    extra, apart = (
        (0, _number(name, "output_padding", output_padding, 0)),
        (1, _number(name, "dilation", dilation, 1)),
    )
    return squeeze(conv_transpose2d(x, w, bias, along, ends, extra, groups, apart), -2)
