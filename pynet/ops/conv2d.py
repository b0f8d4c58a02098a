"""Two-dimensional convolution (cross-correlation, as in PyTorch), and the choice of its algorithm."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any

from pynet import _core
from pynet.autograd import (
    Operation,
    Pending,
    Tensor,
    is_fusion_enabled,
    is_grad_enabled,
    owe,
    put_off,
    record,
)
from pynet.ops._backend import Array, backend, hwio, integer, nhwc, pair, require_floats, window_counts
from pynet.ops.activation import absorb_activation, activate, activation_of
from pynet.ops.pad import pad
from pynet.ops.pool2d import MAX_POOL2D
from pynet.ops.shape import squeeze, unsqueeze

ALGORITHMS = ("auto", "direct", "im2col", "winograd2", "winograd4", "fft")
_algorithm: ContextVar[str] = ContextVar("pynet_conv_algorithm", default="auto")


class conv_algorithm:
    """Context manager: convolutions inside, and their gradients, use one algorithm.

    Args:
        name: "auto" (the fastest known for the shape); "direct" or "im2col", for any convolution;
            "winograd2" or "winograd4", Winograd's F(2x2, 3x3) and F(4x4, 3x3), for 3x3 kernels with stride 1,
            dilation 1, one group and padding up to 2: from 16 channels on their root mean square errors are
            at most 2 and 7 times those of "direct" in the output and the gradient of x, 2.5 and 10 times in
            the gradient of the weight; "fft", for kernels up to 64x64 with stride and dilation 1.
    Raises:
        ValueError: an unknown name; inside, when the algorithm cannot do a convolution.
    Source:
        Winograd: Lavin & Gray 2016. FFT: Mathieu, Henaff & LeCun 2014. docs/convolution.md compares them.
    """

    def __init__(self, name: str) -> None:
        if name not in ALGORITHMS:
            raise ValueError(
                f"conv_algorithm: unknown algorithm {name!r}; choose one of {', '.join(ALGORITHMS)}"
            )
        self.name = name
        self._previous: list[str] = []

    def __enter__(self) -> None:
        self._previous.append(_algorithm.get())
        _algorithm.set(self.name)

    def __exit__(self, *exception: object) -> None:
        _algorithm.set(self._previous.pop())


def _forward(
    x: Array,
    weight: Array,
    bias: Array | None,
    stride: tuple[int, int],
    padding: tuple[int, int],
    dilation: tuple[int, int],
    groups: int,
    activation: str,
    alpha: float,
    algorithm: str,
    statistics: bool,
) -> tuple[Array, tuple]:
    x, weight = nhwc(x), hwio(weight)
    on = backend(x, weight, bias)
    geometry = (stride, padding, dilation, groups)
    if statistics:
        out, mean, var = on.conv2d_forward_statistics(x, weight, bias, *geometry, algorithm)
        return out, (x, weight, None, (mean, var))
    out = on.conv2d_forward(x, weight, bias, *geometry, activation, alpha, algorithm)
    return out, (x, weight, None if activation == "none" else out, None)


def _backward(
    dout: Array,
    saved: tuple,
    needs: tuple,
    stride: tuple[int, int],
    padding: tuple[int, int],
    dilation: tuple[int, int],
    groups: int,
    activation: str,
    alpha: float,
    algorithm: str,
    statistics: bool,
) -> tuple:
    x, weight, out, _ = saved
    on = backend(dout)
    dout = nhwc(dout)
    if out is not None:
        dout = on.activation_backward(dout, out, activation, alpha)
    dx = dweight = dbias = None
    if needs[0]:
        dx = on.conv2d_backward_data(dout, weight, x.shape, stride, padding, dilation, groups, algorithm)
    if needs[1]:
        dweight, dbias = on.conv2d_backward_weight(
            dout, x, weight.shape, stride, padding, dilation, groups, needs[2], algorithm
        )
    elif needs[2]:
        dbias = on.sum(dout, (0, 2, 3), False)
    return dx, dweight, dbias


def _absorb(waiting: Pending, name: str, others: tuple, attributes: dict[str, Any]) -> tuple | None:
    """An activation; and after a ReLU the max pooling, which then takes the ReLU along.

    The two commute, and so the gradient of the ReLU is taken on the small map.
    """
    if name != "max_pool2d":
        return absorb_activation(waiting, name, others, {**attributes, "statistics": False})
    if waiting.attributes["activation"] != "relu" or attributes["return_indices"] or attributes["ceil_mode"]:
        return None
    without = {**waiting.attributes, "activation": "none"}
    plain = owe(CONV2D, waiting.inputs, without, waiting.shape, waiting.dtype, False)
    windows = (attributes[name] for name in ("kernel", "stride", "padding", "dilation"))
    shape = (*waiting.shape[:2], *window_counts(waiting.shape, *windows))
    return MAX_POOL2D, (plain,), {**attributes, "relu": True}, shape


CONV2D = Operation("conv2d", _forward, _backward, absorb=_absorb)


def statistics_of(x: Tensor) -> tuple[Array, Array] | None:
    """Mean and biased variance of each channel of `x`, as the convolution that made it left them.

    None where it left none, or where somebody has written x since or may have.
    """
    node = x.grad_fn
    if (
        node is None
        or node.operation is not CONV2D
        or not node.saved
        or x._storage.held
        or x._storage.written
    ):
        return None
    return node.saved[3]


def conv2d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | tuple[int, int] = 1,
    padding: int | tuple[int, int] | str = 0,
    dilation: int | tuple[int, int] = 1,
    groups: int = 1,
    *,
    activation: str | None = None,
    alpha: float | None = None,
) -> Tensor:
    """Slides the filters over the maps: one output channel a filter, with an activation in the same pass
    where asked for.

    Args:
        x: float (N, C, H, W) or (C, H, W).
        weight: (F, C // groups, KH, KW).
        bias: (F,) or None.
        stride: step, int or (height, width), at least 1.
        padding: zeros on each side, int or (height, width); "valid" for none; "same" for an output of the
            input's size, where an odd zero goes below and right (stride 1 only).
        dilation: distance of the taps, int or (height, width), at least 1.
        groups: into how many independent parts the channels are split; divides C and F.
        activation: None, "relu", "leaky_relu", "elu", "sigmoid" or "tanh".
        alpha: parameter of leaky_relu (default 0.01) and elu (1.0).
    Returns:
        Tensor (N, F, OH, OW), OH = (H + 2*padding - dilation*(KH - 1) - 1) // stride + 1.
    Raises:
        ValueError: channels differ, groups do not divide, sizes out of range, or the kernel exceeds the
            padded input.
        TypeError: dtypes differ or are no floats.
    Source:
        im2col + GEMM: Chellapilla, Puri & Simard 2006.
    """
    dtype = x.dtype
    if not (dtype.kind == "f" and weight.dtype is dtype and (bias is None or bias.dtype is dtype)):
        require_floats("conv2d", x=x, weight=weight, bias=bias)
    if len(x.shape) == 3:
        batch = conv2d(
            unsqueeze(x, 0),
            weight,
            bias,
            stride,
            padding,
            dilation,
            groups,
            activation=activation,
            alpha=alpha,
        )
        return squeeze(batch, 0)
    stride = pair("conv2d", "stride", stride, 1)
    dilation = pair("conv2d", "dilation", dilation, 1)
    if padding.__class__ is str:
        x, padding = _named_padding(x, weight, padding, stride, dilation)
    padding = pair("conv2d", "padding", padding, 0)
    if type(groups) is not int:
        groups = integer("conv2d", "groups", groups)
    xs, ws = x.shape, weight.shape
    windows = _core._conv2d_windows(xs, ws, stride, padding, dilation, groups)
    if bias is not None and bias.shape != (ws[0],):
        raise ValueError(f"conv2d: bias is {bias.shape}, weight {ws} needs ({ws[0]},)")
    name, number = ("none", 0.0) if activation is None else activation_of("conv2d", activation, alpha)
    fused = name if activation is None or is_fusion_enabled() else "none"
    attributes = {
        "stride": stride,
        "padding": padding,
        "dilation": dilation,
        "groups": groups,
        "activation": fused,
        "alpha": number,
        "algorithm": _algorithm.get(),
        # What follows a convolution without bias is, with hardly an exception, batch norm. Whether it is
        # does not matter here: the bits must not depend on how much the convolution can know.
        "statistics": bias is None
        and fused == "none"
        and is_grad_enabled()
        and (x._requires_grad or weight._requires_grad),
    }
    inputs = (x, weight, bias)
    if attributes["algorithm"] == "auto":
        out = put_off(CONV2D, inputs, (xs[0], ws[0], *windows), dtype, **attributes)
    else:  # may refuse the shape, which must show here
        out = record(CONV2D, inputs, **attributes)
    return out if fused is name else activate(out, name, number)


def _named_padding(
    x: Tensor, weight: Tensor, padding: Any, stride: tuple[int, int], dilation: tuple[int, int]
) -> tuple[Tensor, tuple[int, int]]:
    """The input and the symmetric padding that a padding given by name stands for."""
    if padding == "valid":
        return x, (0, 0)
    if padding != "same":
        raise ValueError(f'conv2d: padding must be an int, a pair, "same" or "valid", got {padding!r}')
    if stride != (1, 1):
        raise ValueError(f'conv2d: padding "same" needs stride 1, got {stride}; give the padding as a number')
    total_h, total_w = (d * (k - 1) for d, k in zip(dilation, weight.shape[-2:], strict=True))
    odd_h, odd_w = total_h % 2, total_w % 2
    if odd_h or odd_w:
        x = pad(x, (0, odd_w, 0, odd_h))
    return x, (total_h // 2, total_w // 2)
