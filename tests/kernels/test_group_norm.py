"""Group normalisation against the float64 reference."""

from __future__ import annotations

import numpy as np
import pytest

from pynet import _core, reference

EPS = np.finfo(np.float32).eps
# N, C, H, W, groups
SHAPES = [
    (1, 1, 3, 1, 1), (2, 6, 4, 5, 3), (3, 16, 3, 3, 4), (2, 17, 5, 2, 17), (5, 15, 2, 2, 1),
    (70, 33, 1, 1, 1), (130, 8, 1, 1, 2), (2, 64, 9, 7, 8), (1, 20, 6, 6, 5), (4, 96, 3, 3, 96),
    (2, 20, 40, 33, 5), (1, 70, 30, 30, 1), (3, 300, 1, 1, 3), (9, 4099, 1, 1, 1),
]  # fmt: skip


def draw(rng, n, c, h, w):
    x = rng.standard_normal((n, h, w, c)).astype(np.float32).transpose(0, 3, 1, 2) + 3
    return x, rng.uniform(0.5, 2, c).astype(np.float32), rng.standard_normal(c).astype(np.float32)


@pytest.mark.parametrize("affine", [False, True])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_forward_and_backward(isa, same_bits, rng, shape, affine):
    *size, groups = shape
    x, weight, bias = draw(rng, *size)
    if not affine:
        weight = bias = None
    wide = [None if a is None else a.astype(np.float64) for a in (x, weight, bias)]
    got = same_bits(lambda: _core.group_norm_forward(x, groups, weight, bias, 1e-3))
    want = reference.group_norm_forward(wide[0], groups, wide[1], wide[2], 1e-3)
    for a, b in zip(got, want, strict=True):
        np.testing.assert_allclose(a, b, rtol=32 * EPS, atol=64 * EPS)
    dout = rng.standard_normal(x.shape).astype(np.float32)
    got = same_bits(lambda: _core.group_norm_backward(dout, x, got[1], got[2], groups, weight))
    want = reference.group_norm_backward(dout.astype(np.float64), wide[0], want[1], want[2], groups, wide[1])
    for a, b in zip(got, want, strict=True):
        scale = max(1.0, np.abs(b).max(initial=0))
        np.testing.assert_allclose(a, b, rtol=0, atol=64 * EPS * scale)


def test_a_far_mean_costs_no_accuracy(isa, rng):
    x = (1e4 + rng.standard_normal((2, 8, 32, 32))).astype(np.float32)
    mean, rstd = _core.group_norm_forward(x, 2, None, None, 0.0)[1:]
    wide = x.astype(np.float64).reshape(2, 2, -1)
    np.testing.assert_allclose(mean, wide.mean(2), rtol=8 * EPS)
    # The variance is off by the square of what the mean is off by.
    np.testing.assert_allclose(rstd, 1 / wide.std(2), rtol=1e-5)


def test_a_head_unlike_the_rest_costs_no_accuracy(isa, rng):
    x = rng.standard_normal((1, 8, 128, 64)).astype(np.float32)
    x[:, :, :2] += 1e4  # less than what the shift is taken from
    mean, rstd = _core.group_norm_forward(x, 4, None, None, 0.0)[1:]
    wide = x.astype(np.float64).reshape(1, 4, -1)
    np.testing.assert_allclose(mean, wide.mean(2), rtol=1e-5)
    np.testing.assert_allclose(rstd, 1 / wide.std(2), rtol=1e-5)


@pytest.mark.parametrize("shape", [(3, 20, 5, 5), (3, 40, 1, 1)])
def test_nan_stays_in_its_group(isa, rng, shape):
    x = rng.standard_normal(shape).astype(np.float32)
    x[1, 3, 0, 0] = np.nan
    out = _core.group_norm_forward(x, 2, None, None, 1e-5)[0]
    lost = np.zeros(shape, bool)
    lost[1, : shape[1] // 2] = True
    np.testing.assert_array_equal(np.isnan(out), lost)


@pytest.mark.parametrize("shape", [(0, 4, 2, 2), (2, 4, 0, 3)])
def test_nothing(isa, shape):
    x = np.zeros(shape, np.float32)
    out, mean, rstd = _core.group_norm_forward(x, 2, None, None, 1e-5)
    assert out.shape == shape and mean.shape == rstd.shape == (shape[0], 2)
    dx, dweight, dbias = _core.group_norm_backward(x, x, mean, rstd, 2, None)
    assert dx.shape == shape
    np.testing.assert_array_equal(dweight, np.zeros(4))
    np.testing.assert_array_equal(dbias, np.zeros(4))


def test_refusals():
    x = np.zeros((2, 6, 2, 2), np.float32)
    with pytest.raises(ValueError, match="groups=4 does not divide 6 channels"):
        _core.group_norm_forward(x, 4, None, None, 0.0)
    with pytest.raises(ValueError, match=r"weight has shape \(5,\), expected \(6,\)"):
        _core.group_norm_forward(x, 2, np.zeros(5, np.float32), None, 0.0)
    with pytest.raises(ValueError, match=r"mean has shape \(2, 3\), expected \(2, 2\)"):
        _core.group_norm_backward(x, x, np.zeros((2, 3), np.float32), np.zeros((2, 2), np.float32), 2, None)
