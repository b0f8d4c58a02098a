"""Rounding errors of Winograd beside those of the direct algorithm, at every ISA level: root mean squares
against float64, held to the bounds that csrc/kernels/conv2d_winograd.cpp states."""

from __future__ import annotations

import numpy as np
import pytest

from pynet import _core, reference

PASSES = ("forward", "backward data", "backward weight", "bias gradient")
# Times the direct algorithm's error, by pass; the bias gradient's is absolute.
BOUNDS = {"winograd2": (2.0, 2.0, 2.5), "winograd4": (7.0, 7.0, 10.0)}
BIAS_BOUND = 2e-6
SHAPES = [  # N, C, H, W, F, padding
    (4, 16, 16, 16, 16, 1),
    (16, 16, 16, 16, 32, 1),
    (2, 64, 8, 8, 64, 1),  # few tiles
    (3, 24, 15, 7, 40, 0),
    (2, 20, 9, 30, 33, 2),
    (9, 40, 29, 30, 33, 1),  # the weight gradient in parts of several chunks
    (8, 128, 14, 14, 96, 1),
    (1, 320, 9, 9, 324, 1),  # weights beyond the caches: the blocked form
]


def rms(a: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(a, dtype=np.float64))))


def passes(module, x, w, b, dout, padding, algorithm):
    geometry = ((1, 1), (padding, padding), (1, 1), 1)
    out = module.conv2d_forward(x, w, b, *geometry, "none", 0.0, algorithm)
    dx = module.conv2d_backward_data(dout, w, x.shape, *geometry, algorithm)
    dw, db = module.conv2d_backward_weight(dout, x, w.shape, *geometry, True, algorithm)
    return out, dx, dw, db


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_errors_against_float64(isa, same_bits, rng, shape):
    N, C, H, W, F, padding = shape
    x = rng.standard_normal((N, C, H, W)).astype(np.float32)
    w = (rng.standard_normal((F, C, 3, 3)) / np.sqrt(9 * C)).astype(np.float32)
    b = rng.standard_normal(F).astype(np.float32)
    dout = rng.standard_normal((N, F, H + 2 * padding - 2, W + 2 * padding - 2)).astype(np.float32)
    want = passes(reference, *(a.astype(np.float64) for a in (x, w, b, dout)), padding, "auto")

    def errors(algorithm):
        got = same_bits(lambda: passes(_core, x, w, b, dout, padding, algorithm))
        return [rms(a - exact) / rms(exact) for a, exact in zip(got, want, strict=True)]

    direct = errors("direct")
    for algorithm, factors in BOUNDS.items():
        bounds = [*(factor * error for factor, error in zip(factors, direct, strict=False)), BIAS_BOUND]
        for name, found, bound in zip(PASSES, errors(algorithm), bounds, strict=True):
            assert found <= bound, (algorithm, name)
