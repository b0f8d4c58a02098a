"""Batch normalisation against the float64 reference: channels around a vector, one row to many blocks."""

from __future__ import annotations

import numpy as np
import pytest

from pynet import _core, reference
from pynet.reference.layout import to_nhwc

EPS = np.finfo(np.float32).eps
ALPHAS = {"none": 0.0, "relu": 0.0, "leaky_relu": 0.1, "elu": 0.7, "sigmoid": 0.0, "tanh": 0.0}
SHAPES = [
    (1, 1, 1, 3),
    (2, 3, 5, 3),
    (1, 5, 1, 2),  # fewer values than a vector
    (40, 6, 28, 28),
    (3, 15, 4, 4),
    (3, 16, 4, 5),
    (3, 17, 4, 5),
    (2, 64, 9, 7),
    (8, 70, 16, 16),
    (9, 128, 13, 11),  # rows of several steps, and blocks of several runs with one row over
    (5, 96, 15, 17),
    (33, 129, 1, 1),  # what BatchNorm1d lifts
    (4, 1030, 2, 2),  # a last vector that overlaps
    (2, 1037, 3, 1),
]


def normal(rng, shape, scale=1.0, shift=0.0) -> np.ndarray:
    return to_nhwc((rng.standard_normal(shape) * scale + shift).astype(np.float32))


def double(*arrays):
    return [None if a is None else a.astype(np.float64) for a in arrays]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_statistics(isa, same_bits, rng, shape):
    x = normal(rng, shape, 2.0, 3.0)
    mean, var = same_bits(lambda: _core.batch_norm_statistics(x))
    want_mean, want_var = reference.batch_norm_statistics(x.astype(np.float64))
    np.testing.assert_allclose(mean, want_mean, rtol=0, atol=16 * EPS * 3)
    np.testing.assert_allclose(var, want_var, rtol=32 * EPS, atol=16 * EPS)


@pytest.mark.parametrize("C", [6, 16, 20])
def test_statistics_far_from_zero(isa, rng, C):
    """Mean 1000 and deviation 1: sums of squares would leave no digit, and the first pixel is an outlier."""
    x = normal(rng, (16, C, 32, 32), 1.0, 1000.0)
    x[0, :, 0, 0] = 990.0
    mean, var = _core.batch_norm_statistics(x)
    want_mean, want_var = reference.batch_norm_statistics(x.astype(np.float64))
    np.testing.assert_allclose(mean, want_mean, rtol=2 * EPS)
    np.testing.assert_allclose(var, want_var, rtol=1e-5)


def test_statistics_of_constants_and_of_nothing(isa):
    mean, var = _core.batch_norm_statistics(np.full((4, 5, 8, 8), 0.1, np.float32))
    np.testing.assert_allclose(mean, 0.1, rtol=16 * EPS)
    assert np.all(var <= (16 * EPS * 0.1) ** 2)
    mean, var = _core.batch_norm_statistics(np.zeros((0, 5, 8, 8), np.float32))
    assert not mean.any() and not var.any()


@pytest.mark.parametrize("step", [1, 3])
def test_running(rng, step):
    mean, var = (rng.random(7).astype(np.float32) for _ in range(2))
    got = [rng.random(7 * step).astype(np.float32)[::step] for _ in range(2)]
    want = double(*got)
    for module, running in ((_core, got), (reference, want)):
        assert module.batch_norm_running(*running, mean, var, 5, 0.3) is None
    np.testing.assert_allclose(got[0], want[0], rtol=4 * EPS)
    np.testing.assert_allclose(got[1], want[1], rtol=4 * EPS)


def test_running_refuses():
    good, short = np.ones(4, np.float32), np.ones(3, np.float32)
    fixed = np.ones(4, np.float32)
    fixed.flags.writeable = False
    with pytest.raises(ValueError, match="running_mean"):
        _core.batch_norm_running(short, good, good, good, 5, 0.1)
    with pytest.raises(ValueError, match="running_var is read-only"):
        _core.batch_norm_running(good, fixed, good, good, 5, 0.1)
    with pytest.raises(TypeError, match="running_mean must be float32"):
        _core.batch_norm_running(good.astype(np.float64), good, good, good, 5, 0.1)
    assert (good == 1).all()


