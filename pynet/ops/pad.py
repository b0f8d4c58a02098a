"""Padding: constants around an array, or its own values reflected, repeated or wrapped around."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from pynet.autograd import Operation, Tensor, record
from pynet.ops._backend import Array, backend, empty, integer, require_floats, zeros
from pynet.ops.resample import Matrix, Taps, apply, gather

MODES = ("constant", "reflect", "replicate", "circular")
_NUMPY = {"reflect": "reflect", "replicate": "edge", "circular": "wrap"}
Widths = tuple[tuple[int, int], ...]


@lru_cache(maxsize=256)
def axis_matrix(size: int, before: int, after: int, mode: str, dtype: np.dtype) -> Matrix:
    """Which element each padded position of an axis copies; negative widths take elements away."""
    wide = max(before, 0), max(after, 0)
    if wide == (0, 0):
        source = np.arange(size)
    else:
        source = np.pad(np.arange(size), wide, mode=_NUMPY[mode])  # type: ignore[call-overload]
    return gather(size, source[max(-before, 0) : len(source) - max(-after, 0)], dtype)


def _along(x: Array, taps: Taps, axis: int) -> Array:
    """A matrix applied to one axis of an array of any rank."""
    outer, inner = math.prod(x.shape[:axis]), math.prod(x.shape[axis + 1 :])
    size = x.shape[axis]
    image = np.ascontiguousarray(x).reshape(outer, 1, size, inner).transpose(0, 3, 1, 2)
    one = axis_matrix(1, 0, 0, "constant", x.dtype).forward
    out = backend(x).resample(image, one, taps).transpose(0, 2, 3, 1)
    return out.reshape(*x.shape[:axis], len(taps[0]) - 1, *x.shape[axis + 1 :])


def _apply(x: Array, matrices: list[Matrix | None], transposed: bool) -> Array:
    taps = [None if m is None else m[transposed] for m in matrices]
    if x.ndim == 4 and taps[0] is None and taps[1] is None:
        rows, columns = (
            t if t is not None else axis_matrix(n, 0, 0, "constant", x.dtype).forward
            for n, t in zip(x.shape[2:], taps[2:], strict=True)
        )
        return apply(x, rows, columns)
    for axis, t in enumerate(taps):
        if t is not None:
            x = _along(x, t, axis)
    return x


def matrices(shape: tuple[int, ...], widths: Widths, mode: str, dtype: np.dtype) -> list[Matrix | None]:
    """A matrix for each axis that is padded."""
    return [
        None if w == (0, 0) else axis_matrix(n, *w, mode, dtype) for n, w in zip(shape, widths, strict=True)
    ]


def inner(shape: tuple[int, ...], widths: Widths) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """Where the elements that stay lie, in the array and in the padded one."""
    here = tuple(slice(max(-b, 0), n - max(-a, 0)) for n, (b, a) in zip(shape, widths, strict=True))
    there = tuple(
        slice(max(b, 0), max(b, 0) + s.stop - s.start) for s, (b, _) in zip(here, widths, strict=True)
    )
    return here, there


def _forward(x: Array, widths: Widths, mode: str, value: float) -> tuple[Array, tuple]:
    if mode != "constant":
        return _apply(x, matrices(x.shape, widths, mode, x.dtype), False), (x.shape,)
    out = empty(tuple(n + b + a for n, (b, a) in zip(x.shape, widths, strict=True)), x.dtype)
    here, there = inner(x.shape, widths)
    out.fill(value)
    out[there] = x[here]
    return out, (x.shape,)


def _backward(dout: Array, saved: tuple, needs: tuple, widths: Widths, mode: str, value: float) -> tuple:
    shape = saved[0]
    if mode != "constant":
        return (_apply(dout, matrices(shape, widths, mode, dout.dtype), True),)
    here, there = inner(shape, widths)
    if all(b >= 0 and a >= 0 for b, a in widths):
        return (dout[there],)
    dx = zeros(shape, dout.dtype)
    dx[here] = dout[there]
    return (dx,)


PAD = Operation("pad", _forward, _backward)


def pad(input: Tensor, pad: Sequence[int], mode: str = "constant", value: float | None = None) -> Tensor:
    """More elements at the ends of the last axes; negative widths take elements away.

    Args:
        input: any shape; floats in the modes other than "constant".
        pad: pairs (before, after), the last axis first: (left, right, top, bottom) for maps.
        mode: "constant", "reflect" (without the edge), "replicate" or "circular".
        value: for "constant", default 0.
    Raises:
        ValueError: more pairs than axes, nothing left of an axis, reflect or circular widths that reach
        beyond the
            elements, an unknown mode, or a value in another mode than "constant".
        TypeError: a width that is no int.
    """
    if not isinstance(pad, (tuple, list)):
        raise TypeError(f"pad: the widths must be a tuple of ints, got {type(pad).__name__} {pad!r}")
    given = tuple(integer("pad", "a width", n) for n in pad)
    if len(given) % 2 or len(given) // 2 > input.ndim:
        raise ValueError(
            f"pad: widths {given} must be pairs (before, after) for at most {input.ndim} axes, the last first"
        )
    if mode not in MODES:
        raise ValueError(f"pad: unknown mode {mode!r}; choose one of {', '.join(MODES)}")
    if mode != "constant":
        if value is not None:
            raise ValueError(f"pad: mode {mode} takes no value, got {value!r}; leave it out")
        require_floats("pad", input=input)
    pairs = [(given[i], given[i + 1]) for i in range(0, len(given), 2)]
    widths = (*((0, 0),) * (input.ndim - len(pairs)), *reversed(pairs))
    for n, (before, after) in zip(input.shape, widths, strict=True):
        _check(n, before, after, mode, input.shape)
    return record(PAD, (input,), widths=widths, mode=mode, value=0.0 if value is None else value)


def _check(n: int, before: int, after: int, mode: str, shape: tuple[int, ...]) -> None:
    if (before, after) == (0, 0):
        return
    left = n + min(before, 0) + min(after, 0)
    if left < 0 or n + before + after < 0:
        raise ValueError(
            f"pad: widths {(before, after)} take more than the {n} elements of an axis of {shape}"
        )
    largest = max(before, after)
    limit: Any = {"reflect": n - 1, "circular": n, "replicate": largest if n else 0}.get(mode, largest)
    if largest > limit:
        raise ValueError(
            f"pad: mode {mode} allows at most {limit} for an axis of size {n}, got {(before, after)}"
        )
