"""Rounding errors of Winograd beside those of the direct algorithm, at every ISA level: root mean squares
against float64, held to the bounds that csrc/kernels/conv2d_winograd.cpp states."""

from __future__ import annotations

import numpy as np
import pytest

from pynet import _core, reference

# Times the direct algorithm's error: forward and backward data, then the weight gradient.
BOUNDS = {"winograd2": (2.0, 2.5), "winograd4": (7.0, 10.0)}
# N, C, H, W, F, padding: few and many channels, whole and cut tiles, the shared and the blocked form.
SHAPES = [
    (4, 16, 16, 16, 16, 1),
    (16, 16, 16, 16, 32, 1),
    (2, 64, 8, 8, 64, 1),
    (3, 24, 15, 7, 40, 0),
    (2, 20, 9, 30, 33, 2),
    (8, 128, 14, 14, 96, 1),
    (1, 320, 9, 9, 324, 1),
]


def rms(a: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(a, dtype=np.float64))))


def passes(module, x, w, b, dout, padding, algorithm):
    geometry = ((1, 1), (padding, padding), (1, 1), 1)
    dw, db = module.conv2d_backward_weight(dout, x, w.shape, *geometry, True, algorithm)
    return {
        "forward": module.conv2d_forward(x, w, b, *geometry, "none", 0.0, algorithm),
        "backward data": module.conv2d_backward_data(dout, w, x.shape, *geometry, algorithm),
        "backward weight": dw,
        "bias gradient": db,
    }


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_errors_against_float64(isa, rng, shape):
    N, C, H, W, F, padding = shape
    x = rng.standard_normal((N, C, H, W)).astype(np.float32)
    w = (rng.standard_normal((F, C, 3, 3)) / np.sqrt(9 * C)).astype(np.float32)
    b = rng.standard_normal(F).astype(np.float32)
    dout = rng.standard_normal((N, F, H + 2 * padding - 2, W + 2 * padding - 2)).astype(np.float32)
    doubles = [a.astype(np.float64) for a in (x, w, b, dout)]
    want = passes(reference, *doubles, padding, "auto")

    def errors(algorithm):
        got = passes(_core, x, w, b, dout, padding, algorithm)
        return {name: rms(got[name] - want[name]) / rms(want[name]) for name in want}

    direct = errors("direct")
    for algorithm, (data, weight) in BOUNDS.items():
        found = errors(algorithm)
        assert found["forward"] <= data * direct["forward"], algorithm
        assert found["backward data"] <= data * direct["backward data"], algorithm
        assert found["backward weight"] <= weight * direct["backward weight"], algorithm
        assert found["bias gradient"] <= 2e-7 * np.sqrt(N * H * W), algorithm