@pytest.mark.parametrize("activation", ALPHAS)
@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_forward(isa, same_bits, rng, shape, residual, activation):
    C = shape[1]
    x, r = normal(rng, shape, 2.0, 3.0), normal(rng, shape) if residual else None
    weight, bias = (rng.standard_normal(C).astype(np.float32) for _ in range(2))
    mean, var = _core.batch_norm_statistics(x)
    settings = (1e-3, activation, ALPHAS[activation])

    def run(module, x, mean, var, weight, bias, r):
        return module.batch_norm_forward(x, mean, var, weight, bias, settings[0], r, *settings[1:])

    out = same_bits(lambda: run(_core, x, mean, var, weight, bias, r))
    # x - mean rounds by an ulp of the mean, which the scale blows up
    scale = 8 * EPS * (1 + abs(weight).max() * 3 / np.sqrt(var.min() + 1e-3) + 4)
    np.testing.assert_allclose(
        out, run(reference, *double(x, mean, var, weight, bias, r)), rtol=16 * EPS, atol=scale
    )
    assert out.transpose(0, 2, 3, 1).flags.c_contiguous
    plain = run(_core, x, mean, var, None, None, r)
    np.testing.assert_allclose(
        plain, run(reference, *double(x, mean, var, None, None, r)), rtol=16 * EPS, atol=scale
    )


@pytest.mark.parametrize("activation", ALPHAS)
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("shape", [s for s in SHAPES if s[0] * s[2] * s[3] > 3], ids=str)
def test_backward(isa, same_bits, rng, shape, training, activation):
    C = shape[1]
    x, dout, r = normal(rng, shape, 2.0, 3.0), normal(rng, shape), normal(rng, shape)
    weight, bias = (rng.standard_normal(C).astype(np.float32) for _ in range(2))
    mean, var = _core.batch_norm_statistics(x)
    if not training:
        mean, var = mean + np.float32(0.5), var + np.float32(1)
    alpha = ALPHAS[activation]
    out = _core.batch_norm_forward(x, mean, var, weight, bias, 1e-3, r, activation, alpha)
    rows = shape[0] * shape[2] * shape[3]
    tolerance = 32 * EPS * (1 + abs(weight).max()) * (1 + 1 / np.sqrt(var.min()))
    for w in (weight, None):
        for needs_residual in (False, True):

            def run(module, dout, x, out, mean, var, w, needs_residual=needs_residual):
                return module.batch_norm_backward(
                    dout, x, out, mean, var, w, None, 1e-3, activation, alpha, training, needs_residual
                )

            got = same_bits(lambda run=run, w=w: run(_core, dout, x, out, mean, var, w))
            want = run(reference, *double(dout, x, out, mean, var, w))
            np.testing.assert_allclose(got[0], want[0], rtol=32 * EPS, atol=4 * tolerance)
            for a, b in zip(got[1:3], want[1:3], strict=True):
                np.testing.assert_allclose(a, b, rtol=32 * EPS, atol=tolerance * np.sqrt(rows))
            assert (got[3] is not None) == needs_residual
            if needs_residual:
                np.testing.assert_allclose(got[3], want[3], rtol=8 * EPS, atol=8 * EPS)
                assert got[3].transpose(0, 2, 3, 1).flags.c_contiguous
            assert got[0].transpose(0, 2, 3, 1).flags.c_contiguous


