"""Sums, means, extrema and other reductions over axes.

Those of floats run on the backend, in an order that does not depend on the thread count; positions on NumPy.
"""

from __future__ import annotations

import builtins
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from pynet.autograd import Operation, Tensor, record
from pynet.ops._backend import Array, axes, axis, backend, require_floats, zeros
from pynet.ops.arithmetic import maximum, minimum, sqrt

Dims = int | Sequence[int] | None


class Extrema(NamedTuple):
    """What `max` and `min` along an axis return."""

    values: Tensor
    indices: Tensor


def _spread(dout: Array, shape: tuple[int, ...], over: tuple[int, ...], keepdim: bool) -> Array:
    """The gradient of a reduction repeated over the reduced axes, as a read-only view."""
    if not keepdim and over:
        dout = dout.reshape(tuple(1 if i in over else n for i, n in enumerate(shape)))
    return np.broadcast_to(dout, shape)


# --- sums -----------------------------------------------------------------------------------------


def _sum_forward(x: Array, over: tuple[int, ...], keepdim: bool) -> tuple[Array, tuple]:
    if x.dtype.kind != "f":
        return np.asarray(x.sum(axis=over, keepdims=keepdim, dtype=np.int64)), (x.shape,)
    return backend(x).sum(x, over, keepdim), (x.shape,)


def _sum_backward(dout: Array, saved: tuple, needs: tuple, over: tuple[int, ...], keepdim: bool) -> tuple:
    return (_spread(dout, saved[0], over, keepdim),)


SUM = Operation("sum", _sum_forward, _sum_backward)


def sum(x: Tensor, dim: Dims = None, keepdim: bool = False) -> Tensor:
    """The sum over all elements or over axes; integers and booleans give int64.

    Args:
        x: any shape.
        dim: None for all axes, one axis or several.
        keepdim: keep the reduced axes with size 1.
    Raises:
        IndexError: an axis out of range. ValueError: an axis named twice.
    """
    return record(SUM, (x,), over=axes("sum", dim, x.ndim), keepdim=keepdim)


def _count(shape: tuple[int, ...], over: tuple[int, ...]) -> int:
    return math.prod([shape[i] for i in over])


def _mean_forward(x: Array, over: tuple[int, ...], keepdim: bool) -> tuple[Array, tuple]:
    count = _count(x.shape, over)
    total = backend(x).sum(x, over, keepdim)
    if count == 0:
        return np.full_like(total, np.nan), (x.shape,)
    return np.divide(total, x.dtype.type(count), out=total), (x.shape,)


def _mean_backward(dout: Array, saved: tuple, needs: tuple, over: tuple[int, ...], keepdim: bool) -> tuple:
    shape = saved[0]
    share = dout / dout.dtype.type(_count(shape, over) or 1)
    return (_spread(np.asarray(share), shape, over, keepdim),)


MEAN = Operation("mean", _mean_forward, _mean_backward)


def mean(x: Tensor, dim: Dims = None, keepdim: bool = False) -> Tensor:
    """The mean over all elements or over axes; NaN of nothing. Arguments and errors as `sum`.

    Raises:
        TypeError: integers or booleans; convert them with float() first.
    """
    if type(x) is not Tensor or x.dtype.kind != "f":
        require_floats("mean", x=x)
    return record(MEAN, (x,), over=axes("mean", dim, x.ndim), keepdim=keepdim)


def _var_forward(x: Array, over: tuple[int, ...], correction: float, keepdim: bool) -> tuple[Array, tuple]:
    on = backend(x)
    count = _count(x.shape, over)
    divisor = x.dtype.type(builtins.max(count - correction, 0))
    with np.errstate(divide="ignore", invalid="ignore"):
        middle = on.sum(x, over, True) / x.dtype.type(count)
        centred = on.subtract(x, middle)
        out = np.asarray(on.sum(on.square(centred), over, keepdim) / divisor)
    return out, (centred, divisor)


def _var_backward(
    dout: Array, saved: tuple, needs: tuple, over: tuple[int, ...], correction: float, keepdim: bool
) -> tuple:
    centred, divisor = saved
    with np.errstate(divide="ignore", invalid="ignore"):
        scale = np.asarray(dout * (dout.dtype.type(2) / divisor))
    return (backend(dout).multiply(_spread(scale, centred.shape, over, keepdim), centred),)


VAR = Operation("var", _var_forward, _var_backward)


def var(
    x: Tensor, dim: Dims = None, unbiased: bool = True, keepdim: bool = False, correction: int | None = None
) -> Tensor:
    """The mean squared distance from the mean, in two passes.

    Args:
        x: float, any shape.
        dim: None for all axes, one axis or several.
        unbiased: divide by count - 1 instead of count.
        keepdim: keep the reduced axes with size 1.
        correction: what to subtract from the count; None follows `unbiased`.
    """
    require_floats("var", x=x)
    less = int(unbiased) if correction is None else correction
    return record(VAR, (x,), over=axes("var", dim, x.ndim), correction=less, keepdim=keepdim)


