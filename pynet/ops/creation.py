"""Tensors from nothing: constants, ranges and random numbers. float32 unless asked otherwise."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from pynet.autograd import Tensor, tensor, wrap
from pynet.devices import on_cpu
from pynet.ops._backend import FLOAT32, Array, backend, integer, number
from pynet.ops._backend import empty as _empty
from pynet.ops._backend import zeros as _zeros
from pynet.random import Generator, default_generator, numpy_generator

_LIMIT = 2**63 - 1


def _shape(name: str, sizes: tuple[Any, ...], dtype: np.dtype) -> tuple[int, ...]:
    if len(sizes) == 1 and isinstance(sizes[0], (tuple, list)):
        sizes = tuple(sizes[0])
    shape = tuple(integer(name, "a size", n) for n in sizes)
    if any(n < 0 for n in shape):
        raise ValueError(f"{name}: sizes must not be negative, got {shape}")
    if math.prod(shape) * dtype.itemsize > _LIMIT:
        raise ValueError(
            f"{name}: {shape} of {dtype} is larger than 64-bit sizes can count; use smaller sizes"
        )
    return shape


def _dtype(name: str, dtype: Any) -> np.dtype:
    found = FLOAT32 if dtype is None else np.dtype(dtype)
    if found.kind not in "biuf" or (found.kind == "f" and found.itemsize not in (4, 8)):
        raise TypeError(f"{name}: a Tensor is float32, float64, integer or bool, not {found}; use float32")
    return found


def empty(*size: Any, dtype: Any = None, requires_grad: bool = False, device: Any = None) -> Tensor:
    """A Tensor with arbitrary contents.

    Args:
        size: sizes, or one tuple of them.
        dtype: default float32.
        requires_grad: as for `Tensor`.
        device: None or "cpu".
    Raises:
        ValueError: negative sizes, or more than 64 bits can count. TypeError: a size that is no int.
    """
    on_cpu("empty", device)
    found = _dtype("empty", dtype)
    return wrap(_empty(_shape("empty", size, found), found), requires_grad)


def zeros(*size: Any, dtype: Any = None, requires_grad: bool = False, device: Any = None) -> Tensor:
    """Zeros; arguments and errors as `empty`."""
    on_cpu("zeros", device)
    found = _dtype("zeros", dtype)
    return wrap(_zeros(_shape("zeros", size, found), found), requires_grad)


def ones(*size: Any, dtype: Any = None, requires_grad: bool = False, device: Any = None) -> Tensor:
    """Ones; arguments and errors as `empty`."""
    on_cpu("ones", device)
    found = _dtype("ones", dtype)
    array = _empty(_shape("ones", size, found), found)
    array.fill(1)
    return wrap(array, requires_grad)


def full(
    size: Any, fill_value: float, dtype: Any = None, requires_grad: bool = False, device: Any = None
) -> Tensor:
    """One number everywhere.

    Args:
        size: an int or a tuple of sizes.
        fill_value: the number; its kind gives the dtype (float32, int64 or bool) when none is given.
        dtype, requires_grad, device: as for `empty`.
    """
    on_cpu("full", device)
    found = tensor(fill_value).dtype if dtype is None else _dtype("full", dtype)
    if found.kind == "f" and dtype is None:
        found = FLOAT32
    array = _empty(_shape("full", (size,), found), found)
    array.fill(fill_value)
    return wrap(array, requires_grad)


def _like(x: Tensor, dtype: Any, device: Any) -> Array:
    # Keeps the memory order of x.
    on_cpu("like", device)
    return np.empty_like(x.array, dtype=None if dtype is None else _dtype("like", dtype))


def empty_like(x: Tensor, dtype: Any = None, requires_grad: bool = False, device: Any = None) -> Tensor:
    """A Tensor of x's shape and memory order, and dtype unless one is given, with arbitrary contents."""
    return wrap(_like(x, dtype, device), requires_grad)


def full_like(
    x: Tensor, fill_value: float, dtype: Any = None, requires_grad: bool = False, device: Any = None
) -> Tensor:
    """One number in x's shape, memory order and dtype."""
    array = _like(x, dtype, device)
    array.fill(fill_value)
    return wrap(array, requires_grad)


def zeros_like(x: Tensor, dtype: Any = None, requires_grad: bool = False, device: Any = None) -> Tensor:
    """Zeros in x's shape, memory order and dtype."""
    return full_like(x, 0, dtype, requires_grad, device)


def ones_like(x: Tensor, dtype: Any = None, requires_grad: bool = False, device: Any = None) -> Tensor:
    """Ones in x's shape, memory order and dtype."""
    return full_like(x, 1, dtype, requires_grad, device)


