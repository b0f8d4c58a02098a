"""Shapes: reshape, axes, joining and splitting, flipping.

What NumPy can show as a view is a view that shares memory and version with its source; the rest is copied.
Since maps lie channels-innermost in memory, `view` copies like `reshape` where PyTorch would refuse.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from pynet.autograd import Operation, Tensor, record
from pynet.ops._backend import Array, axes, axis, backend, c_order, empty, integer, refuse_mixed, tensor_of

# --- reshape --------------------------------------------------------------------------------------


def _reshape_forward(x: Array, shape: tuple[int, ...]) -> tuple[Array, tuple]:
    have = x.shape
    # Images as rows are no view of maps in kernel order, and NumPy takes ten times as long to copy them.
    maps = x.ndim == 4 and x.strides[1] == x.itemsize and have[1] > 1 and have[2] * have[3] > 1
    if maps and len(shape) in (1, 2) and shape[0] in (have[0], x.size):
        x = c_order(x)
    return x.reshape(shape), (have,)


def _reshape_backward(dout: Array, saved: tuple, needs: tuple, shape: tuple[int, ...]) -> tuple:
    return (dout.reshape(saved[0]),)


RESHAPE = Operation("reshape", _reshape_forward, _reshape_backward, view=True)


def sizes_of(name: str, shape: tuple[Any, ...]) -> tuple[int, ...]:
    """Sizes given one by one or as one sequence."""
    if len(shape) == 1 and isinstance(shape[0], (tuple, list)):
        shape = tuple(shape[0])
    return tuple([n if type(n) is int else integer(name, "a size", n) for n in shape])


def reshape(x: Tensor, *shape: Any) -> Tensor:
    """The elements in C order under another shape; a view where memory allows, else a copy.

    Args:
        x: any shape.
        shape: sizes, or one tuple of them; one may be -1 and follows from the rest.
    Raises:
        ValueError: the sizes do not fit. TypeError: a size that is no int.
    """
    wanted = sizes_of("reshape", shape)
    have, known, free = math.prod(x.shape), 1, 0
    for n in wanted:
        if n >= 0:
            known *= n
        else:
            free -= n
    if free > 1:
        raise ValueError(f"reshape: sizes must be >= 0 and at most one -1, got {wanted}")
    if (known != have) if free == 0 else (known == 0 or have % known):
        raise ValueError(f"reshape: {x.shape} has {have} elements, which do not fit into {wanted}")
    if free:
        wanted = tuple([have // known if n < 0 else n for n in wanted])
    return record(RESHAPE, (x,), shape=wanted)


def view(x: Tensor, *shape: Any) -> Tensor:
    """As `reshape`; copies where the memory order asks for it. A dtype is refused: use `to`."""
    return reshape(x, *shape)


def flatten(x: Tensor, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """Axes start_dim to end_dim as one, in the order (N, C, H, W).

    Args:
        x: any shape; 0-d gives one element.
        start_dim, end_dim: first and last axis, both included.
    """
    first, last = axis("flatten", start_dim, x.ndim), axis("flatten", end_dim, x.ndim)
    if first > last:
        raise ValueError(f"flatten: start_dim {start_dim} comes after end_dim {end_dim}; swap them")
    xs = x.shape
    return reshape(x, (*xs[:first], math.prod(xs[first : last + 1]), *xs[last + 1 :]))


def unflatten(x: Tensor, dim: int, sizes: Sequence[int]) -> Tensor:
    """Axis dim as several; one of the sizes may be -1."""
    at = axis("unflatten", dim, x.ndim)
    wanted = tuple(sizes)
    if -1 in wanted:
        known = math.prod(n for n in wanted if n != -1)
        if wanted.count(-1) > 1 or known == 0 or x.shape[at] % known:
            raise ValueError(f"unflatten: axis {at} of size {x.shape[at]} does not fit into {wanted}")
        wanted = tuple(x.shape[at] // known if n == -1 else n for n in wanted)
    if math.prod(wanted) != x.shape[at]:
        raise ValueError(f"unflatten: axis {at} of size {x.shape[at]} does not fit into {wanted}")
    return reshape(x, (*x.shape[:at], *wanted, *x.shape[at + 1 :]))


def squeeze(x: Tensor, dim: int | Sequence[int] | None = None) -> Tensor:
    """Without axes of size 1: all of them, or those named (which stay when they are larger)."""
    xs = x.shape
    chosen = axes("squeeze", dim, len(xs))
    return record(RESHAPE, (x,), shape=tuple(n for i, n in enumerate(xs) if n != 1 or i not in chosen))


def unsqueeze(x: Tensor, dim: int) -> Tensor:
    """With a new axis of size 1 at dim."""
    at = axis("unsqueeze", dim, x.ndim + 1)
    return record(RESHAPE, (x,), shape=(*x.shape[:at], 1, *x.shape[at:]))


# --- order of axes --------------------------------------------------------------------------------


def _permute_forward(x: Array, dims: tuple[int, ...]) -> tuple[Array, tuple]:
    return x.transpose(dims), ()


def _permute_backward(dout: Array, saved: tuple, needs: tuple, dims: tuple[int, ...]) -> tuple:
    back = [0] * len(dims)
    for i, d in enumerate(dims):
        back[d] = i
    return (dout.transpose(back),)


PERMUTE = Operation("permute", _permute_forward, _permute_backward, view=True)


def permute(x: Tensor, *dims: Any) -> Tensor:
    """The axes in another order, as a view.

    Args:
        x: any shape.
        dims: every axis once, as ints or one tuple.
    Raises:
        ValueError: not every axis once. IndexError: out of range.
    """
    wanted = tuple(axis("permute", d, x.ndim) for d in sizes_of("permute", dims))
    if sorted(wanted) != list(range(x.ndim)):
        raise ValueError(f"permute: {dims} must name each of the {x.ndim} axes of {x.shape} once")
    return record(PERMUTE, (x,), dims=wanted)


def transpose(x: Tensor, dim0: int, dim1: int) -> Tensor:
    """Two axes exchanged, as a view."""
    first, second = axis("transpose", dim0, x.ndim), axis("transpose", dim1, x.ndim)
    dims = list(range(x.ndim))
    if dims:
        dims[first], dims[second] = second, first
    return record(PERMUTE, (x,), dims=tuple(dims))


def t(x: Tensor) -> Tensor:
    """All axes reversed, as a view: the transpose of a matrix."""
    return record(PERMUTE, (x,), dims=tuple(range(x.ndim - 1, -1, -1)))


def _flip_forward(x: Array, dims: tuple[int, ...]) -> tuple[Array, tuple]:
    return np.flip(x, dims).copy(order="K"), ()


def _flip_backward(dout: Array, saved: tuple, needs: tuple, dims: tuple[int, ...]) -> tuple:
    return (np.flip(dout, dims).copy(order="K"),)


FLIP = Operation("flip", _flip_forward, _flip_backward)


def flip(x: Tensor, dims: int | Sequence[int]) -> Tensor:
    """The elements along the given axes in reverse, copied."""
    return record(FLIP, (x,), dims=axes("flip", dims, x.ndim))


# --- expand ---------------------------------------------------------------------------------------


def _expand_forward(x: Array, shape: tuple[int, ...]) -> tuple[Array, tuple]:
    return np.broadcast_to(x, shape), (x.shape,)


def _expand_backward(dout: Array, saved: tuple, needs: tuple, shape: tuple[int, ...]) -> tuple:
    xs = saved[0]
    lead = dout.ndim - len(xs)
    stretched = tuple(i + lead for i, n in enumerate(xs) if n == 1 and dout.shape[i + lead] != 1)
    if not lead and not stretched:
        return (dout,)
    return (backend(dout).sum(dout, (*range(lead), *stretched), True).reshape(xs),)


EXPAND = Operation("expand", _expand_forward, _expand_backward, view=True)


def expand(x: Tensor, *shape: Any) -> Tensor:
    """Axes of size 1 repeated, as a read-only view; new axes come first.

    Args:
        x: any shape.
        shape: the sizes wanted, ints or one tuple; -1 keeps a size.
    Raises:
        ValueError: an axis that is not 1 would change.
    """
    wanted = list(sizes_of("expand", shape))
    lead = len(wanted) - x.ndim
    for i, n in enumerate(x.shape):
        if lead >= 0 and wanted[i + lead] == -1:
            wanted[i + lead] = n
    if (
        lead < 0
        or any(n < 0 for n in wanted)
        or any(n not in (1, w) for n, w in zip(x.shape, wanted[lead:], strict=True))
    ):
        raise ValueError(
            f"expand: {x.shape} cannot become {tuple(wanted)}; only axes of size 1 can be repeated"
        )
    return record(EXPAND, (x,), shape=tuple(wanted))


# --- join and split -------------------------------------------------------------------------------


def _tensors(name: str, tensors: Any) -> list[Tensor]:
    if isinstance(tensors, Tensor) or not isinstance(tensors, (list, tuple)):
        raise TypeError(f"{name}: expected a list or tuple of Tensors, got {type(tensors).__name__}")
    found = [tensor_of(x) for x in tensors]
    if not found:
        raise ValueError(f"{name}: no tensors given; pass at least one")
    for x in found[1:]:
        if x.dtype != found[0].dtype:
            refuse_mixed(name, found[0].dtype, x.dtype)
    return found


def _cat_forward(*arrays: Array, dim: int) -> tuple[Array, tuple]:
    sizes = [a.shape[dim] for a in arrays]
    shape = list(arrays[0].shape)
    shape[dim] = sum(sizes)
    # np.concatenate would give C order unless told where to write.
    out = empty(tuple(shape), arrays[0].dtype)
    np.concatenate(arrays, axis=dim, out=out)
    return out, (sizes,)


def _cat_backward(dout: Array, saved: tuple, needs: tuple, dim: int) -> tuple:
    parts = np.split(dout, np.cumsum(saved[0])[:-1], axis=dim)
    return tuple(p if need else None for p, need in zip(parts, needs, strict=True))


CAT = Operation("cat", _cat_forward, _cat_backward)


def cat(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """Tensors one after another along an axis.

    Args:
        tensors: at least one; equal shapes but for `dim`, equal dtypes.
        dim: the axis.
    Raises:
        ValueError: none given, or shapes differ elsewhere. TypeError: dtypes differ.
    """
    found = _tensors("cat", tensors)
    first = found[0].shape
    if not first:
        raise ValueError("cat: 0-d tensors have no axis to join; use stack")
    at = axis("cat", dim, len(first))
    for x in found[1:]:
        if len(x.shape) != len(first) or any(
            n != m for i, (n, m) in enumerate(zip(x.shape, first, strict=True)) if i != at
        ):
            raise ValueError(
                f"cat: shapes {first} and {x.shape} differ in more than axis {at}; make the rest equal"
            )
    return record(CAT, tuple(found), dim=at)


concatenate = cat


def stack(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """Equally shaped tensors along a new axis.

    Raises:
        ValueError: none given, or shapes differ.
    """
    found = _tensors("stack", tensors)
    for x in found[1:]:
        if x.shape != found[0].shape:
            raise ValueError(f"stack: shapes {found[0].shape} and {x.shape} differ; make them equal")
    at = axis("stack", dim, found[0].ndim + 1)
    return cat([unsqueeze(x, at) for x in found], at)


def _split_forward(x: Array, sizes: tuple[int, ...], dim: int) -> tuple[tuple[Array, ...], tuple]:
    return tuple(np.split(x, np.cumsum(sizes)[:-1], axis=dim)), ()


def _split_backward(dout: tuple, saved: tuple, needs: tuple, sizes: tuple[int, ...], dim: int) -> tuple:
    return (_cat_forward(*dout, dim=dim)[0],)


SPLIT = Operation("split", _split_forward, _split_backward, view=True)


def split(x: Tensor, split_size: int | Sequence[int], dim: int = 0) -> tuple[Tensor, ...]:
    """Parts along an axis, as views.

    Args:
        x: at least one axis.
        split_size: the size of each part (the last may be smaller), or a list of sizes.
        dim: the axis.
    Raises:
        ValueError: a size below 1, or sizes that do not add up.
    """
    at = axis("split", dim, x.ndim)
    if not x.ndim:
        raise ValueError("split: a 0-d tensor has no axis to split")
    total = x.shape[at]
    if isinstance(split_size, (list, tuple)):
        sizes = tuple(integer("split", "a size", n) for n in split_size)
        if any(n < 0 for n in sizes) or sum(sizes) != total or not sizes:
            raise ValueError(
                f"split: sizes {sizes} do not add up to {total}, the size of axis {at} of {x.shape}"
            )
    else:
        size = integer("split", "split_size", split_size)
        if size < 1:
            raise ValueError(f"split: split_size must be at least 1, got {size}")
        sizes = tuple(min(size, total - start) for start in range(0, total, size)) or (0,)
    return record(SPLIT, (x,), sizes=sizes, dim=at)


def chunk(x: Tensor, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
    """At most `chunks` equal parts along an axis (the last may be smaller), as views."""
    count = integer("chunk", "chunks", chunks)
    if count < 1:
        raise ValueError(f"chunk: chunks must be at least 1, got {count}")
    at = axis("chunk", dim, x.ndim)
    size = -(-x.shape[at] // count) if x.ndim else 1
    return split(x, max(size, 1), at)


def unbind(x: Tensor, dim: int = 0) -> tuple[Tensor, ...]:
    """The entries along an axis, as views without that axis."""
    at = axis("unbind", dim, x.ndim)
    return tuple(squeeze(part, at) for part in split(x, 1, at)) if x.shape[at] else ()
