"""Writing into a tensor's own memory.

Allowed under `no_grad` and outside the graph. Every write settles what was put off, then bumps the version
that views share, so that `backward` refuses saved arrays that changed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from pynet.autograd import Tensor, before_write, is_grad_enabled, wrap, wrote
from pynet.ops._backend import Array
from pynet.ops.arithmetic import constant, is_scalar
from pynet.ops.indexing import plain_index


def _writable(name: str, x: Tensor, value: Tensor | None = None) -> Array:
    """x's array, once nothing forbids to write it."""
    if is_grad_enabled() and (x.requires_grad or (value is not None and value.requires_grad)):
        raise RuntimeError(
            f"{name}: in place on the graph is not recorded; write x = x + y (out of place), or wrap an "
            "update of values "
            "in `with pynet.no_grad():`"
        )
    before_write()
    array = x.array
    if not array.flags.writeable:
        raise RuntimeError(
            f"{name}: the memory is read-only (a read-only array, or an expanded view); write into a clone()"
        )
    return array


def _value(name: str, x: Tensor, value: Any) -> Tensor:
    """The value to write, in a dtype that fits into x without a silent loss."""
    if is_scalar(value):
        value = value[()] if isinstance(value, np.ndarray) else value
        if x.dtype.kind != "f" and isinstance(value, (float, np.floating)):
            raise TypeError(
                f"{name}: a float does not fit into a {x.dtype} tensor; convert the tensor with .float()"
            )
        return constant(value, x) if x.dtype.kind != "b" else wrap(np.array(bool(value)))
    value = value if isinstance(value, Tensor) else Tensor(np.asarray(value))
    if value.dtype != x.dtype and (
        value.dtype.kind == "f" or not np.can_cast(value.dtype, x.dtype, "same_kind")
    ):
        raise TypeError(
            f"{name}: {value.dtype} does not fit into a {x.dtype} tensor; convert it with .to(dtype)"
        )
    return value


def _update(name: str, function: Callable[..., Any]) -> Callable[[Tensor, Any], Tensor]:
    def write(x: Tensor, value: Any) -> Tensor:
        value = _value(name, x, value)
        array = _writable(name, x, value)
        operand = value.array
        try:
            if np.broadcast_shapes(array.shape, operand.shape) != array.shape:
                raise ValueError
        except ValueError:
            raise ValueError(
                f"{name}: a value of shape {operand.shape} does not fit into shape {array.shape}"
            ) from None
        function(array, operand, out=array, casting="same_kind")  # NumPy copies where the two overlap
        wrote(x)
        return x

    write.__name__ = name
    write.__doc__ = f"{name}: writes the result into x and returns x; under no_grad or outside the graph."
    return write


add_ = _update("add_", np.add)
sub_ = _update("sub_", np.subtract)
mul_ = _update("mul_", np.multiply)
div_ = _update("div_", np.divide)


def setitem(x: Tensor, index: Any, value: Any) -> None:
    """x[index] = value.

    Raises:
        RuntimeError: x or the value is part of the graph. IndexError: out of range. ValueError: shapes do
            not fit.
        TypeError: dtypes do not fit.
    """
    value = _value("x[i] = v", x, value)
    array = _writable("x[i] = v", x, value)
    plain, _ = plain_index(index)
    source = value.array
    if np.may_share_memory(array, source):
        source = source.copy()
    try:
        array[plain] = source
    except IndexError as error:
        raise IndexError(f"{error}; the tensor has shape {x.shape}") from None
    except ValueError:
        raise ValueError(
            f"x[i] = v: a value of shape {source.shape} does not fit into {array[plain].shape}, part of "
            f"{x.shape}"
        ) from None
    wrote(x)


def copy_(x: Tensor, source: Any) -> Tensor:
    """Writes the values of `source`, broadcast to x's shape and converted to its dtype; returns x."""
    value = source if isinstance(source, Tensor) else Tensor(np.asarray(source))
    array = _writable("copy_", x, value)
    try:
        np.copyto(array, value.array, casting="unsafe")
    except ValueError:
        raise ValueError(
            f"copy_: a source of shape {value.shape} does not fit into shape {x.shape}"
        ) from None
    wrote(x)
    return x


def fill_(x: Tensor, value: float) -> Tensor:
    """Writes one number everywhere; returns x."""
    number = _value("fill_", x, value.item() if isinstance(value, Tensor) else value)
    _writable("fill_", x)[...] = number.array
    wrote(x)
    return x


def zero_(x: Tensor) -> Tensor:
    """Writes zeros; returns x."""
    return fill_(x, 0)


def clamp_(x: Tensor, min: float | None = None, max: float | None = None) -> Tensor:
    """Limits the values to [min, max]; returns x."""
    if min is None and max is None:
        raise ValueError("clamp_: min and max are both None; give at least one")
    array = _writable("clamp_", x)
    np.clip(array, min, max, out=array)
    wrote(x)
    return x


def uniform_(x: Tensor, low: float = 0.0, high: float = 1.0) -> Tensor:
    """Draws every value uniformly from [low, high); returns x."""
    from pynet.ops.creation import drawn_like

    _writable("uniform_", x)[...] = drawn_like(x, "random_uniform", low, high)
    wrote(x)
    return x


def normal_(x: Tensor, mean: float = 0.0, std: float = 1.0) -> Tensor:
    """Draws every value from a normal distribution; returns x."""
    from pynet.ops.creation import drawn_like

    _writable("normal_", x)[...] = drawn_like(x, "random_normal", mean, std)
    wrote(x)
    return x


def masked_fill_(x: Tensor, mask: Any, value: Any) -> Tensor:
    """Writes a number where the mask, which broadcasts to x, is true.

    Raises:
        TypeError: a mask that is not boolean. ValueError: it does not broadcast to x.
    """
    mask = mask.array if isinstance(mask, Tensor) else np.asarray(mask)
    if mask.dtype.kind != "b":
        raise TypeError(
            f"masked_fill_: the mask is {mask.dtype}, expected bool; compare it with something first"
        )
    try:
        chosen = np.broadcast_to(mask, x.shape)
    except ValueError:
        raise ValueError(f"masked_fill_: the mask {mask.shape} does not broadcast to {x.shape}") from None
    value = _value("masked_fill_", x, value)
    array = _writable("masked_fill_", x, value)
    array[chosen] = value.array
    wrote(x)
    return x