def std(
    x: Tensor, dim: Dims = None, unbiased: bool = True, keepdim: bool = False, correction: int | None = None
) -> Tensor:
    """The square root of `var`; arguments as there."""
    return sqrt(var(x, dim, unbiased, keepdim, correction))


def _logsumexp_forward(x: Array, over: tuple[int, ...], keepdim: bool) -> tuple[Array, tuple]:
    on = backend(x)
    top = np.max(x, axis=over, keepdims=True)
    top = np.where(np.isfinite(top), top, x.dtype.type(0))  # inf - inf would be NaN
    with np.errstate(divide="ignore"):
        total = np.log(on.sum(on.exp(on.subtract(x, top)), over, True)) + top
    kept = tuple(n for i, n in enumerate(x.shape) if i not in over)
    return np.asarray(total if keepdim else total.reshape(kept)), (x, total)


def _logsumexp_backward(
    dout: Array, saved: tuple, needs: tuple, over: tuple[int, ...], keepdim: bool
) -> tuple:
    x, total = saved
    on = backend(dout)
    finite = np.where(np.isfinite(total), total, x.dtype.type(0))
    return (on.multiply(dout.reshape(total.shape), on.exp(on.subtract(x, finite))),)


LOGSUMEXP = Operation("logsumexp", _logsumexp_forward, _logsumexp_backward)


def logsumexp(x: Tensor, dim: Dims, keepdim: bool = False) -> Tensor:
    """log(sum(e^x)) over axes, without overflow. Arguments and errors as `sum`.

    Raises:
        ValueError: nothing to sum.
    """
    require_floats("logsumexp", x=x)
    over = axes("logsumexp", dim, x.ndim)
    _require_elements("logsumexp", x.shape, over)
    return record(LOGSUMEXP, (x,), over=over, keepdim=keepdim)


# --- products -------------------------------------------------------------------------------------


def _prod_forward(x: Array, over: tuple[int, ...], keepdim: bool) -> tuple[Array, tuple]:
    if x.dtype.kind != "f":
        return np.asarray(x.prod(axis=over, keepdims=keepdim, dtype=np.int64)), (x,)
    return backend(x).prod(x, over, keepdim), (x,)


def _prod_backward(dout: Array, saved: tuple, needs: tuple, over: tuple[int, ...], keepdim: bool) -> tuple:
    x = saved[0]
    kept = tuple(i for i in range(x.ndim) if i not in over)
    moved = x.transpose(*kept, *over)
    rows = moved.reshape(*(x.shape[i] for i in kept), -1)
    # The product of all others, without a division that a zero would spoil.
    before, after = np.ones_like(rows, order="C"), np.ones_like(rows, order="C")
    np.cumprod(rows[..., :-1], axis=-1, out=before[..., 1:])
    np.cumprod(rows[..., :0:-1], axis=-1, out=after[..., -2::-1])
    others = (before * after).reshape(moved.shape).transpose(np.argsort((*kept, *over)))
    return (_spread(dout, x.shape, over, keepdim) * others,)


PROD = Operation("prod", _prod_forward, _prod_backward)


def prod(x: Tensor, dim: Dims = None, keepdim: bool = False) -> Tensor:
    """The product over all elements or over axes; integers and booleans give int64.

    Arguments and errors as `sum`.
    """
    return record(PROD, (x,), over=axes("prod", dim, x.ndim), keepdim=keepdim)


# --- extrema --------------------------------------------------------------------------------------


def _extremes(x: Array, over: tuple[int, ...], keepdim: bool, largest: bool) -> Array:
    if x.dtype.kind != "f":
        return np.asarray((np.max if largest else np.min)(x, axis=over, keepdims=keepdim))
    return (backend(x).amax if largest else backend(x).amin)(x, over, keepdim)


def _extremum_forward(x: Array, over: tuple[int, ...], keepdim: bool, largest: bool) -> tuple[Array, tuple]:
    out = _extremes(x, over, keepdim, largest)
    return out, (x, out)


def _extremum_backward(
    dout: Array, saved: tuple, needs: tuple, over: tuple[int, ...], keepdim: bool, largest: bool
) -> tuple:
    x, out = saved
    found = _spread(out, x.shape, over, keepdim)
    winners = (x == found) | ((x != x) & (found != found))
    share = winners / winners.sum(axis=over, keepdims=True).astype(x.dtype)
    return (np.asarray(_spread(dout, x.shape, over, keepdim) * share.astype(x.dtype)),)


EXTREMUM = Operation("extremum", _extremum_forward, _extremum_backward)