def same(got, wanted):
    for a, b in zip(got, wanted, strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("activation", ALPHAS)
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_backward_of_summands_and_without_the_output(isa, same_bits, rng, shape, training, activation):
    """Bit for bit what the sum of the summands and the output give."""
    C = shape[1]
    x, dout, dout2 = normal(rng, shape, 2.0, 3.0), normal(rng, shape), normal(rng, shape)
    weight, bias = (rng.standard_normal(C).astype(np.float32) for _ in range(2))
    x.transpose(0, 2, 3, 1).reshape(-1)[::7] = x.flat[0]
    bias[0], weight[C // 2] = 0.0, 0.0  # values that are zero before the activation
    mean, var = _core.batch_norm_statistics(x)
    alpha = ALPHAS[activation]
    for w, b in ((weight, bias), (None, bias), (weight, None)):
        out = _core.batch_norm_forward(x, mean, var, w, b, 1e-3, None, activation, alpha)
        settings = (mean, var, w, b, 1e-3, activation, alpha, training)
        for needs_residual in (False, True):
            want = _core.batch_norm_backward(_core.add(dout, dout2), x, out, *settings, needs_residual)
            for given in (out, None):
                got = same_bits(
                    lambda given=given, settings=settings, needs_residual=needs_residual: (
                        _core.batch_norm_backward([dout, dout2], x, given, *settings, needs_residual)
                    )
                )
                same(got, want)
            same(
                _core.batch_norm_backward(dout, x, None, *settings, needs_residual),
                _core.batch_norm_backward(dout, x, out, *settings, needs_residual),
            )


@pytest.mark.parametrize("C", [5, 16])
def test_nan_stays_in_its_channel(isa, C):
    x = np.ones((2, C, 8, 8), np.float32)
    x[1, 3, 2, 2] = np.nan
    mean, var = _core.batch_norm_statistics(x)
    assert np.flatnonzero(np.isnan(mean)).tolist() == np.flatnonzero(np.isnan(var)).tolist() == [3]
    out = _core.batch_norm_forward(x, mean, var, None, None, 1e-5, None, "relu", 0.0)
    assert np.isnan(out[:, 3]).all() and not np.isnan(np.delete(out, 3, axis=1)).any()


def test_inputs_of_any_order(isa, rng):
    x = rng.standard_normal((3, 5, 4, 6)).astype(np.float32)
    x.flags.writeable = False
    one = np.ones(10, np.float32)[::2]
    want = _core.batch_norm_statistics(to_nhwc(x))
    out = _core.batch_norm_forward(to_nhwc(x), *want, one, one, 1e-5, to_nhwc(x), "relu", 0.0)
    for other in (x, np.repeat(x, 2, axis=0)[::2], np.ascontiguousarray(x[:, ::-1])[:, ::-1]):
        for a, b in zip(_core.batch_norm_statistics(other), want, strict=True):
            np.testing.assert_array_equal(a, b)
        got = _core.batch_norm_forward(other, *want, one, one, 1e-5, other, "relu", 0.0)
        np.testing.assert_array_equal(got, out)


def test_refusals():
    x, v = np.zeros((2, 3, 4, 4), np.float32), np.zeros(3, np.float32)
    with pytest.raises(ValueError, match="x has 2 dimensions, expected 4"):
        _core.batch_norm_statistics(x[0, 0])
    with pytest.raises(ValueError, match=r"mean has shape \(2,\), expected \(3,\)"):
        _core.batch_norm_forward(x, v[:2], v, None, None, 1e-5, None, "none", 0.0)
    with pytest.raises(ValueError, match="residual has shape"):
        _core.batch_norm_forward(x, v, v, None, None, 1e-5, x[:1], "none", 0.0)
    with pytest.raises(ValueError, match='activation "swish" is none of'):
        _core.batch_norm_forward(x, v, v, None, None, 1e-5, None, "swish", 0.0)
    with pytest.raises(ValueError, match="dout has shape"):
        _core.batch_norm_backward(x[:1], x, x, v, v, None, None, 1e-5, "relu", 0.0, True, False)
    with pytest.raises(ValueError, match="dout is a list of 3 arrays"):
        _core.batch_norm_backward([x, x, x], x, x, v, v, None, None, 1e-5, "relu", 0.0, True, False)
    with pytest.raises(ValueError, match="a summand of dout has shape"):
        _core.batch_norm_backward([x, x[:1]], x, x, v, v, None, None, 1e-5, "relu", 0.0, True, False)
    with pytest.raises(ValueError, match="out has shape"):
        _core.batch_norm_backward(x, x, x[:1], v, v, None, None, 1e-5, "relu", 0.0, True, False)
    with pytest.raises(TypeError, match="float64"):
        _core.batch_norm_statistics(x.astype(np.float64))
