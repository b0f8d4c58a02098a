"""Images at another size: nearest, linear, cubic and area interpolation; pixel shuffle."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np

from pynet.autograd import Operation, Tensor, record
from pynet.ops._backend import Array, empty, integer, require_floats
from pynet.ops.pool2d import adaptive_avg_pool2d
from pynet.ops.resample import Matrix, apply, gather, matrix
from pynet.ops.shape import reshape, squeeze, unsqueeze

_MODES: dict[int, tuple[str, ...]] = {3: ("nearest", "linear", "area", "nearest-exact")}
_MODES[4] = ("nearest", "bilinear", "bicubic", "area", "nearest-exact")
_SMOOTH = ("linear", "bilinear", "bicubic")
Scale = float | None


# --- matrices of one axis -------------------------------------------------------------------------


@lru_cache(maxsize=256)
def axis_matrix(
    size: int, outputs: int, mode: str, align_corners: bool, scale: Scale, antialias: bool, dtype: np.dtype
) -> Matrix:
    """The matrix (outputs, size) of one axis; `scale` is the factor where the caller fixed one."""
    if mode.startswith("nearest"):
        return gather(
            size, _nearest(size, outputs, 0.5 if mode == "nearest-exact" else 0.0, scale, dtype), dtype
        )
    if align_corners:
        step = (size - 1) / (outputs - 1) if outputs > 1 else 0.0
    else:
        step = 1 / scale if scale else size / outputs
    if antialias:
        return _antialiased(size, outputs, mode, step, dtype)
    at = np.arange(outputs) * step if align_corners else (np.arange(outputs) + 0.5) * step - 0.5
    if mode == "bicubic":
        low = np.floor(at)
        offsets, weights = np.arange(-1, 3), _cubic(at - low, -0.75)
    else:
        at = np.maximum(at, 0.0)
        low = np.minimum(np.floor(at), size - 1)
        part = np.minimum(at - low, 1.0)
        offsets, weights = np.arange(2), np.stack([1 - part, part], 1)
    positions = np.clip(low[:, None].astype(np.int64) + offsets, 0, size - 1)
    rows = np.repeat(np.arange(outputs), len(offsets))
    return matrix(size, rows, positions.reshape(-1), weights.reshape(-1), dtype)


def _nearest(size: int, outputs: int, offset: float, scale: Scale, dtype: np.dtype) -> Array:
    # In the images' precision, as PyTorch: at ties the rounding decides which element is taken.
    step = dtype.type(1 / scale) if scale else dtype.type(size) / dtype.type(outputs)
    at = (np.arange(outputs, dtype=dtype) + dtype.type(offset)) * step
    return np.minimum(np.floor(at.astype(np.float32)).astype(np.int64), size - 1)


def _cubic(part: Array, a: float) -> Array:
    """Keys' weights of the four neighbours at distances 1 + part, part, 1 - part, 2 - part."""

    def near(x: Array) -> Array:
        return ((a + 2) * x - (a + 3)) * x * x + 1

    def far(x: Array) -> Array:
        return ((a * x - 5 * a) * x + 8 * a) * x - 4 * a

    return np.stack([far(1 + part), near(part), near(1 - part), far(2 - part)], 1)


def _antialiased(size: int, outputs: int, mode: str, step: float, dtype: np.dtype) -> Matrix:
    """The filter is as wide as the step between outputs, so that every input counts when an image shrinks."""
    reach, stretch = (2.0 if mode == "bicubic" else 1.0), max(step, 1.0)
    rows, positions, weights = [], [], []
    for o in range(outputs):
        center = step * (o + 0.5)
        low = max(int(center - reach * stretch + 0.5), 0)
        high = min(int(center + reach * stretch + 0.5), size)
        taps = np.arange(low, high)
        x = np.abs((taps - center + 0.5) / stretch)
        if mode == "bicubic":
            a = -0.5
            near, far = ((a + 2) * x - (a + 3)) * x * x + 1, ((a * x - 5 * a) * x + 8 * a) * x - 4 * a
            found = np.where(x < 1, near, np.where(x < 2, far, 0.0))
        else:
            found = np.maximum(1 - x, 0.0)
        rows.append(np.full(len(taps), o))
        positions.append(taps)
        weights.append(found / found.sum())
    return matrix(size, np.concatenate(rows), np.concatenate(positions), np.concatenate(weights), dtype)