def _pick_forward(x: Array, dim: int, keepdim: bool, largest: bool) -> tuple[tuple[Array, Array], tuple]:
    indices = np.asarray((np.argmax if largest else np.argmin)(x, axis=dim, keepdims=True))
    values = _extremes(x, (dim,) if x.ndim else (), True, largest)
    saved = (indices, x.shape)
    if not keepdim and x.ndim:
        values, indices = values.squeeze(dim), indices.squeeze(dim)
    return (values, indices), saved


def _pick_backward(dout: tuple, saved: tuple, needs: tuple, dim: int, keepdim: bool, largest: bool) -> tuple:
    indices, shape = saved
    gradient = dout[0]
    if not shape:
        return (gradient,)
    dx = zeros(shape, gradient.dtype)
    np.put_along_axis(dx, indices, gradient if keepdim else np.expand_dims(gradient, dim), dim)
    return (dx,)


PICK = Operation("pick_extremum", _pick_forward, _pick_backward)


def _extreme(name: str, x: Tensor, dim: int | None, keepdim: bool, largest: bool) -> Any:
    if dim is None:
        _require_elements(name, x.shape, tuple(range(x.ndim)))
        return record(EXTREMUM, (x,), over=tuple(range(x.ndim)), keepdim=keepdim, largest=largest)
    at = axis(name, dim, x.ndim)
    _require_elements(name, x.shape, (at,) if x.ndim else ())
    return Extrema(*record(PICK, (x,), dim=at, keepdim=keepdim, largest=largest))


def _require_elements(name: str, shape: tuple[int, ...], over: tuple[int, ...]) -> None:
    if builtins.any(shape[i] == 0 for i in over):
        raise ValueError(f"{name}: a tensor of shape {shape} has no elements to choose from")


def max(x: Tensor, dim: Any = None, keepdim: bool = False) -> Any:
    """The largest element, or (values, indices) along an axis; with a Tensor for `dim`, `maximum`. NaN wins.

    Over everything, ties share the gradient; along an axis the first one takes it.

    Raises:
        ValueError: nothing to choose from. IndexError: the axis is out of range.
    """
    if isinstance(dim, Tensor):
        return maximum(x, dim)
    return _extreme("max", x, dim, keepdim, True)


def min(x: Tensor, dim: Any = None, keepdim: bool = False) -> Any:
    """The smallest element, or (values, indices) along an axis; as `max`."""
    if isinstance(dim, Tensor):
        return minimum(x, dim)
    return _extreme("min", x, dim, keepdim, False)


def amax(x: Tensor, dim: Dims = None, keepdim: bool = False) -> Tensor:
    """The largest elements over axes; ties share the gradient. Arguments and errors as `sum` and `max`."""
    over = axes("amax", dim, x.ndim)
    _require_elements("amax", x.shape, over)
    return record(EXTREMUM, (x,), over=over, keepdim=keepdim, largest=True)


def amin(x: Tensor, dim: Dims = None, keepdim: bool = False) -> Tensor:
    """The smallest elements over axes; as `amax`."""
    over = axes("amin", dim, x.ndim)
    _require_elements("amin", x.shape, over)
    return record(EXTREMUM, (x,), over=over, keepdim=keepdim, largest=False)


def _arg_forward(x: Array, dim: int | None, keepdim: bool, largest: bool) -> tuple[Array, tuple]:
    return np.asarray((np.argmax if largest else np.argmin)(x, axis=dim, keepdims=keepdim)), ()


_ARG = Operation("arg_extremum", _arg_forward, None)


def _position(name: str, x: Tensor, dim: int | None, keepdim: bool, largest: bool) -> Tensor:
    at = None if dim is None or not x.ndim else axis(name, dim, x.ndim)
    _require_elements(name, x.shape, tuple(range(x.ndim)) if at is None else (at,))
    return record(_ARG, (x,), dim=at, keepdim=keepdim and x.ndim > 0, largest=largest)


def argmax(x: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """The position of the first largest element (flat, or along an axis), int64; NaN counts as largest."""
    return _position("argmax", x, dim, keepdim, True)


def argmin(x: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """The position of the first smallest element; as `argmax`."""
    return _position("argmin", x, dim, keepdim, False)


def _any_forward(x: Array, over: tuple[int, ...], keepdim: bool, every: bool) -> tuple[Array, tuple]:
    return np.asarray((np.all if every else np.any)(x, axis=over, keepdims=keepdim)), ()


_ANY = Operation("any_all", _any_forward, None)


def any(x: Tensor, dim: Dims = None, keepdim: bool = False) -> Tensor:
    """Whether some element is true (not zero), overall or along axes. Arguments as `sum`."""
    return record(_ANY, (x,), over=axes("any", dim, x.ndim), keepdim=keepdim, every=False)


def all(x: Tensor, dim: Dims = None, keepdim: bool = False) -> Tensor:
    """Whether all elements are true (not zero), overall or along axes. Arguments as `sum`."""
    return record(_ANY, (x,), over=axes("all", dim, x.ndim), keepdim=keepdim, every=True)