def arange(
    start: float,
    end: float | None = None,
    step: float = 1,
    dtype: Any = None,
    requires_grad: bool = False,
    device: Any = None,
) -> Tensor:
    """start, start + step, ... below end; with one argument 0, 1, ... below it.

    int64 from ints, float32 where one is a float.

    Raises:
        ValueError: step is 0 or leads away from end. TypeError: not numbers.
    """
    on_cpu("arange", device)
    if end is None:
        start, end = 0, start
    start, end, step = (
        number("arange", name, v) for name, v in (("start", start), ("end", end), ("step", step))
    )
    if step == 0:
        raise ValueError("arange: step must not be 0")
    if (end - start) * step < 0:
        raise ValueError(f"arange: step {step} leads away from end: start is {start}, end {end}")
    if dtype is None:
        dtype = np.int64 if all(isinstance(v, (int, np.integer)) for v in (start, end, step)) else FLOAT32
    return wrap(np.arange(start, end, step, dtype=_dtype("arange", dtype)), requires_grad)


def linspace(
    start: float,
    end: float,
    steps: int,
    dtype: Any = None,
    requires_grad: bool = False,
    device: Any = None,
) -> Tensor:
    """`steps` evenly spaced numbers from start to end, both included."""
    on_cpu("linspace", device)
    count = integer("linspace", "steps", steps)
    if count < 0:
        raise ValueError(f"linspace: steps must not be negative, got {count}")
    return wrap(np.linspace(start, end, count).astype(_dtype("linspace", dtype)), requires_grad)


def eye(
    n: int, m: int | None = None, dtype: Any = None, requires_grad: bool = False, device: Any = None
) -> Tensor:
    """An (n, m) matrix with ones on the diagonal; m defaults to n."""
    on_cpu("eye", device)
    found = _dtype("eye", dtype)
    shape = _shape("eye", (n, n if m is None else m), found)
    return wrap(np.eye(*shape, dtype=found), requires_grad)


def one_hot(labels: Any, num_classes: int = -1) -> Tensor:
    """Integer labels (...) as int64 (..., num_classes) with a one at each label.

    Raises:
        IndexError: a label out of range. TypeError: labels that are no integers.
    """
    array = labels.array if isinstance(labels, Tensor) else np.asarray(labels)
    if array.dtype.kind not in "iu":
        raise TypeError(
            f"one_hot: labels must be integers, got {array.dtype}; convert them with .to(np.int64)"
        )
    count = (int(array.max()) + 1 if array.size else 0) if num_classes == -1 else num_classes
    if array.size and (array.min() < 0 or array.max() >= count):
        wrong = array[(array < 0) | (array >= count)][0]
        raise IndexError(f"one_hot: label {wrong} is out of range for {count} classes")
    out = np.zeros((*array.shape, count), np.int64)
    np.put_along_axis(out, array[..., None].astype(np.int64), 1, -1)
    return wrap(out)


# --- random ---------------------------------------------------------------------------------------


def _drawn(
    kind: str, shape: tuple[int, ...], dtype: np.dtype, a: float, b: float, generator: Generator | None
) -> Array:
    if dtype.kind != "f":
        raise TypeError(
            f"{kind}: random numbers are float32 or float64, not {dtype}; use randint for integers"
        )
    source = default_generator if generator is None else generator
    draw = getattr(backend(np.empty(0, dtype)), kind)
    return draw(shape, a, b, source.seed, source.next_offset()).astype(dtype, copy=False)


def drawn_like(x: Tensor, kind: str, a: float, b: float) -> Array:
    """Random numbers for x, from the default generator."""
    return _drawn(kind, x.shape, x.dtype, a, b, None)


def rand(
    *size: Any,
    dtype: Any = None,
    requires_grad: bool = False,
    generator: Generator | None = None,
    device: Any = None,
) -> Tensor:
    """Uniform numbers in [0, 1).

    Args:
        size: sizes, or one tuple of them.
        dtype: float32 (default) or float64.
        requires_grad: as for `Tensor`.
        generator: where the stream comes from; None for the default generator.
        device: None or "cpu".
    """
    on_cpu("rand", device)
    found = _dtype("rand", dtype)
    return wrap(
        _drawn("random_uniform", _shape("rand", size, found), found, 0.0, 1.0, generator), requires_grad
    )


def randn(
    *size: Any,
    dtype: Any = None,
    requires_grad: bool = False,
    generator: Generator | None = None,
    device: Any = None,
) -> Tensor:
    """Numbers from the standard normal distribution; arguments as `rand`."""
    on_cpu("randn", device)
    found = _dtype("randn", dtype)
    return wrap(
        _drawn("random_normal", _shape("randn", size, found), found, 0.0, 1.0, generator), requires_grad
    )


def rand_like(
    x: Tensor,
    dtype: Any = None,
    requires_grad: bool = False,
    generator: Generator | None = None,
    device: Any = None,
) -> Tensor:
    """Uniform numbers in [0, 1), in x's shape and dtype; arguments as `rand`."""
    found = _dtype("rand_like", x.dtype if dtype is None else dtype)
    on_cpu("rand_like", device)
    return wrap(_drawn("random_uniform", x.shape, found, 0.0, 1.0, generator), requires_grad)


