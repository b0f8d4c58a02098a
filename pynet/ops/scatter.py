"""Values written to chosen places, and where tensors hold something: masks, positions, triangles."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from pynet.autograd import Operation, Tensor, record, wrap
from pynet.ops._backend import Array, axis, integer, refuse_mixed, tensor_of, zeros
from pynet.ops.arithmetic import constant, is_scalar, where
from pynet.ops.indexing import getitem
from pynet.ops.shape import expand

# --- scatter --------------------------------------------------------------------------------------


def _grid(index: Array, dim: int) -> tuple[Array, ...]:
    """Where index[i][j] along `dim` points in the target, as one index array an axis."""
    grid: list[Array] = list(np.indices(index.shape, sparse=True))
    grid[dim] = index
    return tuple(np.broadcast_arrays(*grid))


def _scatter_forward(x: Array, source: Array, index: Array, dim: int, add: bool) -> tuple[Array, tuple]:
    at = _grid(index, dim)
    out = x.copy(order="K")
    given = source[tuple(slice(n) for n in index.shape)]
    if add:
        np.add.at(out, at, given)
    else:
        out[at] = given
    return out, (at, source.shape)


def _scatter_backward(dout: Array, saved: tuple, needs: tuple, index: Array, dim: int, add: bool) -> tuple:
    at, shape = saved
    dx = dsource = None
    if needs[0]:
        dx = dout
        if not add:
            dx = dout.copy(order="K")
            dx[at] = 0
    if needs[1]:
        dsource = zeros(shape, dout.dtype)
        dsource[tuple(slice(n) for n in index.shape)] = dout[at]
    return dx, dsource


SCATTER = Operation("scatter", _scatter_forward, _scatter_backward)


def _scatter(name: str, x: Tensor, dim: int, index: Any, source: Any, add: bool) -> Tensor:
    x = tensor_of(x)
    at = axis(name, dim, x.ndim)
    places = tensor_of(index).array
    if places.dtype.kind not in "iu" or places.ndim != x.ndim:
        raise ValueError(
            f"{name}: index must be integers with {x.ndim} axes, got {places.dtype} {places.shape}"
        )
    if is_scalar(source):
        source = wrap(np.broadcast_to(constant(source, x).array, places.shape))
    source = tensor_of(source)
    if source.dtype != x.dtype:
        refuse_mixed(name, x.dtype, source.dtype)
    fits = len(source.shape) == places.ndim and all(
        n <= s and (i == at or n <= m)
        for i, (n, s, m) in enumerate(zip(places.shape, source.shape, x.shape, strict=True))
    )
    if not fits:
        raise ValueError(
            f"{name}: index {places.shape} must not exceed the source {source.shape}, nor x {x.shape} "
            f"elsewhere than in axis {at}"
        )
    if places.size and not (places.min() >= 0 and places.max() < x.shape[at]):
        raise IndexError(
            f"{name}: indices from {places.min()} to {places.max()} are out of range for axis {at} of size "
            f"{x.shape[at]}"
        )
    return record(SCATTER, (x, source), index=places.copy(), dim=at, add=add)


def scatter(x: Tensor, dim: int, index: Any, src: Any) -> Tensor:
    """A copy of x with x[index[i][j]][j] = src[i][j] for dim 0, and so on: the reverse of `gather`.

    Args:
        x: any shape.
        dim: the axis that the index picks from.
        index: integers with as many axes as x; where a place is named twice, one of its values stays, and
            gradients are right only where none is.
        src: a Tensor of x's dtype, at least as large as the index; or a number.
    Raises:
        ValueError: shapes do not fit. IndexError: out of range. TypeError: dtypes differ.
    """
    return _scatter("scatter", x, dim, index, src, False)


def scatter_add(x: Tensor, dim: int, index: Any, src: Any) -> Tensor:
    """As `scatter`, but adding: values for one place add up."""
    return _scatter("scatter_add", x, dim, index, src, True)


def index_add(x: Tensor, dim: int, index: Any, source: Tensor, alpha: float = 1) -> Tensor:
    """A copy of x with alpha * source[i] added to its entry index[i] along an axis; entries may repeat."""
    x, source, places = tensor_of(x), tensor_of(source), tensor_of(index)
    at = axis("index_add", dim, x.ndim)
    if places.ndim != 1 or places.shape[0] != source.shape[at]:
        raise ValueError(
            f"index_add: index {places.shape} must name one entry for each of the {source.shape[at]} in "
            f"axis {at} of the source"
        )
    shape = tuple(-1 if i == at else 1 for i in range(x.ndim))
    spread = np.broadcast_to(places.array.reshape(shape), source.shape)
    return _scatter("index_add", x, at, wrap(spread), source if alpha == 1 else source * alpha, True)


# --- masks ----------------------------------------------------------------------------------------


def _mask(name: str, mask: Any) -> Tensor:
    mask = tensor_of(mask)
    if mask.dtype.kind != "b":
        raise TypeError(f"{name}: the mask is {mask.dtype}, expected bool; compare it with something first")
    return mask


def masked_fill(x: Tensor, mask: Any, value: Any) -> Tensor:
    """x, but `value` where the mask is true, with broadcasting.

    Raises:
        TypeError: a mask that is not boolean.
    """
    value = value if isinstance(value, Tensor) else constant(value, x)
    return where(_mask("masked_fill", mask), value, x)


def masked_select(x: Tensor, mask: Any) -> Tensor:
    """The elements where the mask is true, as one row; x and the mask broadcast."""
    x, mask = tensor_of(x), _mask("masked_select", mask)
    shape = np.broadcast_shapes(x.shape, mask.shape)
    chosen = np.broadcast_to(mask.array, shape)
    return getitem(x if x.shape == shape else expand(x, *shape), chosen.copy())


def _triangle(name: str, text: str) -> Callable[..., Tensor]:
    function = getattr(np, name)

    def forward(x: Array, diagonal: int) -> tuple[Array, tuple]:
        return function(x, diagonal), ()

    def backward(dout: Array, saved: tuple, needs: tuple, diagonal: int) -> tuple:
        return (function(dout, diagonal),)

    operation = Operation(name, forward, backward)

    def apply(x: Tensor, diagonal: int = 0) -> Tensor:
        x = tensor_of(x)
        if x.ndim < 2:
            raise ValueError(f"{name}: expected at least two axes, got shape {x.shape}")
        return record(operation, (x,), diagonal=integer(name, "diagonal", diagonal))

    apply.__name__ = apply.__qualname__ = name
    apply.__doc__ = text
    return apply


tril = _triangle("tril", "The last two axes on and below a diagonal, zeros above; diagonal 1 is one higher.")
triu = _triangle("triu", "The last two axes on and above a diagonal, zeros below; diagonal 1 is one higher.")


# --- what is there --------------------------------------------------------------------------------


def nonzero(x: Tensor, as_tuple: bool = False) -> Any:
    """The positions of all elements that are not zero: int64 (count, axes), or one row an axis in a tuple."""
    found = tensor_of(x).array.nonzero()
    if as_tuple:
        return tuple(wrap(np.asarray(i, np.int64)) for i in found)
    return wrap(np.stack(found, axis=1).astype(np.int64) if found else np.zeros((0, 0), np.int64))


def count_nonzero(x: Tensor, dim: Any = None) -> Tensor:
    """How many elements are not zero, overall or along axes: int64."""
    x = tensor_of(x)
    over = tuple(dim) if isinstance(dim, (tuple, list)) else dim
    return wrap(np.asarray(np.count_nonzero(x.array, axis=over), np.int64))


def unique(
    x: Tensor,
    sorted: bool = True,
    return_inverse: bool = False,
    return_counts: bool = False,
    dim: int | None = None,
) -> Any:
    """The different elements in rising order, or the different entries along an axis.

    Args:
        x: any shape.
        sorted: accepted; the result is always in order.
        return_inverse: also give, for each element, its place in the result.
        return_counts: also give how often each occurs.
        dim: None for single elements.
    Returns:
        Tensor, or a tuple of (values, inverse, counts) without what was not asked for.
    """
    x = tensor_of(x)
    at = None if dim is None else axis("unique", dim, x.ndim)
    values, inverse, counts = np.unique(x.array, return_inverse=True, return_counts=True, axis=at)
    inverse = inverse.reshape(x.shape if at is None else -1)
    asked = [(values, True), (inverse, return_inverse), (counts, return_counts)]
    found = tuple(wrap(np.asarray(a)) for a, wanted in asked if wanted)
    return found if len(found) > 1 else found[0]


def bincount(x: Tensor, weights: Any = None, minlength: int = 0) -> Tensor:
    """How often each number 0, 1, ... occurs in a row of integers that are not negative, or sums of weights.

    Raises:
        ValueError: other shapes or numbers.
    """
    array = tensor_of(x).array
    if array.ndim != 1 or array.dtype.kind not in "iu" or (array.size and array.min() < 0):
        raise ValueError(
            f"bincount: expected one row of integers >= 0, got {array.dtype} of shape {array.shape}"
        )
    with_weights = None if weights is None else tensor_of(weights).array
    return wrap(np.bincount(array, with_weights, integer("bincount", "minlength", minlength)))
