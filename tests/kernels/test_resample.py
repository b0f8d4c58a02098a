"""Separable sparse maps of images against the float64 reference."""

from __future__ import annotations

import numpy as np
import pytest

from pynet import _core, reference

EPS = np.finfo(np.float32).eps
SHAPES = [
    (1, 1, 5, 7),
    (2, 3, 8, 5),
    (3, 16, 9, 4),
    (2, 17, 6, 6),
    (1, 70, 3, 40),
    (0, 4, 5, 5),
    (2, 130, 33, 2),
]


def taps(rng, size, outputs, most):
    """A random matrix: rows with none to `most` entries, some of them a single one."""
    counts = rng.integers(0, most + 1, outputs)
    starts = np.concatenate([[0], np.cumsum(counts)])
    weights = np.where(rng.random(starts[-1]) < 0.5, 1.0, rng.standard_normal(starts[-1]))
    return starts, rng.integers(0, size, starts[-1]), weights.astype(np.float32)


@pytest.mark.parametrize("most", [1, 4])
@pytest.mark.parametrize("shape", SHAPES)
def test_resample(isa, same_bits, rng, shape, most):
    n, c, h, w = shape
    x = rng.standard_normal((n, h, w, c)).astype(np.float32).transpose(0, 3, 1, 2)
    down, across = taps(rng, h, 11, most), taps(rng, w, 23, most)
    got = same_bits(lambda: _core.resample(x, down, across))
    want = reference.resample(x.astype(np.float64), down, across)
    assert got.shape == want.shape == (n, c, 11, 23)
    np.testing.assert_allclose(got, want, rtol=0, atol=64 * EPS)
    plain = np.ascontiguousarray(x)
    plain.flags.writeable = False
    np.testing.assert_array_equal(_core.resample(plain, down, across), got)


def test_copies_keep_nan_and_neighbours_apart(isa):
    x = np.full((1, 3, 2, 6), np.nan, np.float32)
    x[:, :, 1, 2:5] = 7
    starts, one = np.arange(4), np.ones(3, np.float32)
    out = _core.resample(x, (np.arange(2), np.array([1]), one[:1]), (starts, np.array([2, 3, 4]), one))
    np.testing.assert_array_equal(out, np.full((1, 3, 1, 3), 7))


def test_refusals():
    x = np.zeros((1, 1, 3, 3), np.float32)
    good = np.arange(4), np.arange(3), np.ones(3, np.float32)
    with pytest.raises(ValueError, match="position 3 lies outside an axis of size 3"):
        _core.resample(x, (good[0], good[1] + 1, good[2]), good)
    with pytest.raises(ValueError, match="starts must run from 0 to 3"):
        _core.resample(x, good, (good[0][:3], good[1], good[2]))
    with pytest.raises(ValueError, match="starts must not fall"):
        _core.resample(x, good, (np.array([0, 2, 1, 3]), good[1], good[2]))