def randn_like(
    x: Tensor,
    dtype: Any = None,
    requires_grad: bool = False,
    generator: Generator | None = None,
    device: Any = None,
) -> Tensor:
    """Numbers from the standard normal distribution, in x's shape and dtype; arguments as `rand`."""
    found = _dtype("randn_like", x.dtype if dtype is None else dtype)
    on_cpu("randn_like", device)
    return wrap(_drawn("random_normal", x.shape, found, 0.0, 1.0, generator), requires_grad)


def randint(
    low: int,
    high: Any = None,
    size: Any = None,
    dtype: Any = None,
    generator: Generator | None = None,
    device: Any = None,
) -> Tensor:
    """Integers from low to high - 1, int64: `randint(low, high, size)` or `randint(high, size)`.

    Raises:
        ValueError: high is not above low.
    """
    on_cpu("randint", device)
    if size is None:
        low, high, size = 0, low, high
    low, high = integer("randint", "low", low), integer("randint", "high", high)
    if high <= low:
        raise ValueError(f"randint: high must exceed low, got low={low}, high={high}")
    found = np.dtype(np.int64) if dtype is None else _dtype("randint", dtype)
    shape = _shape("randint", (size,), found)
    return wrap(numpy_generator(generator).integers(low, high, shape).astype(found, copy=False))


def randperm(n: int, generator: Generator | None = None, device: Any = None) -> Tensor:
    """0 to n - 1 in random order, int64."""
    on_cpu("randperm", device)
    count = integer("randperm", "n", n)
    if count < 0:
        raise ValueError(f"randperm: n must not be negative, got {count}")
    return wrap(numpy_generator(generator).permutation(count).astype(np.int64, copy=False))


def bernoulli(x: Tensor, generator: Generator | None = None) -> Tensor:
    """1 with the probability that each element of x gives, else 0, in x's shape and dtype, without gradient.

    Raises:
        ValueError: a probability outside [0, 1].
    """
    chances = x.array
    if not ((chances >= 0) & (chances <= 1)).all():
        raise ValueError("bernoulli: probabilities must lie in [0, 1]")
    drawn = _drawn("random_uniform", x.shape, x.dtype, 0.0, 1.0, generator)
    return wrap((drawn < chances).astype(x.dtype))


def normal(
    mean: Any = 0.0,
    std: Any = 1.0,
    size: Any = None,
    dtype: Any = None,
    requires_grad: bool = False,
    generator: Generator | None = None,
) -> Tensor:
    """Numbers from normal distributions, one for each mean and deviation, or of a given size.

    Args:
        mean, std: Tensors that broadcast, or numbers; deviations not negative.
        size: a tuple, where both are numbers.
        dtype: float32 (default) or float64; Tensors have their own.
        requires_grad, generator: as for `rand`.
    Raises:
        ValueError: a negative deviation, or no size.
    """
    given = [v.array for v in (mean, std) if isinstance(v, Tensor)]
    if not given and size is None:
        raise ValueError("normal: pass a size, or Tensors for mean and std")
    found = given[0].dtype if given else _dtype("normal", dtype)
    center, width = (v.array if isinstance(v, Tensor) else np.asarray(v, found) for v in (mean, std))
    if (width < 0).any():
        raise ValueError(f"normal: std must not be negative, got {std}")
    shape = np.broadcast_shapes(center.shape, width.shape) if given else _shape("normal", (size,), found)
    drawn = _drawn("random_normal", shape, found, 0.0, 1.0, generator)
    return wrap(np.asarray(drawn * width + center, found), requires_grad)


def multinomial(
    x: Tensor, num_samples: int, replacement: bool = False, generator: Generator | None = None
) -> Tensor:
    """Classes drawn by weight: int64 (num_samples,) from a row of weights, (rows, num_samples) from several.

    Args:
        x: weights (C,) or (rows, C), not negative, not all zero; they need not sum to one.
        num_samples: how many to draw.
        replacement: whether a class may be drawn twice.
        generator: where the stream comes from; None for the default generator.
    Raises:
        ValueError: weights out of range, or fewer classes than draws without replacement.
    """
    weights = np.asarray(x.array, np.float64)
    count = integer("multinomial", "num_samples", num_samples)
    rows = weights[None] if weights.ndim == 1 else weights
    if (
        rows.ndim != 2
        or not np.isfinite(rows).all()
        or (rows < 0).any()
        or not rows.sum(1).all()
        or count < 1
    ):
        raise ValueError(
            f"multinomial: expected rows of weights >= 0, none of them all zero, and num_samples >= 1, got "
            f"shape {x.shape} and {num_samples}"
        )
    if not replacement and count > np.count_nonzero(rows, axis=1).min():
        raise ValueError(f"multinomial: {count} draws exceed the classes of positive weight; use replacement")
    source = numpy_generator(generator)
    drawn = [source.choice(rows.shape[1], count, replacement, row / row.sum()) for row in rows]
    found = np.asarray(drawn, np.int64)
    return wrap(found[0] if weights.ndim == 1 else found)