# --- interpolate ----------------------------------------------------------------------------------


def matrices(
    shape: tuple[int, ...], dtype: np.dtype, size: Any, scales: Any, **attributes: Any
) -> list[Matrix]:
    """The matrices of the rows and of the columns."""
    return [
        axis_matrix(n, o, scale=scale, dtype=dtype, **attributes)
        for n, o, scale in zip(shape[2:], size, scales, strict=True)
    ]


def _forward(x: Array, **attributes: Any) -> tuple[Array, tuple]:
    down, across = matrices(x.shape, x.dtype, **attributes)
    return apply(x, down.forward, across.forward), (x.shape,)


def _backward(dout: Array, saved: tuple, needs: tuple, **attributes: Any) -> tuple:
    down, across = matrices(saved[0], dout.dtype, **attributes)
    return (apply(dout, down.backward, across.backward),)


INTERPOLATE = Operation("interpolate", _forward, _backward)


def interpolate(
    input: Tensor,
    size: int | tuple[int, ...] | None = None,
    scale_factor: float | tuple[float, ...] | None = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> Tensor:
    """Images at another size.

    Args:
        input: float (N, C, H, W), or (N, C, L) for signals.
        size: the output's size, int or one a spatial axis; or
        scale_factor: the output's size over the input's, rounded down; a number or one a spatial axis.
        mode: "nearest" (default), "nearest-exact", "linear" (signals), "bilinear", "bicubic" (maps) or
        "area".
        align_corners: whether the centres of the corner pixels stay in the corners, default False: their
        outer edges
            do. For the linear and cubic modes only.
        recompute_scale_factor: whether positions follow from the sizes rather than from scale_factor,
        default False.
        antialias: whether "bilinear" and "bicubic" average over all pixels when they shrink, default False.
    Returns:
        Tensor (N, C, *size).
    Raises:
        ValueError: not exactly one of size and scale_factor, an unknown mode, an empty size, align_corners
        or antialias
            where they mean nothing.
        NotImplementedError: an input with more or fewer axes.
    Source:
        Cubic convolution: Keys 1981, a = -0.75 (-0.5 with antialias).
    """
    require_floats("interpolate", input=input)
    if input.ndim not in (3, 4):
        raise NotImplementedError(
            f"interpolate: input must be (N, C, L) or (N, C, H, W), got {input.shape}; volumes are not "
            f"supported"
        )
    if mode not in _MODES[input.ndim]:
        raise ValueError(
            f"interpolate: mode must be one of {', '.join(_MODES[input.ndim])} for an input of "
            f"{input.ndim} axes, got "
            f"{mode!r}"
        )
    if mode not in _SMOOTH and align_corners is not None:
        raise ValueError(
            f"interpolate: align_corners only goes with the modes {', '.join(_SMOOTH)}, got mode "
            f"{mode!r}; leave it out"
        )
    if antialias and mode not in ("bilinear", "bicubic"):
        raise ValueError(f"interpolate: antialias only goes with bilinear and bicubic, got mode {mode!r}")
    outputs, scales = _sizes(input.shape[2:], size, scale_factor, recompute_scale_factor)
    if min((*input.shape[1:], *outputs)) < 1:
        raise ValueError(f"interpolate: cannot make {outputs} of {input.shape}: sizes must be at least 1")
    if input.ndim == 3:
        outputs, scales, image = (1, *outputs), (None, *scales), unsqueeze(input, 2)
    else:
        image = input
    if mode == "area":
        out = adaptive_avg_pool2d(image, outputs)  # type: ignore[arg-type]
    else:
        out = record(
            INTERPOLATE,
            (image,),
            size=outputs,
            scales=scales,
            mode="bilinear" if mode == "linear" else mode,
            align_corners=bool(align_corners),
            antialias=bool(antialias),
        )
    return squeeze(out, 2) if input.ndim == 3 else out


def _sizes(
    shape: tuple[int, ...], size: Any, scale_factor: Any, recompute: bool | None
) -> tuple[tuple[int, ...], tuple[Scale, ...]]:
    """The output's size, and the factors that positions follow from (None: from the sizes)."""
    axes = len(shape)
    if (size is None) == (scale_factor is None):
        raise ValueError(
            f"interpolate: give either size or scale_factor, got size {size!r} and scale_factor "
            f"{scale_factor!r}"
        )
    name, given = ("size", size) if size is not None else ("scale_factor", scale_factor)
    each = tuple(given) if isinstance(given, (tuple, list)) else (given,) * axes
    if len(each) != axes:
        raise ValueError(f"interpolate: {name} needs one number or {axes}, one a spatial axis, got {given!r}")
    if size is not None:
        if recompute:
            raise ValueError("interpolate: recompute_scale_factor goes with scale_factor, not with size")
        return tuple(integer("interpolate", "size", n) for n in each), (None,) * axes
    for factor in each:
        if isinstance(factor, bool) or not isinstance(factor, (int, float, np.integer, np.floating)):
            raise TypeError(f"interpolate: scale_factor must be a number, got {factor!r}")
        if not 0 < factor < math.inf:
            raise ValueError(f"interpolate: scale_factor must be positive and finite, got {factor!r}")
    outputs = tuple(math.floor(n * float(f)) for n, f in zip(shape, each, strict=True))
    return outputs, (None,) * axes if recompute else tuple(float(f) for f in each)


# --- pixel shuffle --------------------------------------------------------------------------------


def _spread(x: Array, factor: int) -> Array:
    n, c, h, w = x.shape
    r = factor
    out = empty((n, c // (r * r), h * r, w * r), x.dtype)
    for i in range(r):
        for j in range(r):
            out[:, :, i::r, j::r] = x[:, i * r + j :: r * r]
    return out


def _gathered(x: Array, factor: int) -> Array:
    n, c, h, w = x.shape
    r = factor
    out = empty((n, c * r * r, h // r, w // r), x.dtype)
    for i in range(r):
        for j in range(r):
            out[:, i * r + j :: r * r] = x[:, :, i::r, j::r]
    return out


PIXEL_SHUFFLE = Operation(
    "pixel_shuffle",
    lambda x, factor: (_spread(x, factor), ()),
    lambda dout, saved, needs, factor: (_gathered(dout, factor),),
)
PIXEL_UNSHUFFLE = Operation(
    "pixel_unshuffle",
    lambda x, factor: (_gathered(x, factor), ()),
    lambda dout, saved, needs, factor: (_spread(dout, factor),),
)


def _images(name: str, input: Tensor, factor: Any) -> tuple[Tensor, int]:
    """The input with one batch axis, and the factor."""
    argument = "upscale_factor" if name == "pixel_shuffle" else "downscale_factor"
    factor = integer(name, argument, factor)
    if factor < 1:
        raise ValueError(f"{name}: {argument} must be at least 1, got {factor}")
    if input.ndim < 3:
        raise ValueError(f"{name}: input must be (..., C, H, W), got {input.shape}")
    if input.ndim == 4:
        return input, factor
    return reshape(input, (math.prod(input.shape[:-3]), *input.shape[-3:])), factor


def pixel_shuffle(input: Tensor, upscale_factor: int) -> Tensor:
    """Channels become pixels: (..., C * r^2, H, W) to (..., C, H * r, W * r).

    Args:
        input: (..., C * r^2, H, W).
        upscale_factor: r.
    Raises:
        ValueError: the channels are no multiple of r^2.
    Source:
        Shi et al. 2016.
    """
    x, r = _images("pixel_shuffle", input, upscale_factor)
    if x.shape[1] % (r * r):
        raise ValueError(
            f"pixel_shuffle: the channels must be a multiple of {r * r} = upscale_factor^2, input is "
            f"{input.shape}"
        )
    out = record(PIXEL_SHUFFLE, (x,), factor=r)
    return out if input.ndim == 4 else reshape(out, (*input.shape[:-3], *out.shape[1:]))


def pixel_unshuffle(input: Tensor, downscale_factor: int) -> Tensor:
    """The inverse of `pixel_shuffle`: (..., C, H * r, W * r) to (..., C * r^2, H, W).

    Args:
        input: (..., C, H * r, W * r).
        downscale_factor: r.
    Raises:
        ValueError: height or width is no multiple of r.
    """
    x, r = _images("pixel_unshuffle", input, downscale_factor)
    if x.shape[2] % r or x.shape[3] % r:
        raise ValueError(
            f"pixel_unshuffle: height and width must be multiples of downscale_factor {r}, input is "
            f"{input.shape}"
        )
    out = record(PIXEL_UNSHUFFLE, (x,), factor=r)
    return out if input.ndim == 4 else reshape(out, (*input.shape[:-3], *out.shape[1:]))
