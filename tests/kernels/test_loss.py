"""Losses against the float64 reference: reductions, weights, ignored rows, smoothing, extreme logits."""

from __future__ import annotations

import numpy as np
import pytest

from pynet import _core, reference

EPS = np.finfo(np.float32).eps
SHAPES = [(1, 1), (5, 3), (128, 10), (7, 16), (9, 17), (33, 100), (3, 9000), (3000, 2)]
REDUCTIONS = ["none", "mean", "sum"]
ELEMENTS = [(), (1,), (17,), (3, 5, 7, 2), (40000,)]


def single(a) -> np.ndarray:
    return np.asarray(a, np.float32)


def double(*arrays):
    return [None if a is None else a.astype(np.float64) for a in arrays]


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_cross_entropy(isa, same_bits, rng, shape, weighted, smoothing, reduction):
    M, C = shape
    x, target = single(3 * rng.standard_normal(shape)), rng.integers(0, C, M)
    target[rng.random(M) < 0.2] = -7
    weight = single(rng.random(C) + 0.1) if weighted else None
    x64, w64 = double(x, weight)
    settings = (-7, smoothing, reduction)
    loss, lse, total = same_bits(lambda: _core.cross_entropy_forward(x, target, weight, *settings))
    want, want_lse, want_total = reference.cross_entropy_forward(x64, target, w64, *settings)
    assert loss.shape == want.shape and isinstance(total, float)
    np.testing.assert_allclose(loss, want, rtol=32 * EPS, atol=8 * EPS)
    np.testing.assert_allclose(lse, want_lse, rtol=16 * EPS, atol=16 * EPS * abs(x).max())
    np.testing.assert_allclose(total, want_total, rtol=1e-6)
    dout = single(rng.standard_normal(loss.shape))
    dx = same_bits(lambda: _core.cross_entropy_backward(dout, x, lse, target, weight, *settings, total))
    want = reference.cross_entropy_backward(*double(dout), x64, want_lse, target, w64, *settings, want_total)
    share = max(total, 1e-30) if reduction == "mean" else 1
    np.testing.assert_allclose(dx, want, rtol=64 * EPS, atol=16 * EPS * abs(dout).max() / share)


@pytest.mark.parametrize("C", [2, 10, 33])
def test_cross_entropy_of_huge_logits(isa, rng, C):
    """Where the log-sum-exp has lost every digit below 1, loss and gradient still have theirs."""
    x = single(rng.standard_normal((6, C)))
    shifted = x + np.float32(2.0**20)
    x = shifted - np.float32(2.0**20)  # exactly representable far from zero
    target = rng.integers(0, C, 6)
    a, b = (_core.cross_entropy_forward(v, target, None, -100, 0.0, "none") for v in (x, shifted))
    np.testing.assert_allclose(b[0], a[0], rtol=16 * EPS, atol=8 * EPS)
    dout = np.ones(6, np.float32)
    ga, gb = (
        _core.cross_entropy_backward(dout, v, r[1], target, None, -100, 0.0, "none", 6.0)
        for v, r in ((x, a), (shifted, b))
    )
    np.testing.assert_allclose(gb, ga, rtol=16 * EPS, atol=8 * EPS)
    extreme = np.full((2, C), -3e38, np.float32)
    extreme[0, 0] = 3e38
    loss, _, _ = _core.cross_entropy_forward(extreme, np.array([0, 1]), None, -100, 0.0, "none")
    np.testing.assert_allclose(loss, [0, np.log(C)], rtol=1e-6)


def test_cross_entropy_at_infinity_and_nan(isa):
    x = np.zeros((5, 4), np.float32)
    x[0, 1] = x[1, 1] = -np.inf
    x[2] = -np.inf
    x[3, 0] = np.inf
    x[4, 0] = np.nan
    target = np.array([0, 1, 0, 0, 1])
    loss, lse, total = _core.cross_entropy_forward(x, target, None, -100, 0.0, "none")
    np.testing.assert_allclose(loss, [np.log(3), np.inf, np.nan, np.nan, np.nan], rtol=1e-6)
    dx = _core.cross_entropy_backward(np.ones(5, np.float32), x, lse, target, None, -100, 0.0, "none", total)
    np.testing.assert_allclose(dx[:2], [[-2 / 3, 0, 1 / 3, 1 / 3], [1 / 3, -1, 1 / 3, 1 / 3]], rtol=1e-6)
    assert np.isnan(dx[2:]).all()


@pytest.mark.parametrize("rows", [0, 3])
def test_cross_entropy_of_no_kept_row(isa, rows):
    x, target = np.ones((rows, 3), np.float32), np.full(rows, -100)
    loss, lse, total = _core.cross_entropy_forward(x, target, None, -100, 0.1, "mean")
    assert np.isnan(loss) and total == 0
    assert _core.cross_entropy_forward(x, target, None, -100, 0.1, "sum")[0] == 0
    dx = _core.cross_entropy_backward(single(1), x, lse, target, None, -100, 0.1, "mean", total)
    np.testing.assert_array_equal(dx, np.zeros_like(x))


@pytest.mark.parametrize("label", [3, -1, 2**40, -(2**63)])
def test_labels_out_of_range(label):
    x, lse, target = np.zeros((2, 3), np.float32), np.zeros(2, np.float32), np.array([0, label])
    message = rf"target\[1\] is {label}, but x has 3 classes"
    with pytest.raises(IndexError, match=message):
        _core.cross_entropy_forward(x, target, None, -100, 0.0, "mean")
    with pytest.raises(IndexError, match=message):
        _core.cross_entropy_backward(single(1), x, lse, target, None, -100, 0.0, "mean", 2.0)
    with pytest.raises(IndexError, match=message):
        _core.multi_margin_forward(x, target, 1, 1.0, None, "mean")
    with pytest.raises(IndexError, match=message):
        _core.multi_margin_backward(single(1), x, target, 1, 1.0, None, "mean")
    # a label to be ignored may be any number
    assert np.isfinite(_core.cross_entropy_forward(x, target, None, label, 0.0, "mean")[0])


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_multi_margin(isa, same_bits, rng, shape, weighted, p, reduction):
    M, C = shape
    x, target = single(rng.standard_normal(shape)), rng.integers(0, C, M)
    weight = single(rng.random(C)) if weighted else None
    x64, w64 = double(x, weight)
    settings = (target, p, 0.75)
    loss = same_bits(lambda: _core.multi_margin_forward(x, *settings, weight, reduction))
    want = reference.multi_margin_forward(x64, *settings, w64, reduction)
    assert loss.shape == want.shape
    np.testing.assert_allclose(loss, want, rtol=64 * EPS, atol=64 * EPS)
    dout = single(rng.standard_normal(loss.shape))
    dx = same_bits(lambda: _core.multi_margin_backward(dout, x, *settings, weight, reduction))
    want = reference.multi_margin_backward(*double(dout), x64, *settings, w64, reduction)
    np.testing.assert_allclose(dx, want, rtol=64 * EPS, atol=(16 + C) * EPS * abs(want).max(initial=1e-30))


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("shape", ELEMENTS, ids=str)
def test_mse(isa, same_bits, rng, shape, reduction):
    x, target = (single(rng.standard_normal(shape)) for _ in range(2))
    loss = same_bits(lambda: _core.mse_forward(x, target, reduction))
    want = reference.mse_forward(*double(x, target), reduction)
    assert loss.shape == want.shape
    np.testing.assert_allclose(loss, want, rtol=16 * EPS)
    dout = single(rng.standard_normal(loss.shape))
    dx = same_bits(lambda: _core.mse_backward(dout, x, target, reduction))
    np.testing.assert_allclose(dx, reference.mse_backward(*double(dout, x, target), reduction), rtol=8 * EPS)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("positive", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("shape", ELEMENTS, ids=str)
def test_bce_with_logits(isa, same_bits, rng, shape, weighted, positive, reduction):
    x, target = single(20 * rng.standard_normal(shape)), single(rng.random(shape))
    weight = single(rng.random(shape)) if weighted else None
    pos_weight = single(3 * rng.random(shape)) if positive else None
    settings = (x, target, weight, pos_weight)
    loss = same_bits(lambda: _core.bce_with_logits_forward(*settings, reduction))
    want = reference.bce_with_logits_forward(*double(*settings), reduction)
    assert loss.shape == want.shape
    np.testing.assert_allclose(loss, want, rtol=32 * EPS, atol=256 * EPS)
    dout = single(rng.standard_normal(loss.shape))
    dx = same_bits(lambda: _core.bce_with_logits_backward(dout, *settings, reduction))
    want = reference.bce_with_logits_backward(*double(dout, *settings), reduction)
    np.testing.assert_allclose(dx, want, rtol=32 * EPS, atol=16 * EPS * abs(want).max(initial=1e-30))


def test_bce_with_logits_keeps_small_losses(isa):
    x, target = single([-30.0, 30.0, -80.0, 80.0, 1e38, -1e38]), single([0, 1, 0, 1, 1, 0])
    loss = _core.bce_with_logits_forward(x, target, None, None, "none")
    want = np.log1p(np.exp(-abs(x.astype(np.float64))))
    np.testing.assert_allclose(loss, want, rtol=1e-6, atol=1e-37)


def test_means_over_nothing_are_nan(isa):
    x = np.zeros((0, 3), np.float32)
    assert np.isnan(_core.mse_forward(x, x, "mean")) and _core.mse_forward(x, x, "sum") == 0
    assert np.isnan(_core.bce_with_logits_forward(x, x, None, None, "mean"))
    assert _core.mse_backward(single(1), x, x, "mean").shape == (0, 3)
    assert _core.multi_margin_backward(single(1), x, np.zeros(0, np.int64), 1, 1.0, None, "mean").shape == (
        0,
        3,
    )


def test_inputs_of_any_order(isa, rng):
    x, target = (single(rng.standard_normal((2, 5, 4, 6))) for _ in range(2))
    x.flags.writeable = False
    nhwc = reference.layout.to_nhwc
    want = _core.mse_forward(x, target, "none")
    for a, b in (
        (nhwc(x), target),
        (x, nhwc(target)),
        (x[::-1][::-1], np.repeat(target, 2, axis=3)[..., ::2]),
    ):
        np.testing.assert_array_equal(_core.mse_forward(a, b, "none"), want)
        np.testing.assert_array_equal(
            _core.mse_backward(nhwc(x), a, b, "none"), _core.mse_backward(x, x, target, "none")
        )
    assert _core.mse_forward(nhwc(x), target, "none").transpose(0, 2, 3, 1).flags.c_contiguous
    logits, labels = single(rng.standard_normal((6, 10))), rng.integers(0, 10, 12)
    want = _core.cross_entropy_forward(logits, labels[::2].copy(), None, -100, 0.0, "none")[0]
    got = _core.cross_entropy_forward(np.asfortranarray(logits), labels[::2], None, -100, 0.0, "none")[0]
    np.testing.assert_array_equal(got, want)


def test_refusals():
    x, target, one = np.zeros((2, 3), np.float32), np.array([0, 1]), single(1)
    with pytest.raises(ValueError, match=r"target has shape \(1,\), expected \(2,\)"):
        _core.cross_entropy_forward(x, target[:1], None, -100, 0.0, "mean")
    with pytest.raises(TypeError, match="int32"):
        _core.cross_entropy_forward(x, target.astype(np.int32), None, -100, 0.0, "mean")
    with pytest.raises(ValueError, match="at least one class"):
        _core.cross_entropy_forward(x[:, :0], target, None, -100, 0.0, "mean")
    with pytest.raises(ValueError, match="weight has shape"):
        _core.cross_entropy_forward(x, target, x[0, :2], -100, 0.0, "mean")
    with pytest.raises(ValueError, match="label_smoothing"):
        _core.cross_entropy_forward(x, target, None, -100, 1.5, "mean")
    with pytest.raises(ValueError, match='reduction "median"'):
        _core.cross_entropy_forward(x, target, None, -100, 0.0, "median")
    with pytest.raises(ValueError, match=r"dout has shape \(\), expected \(2,\)"):
        _core.cross_entropy_backward(one, x, x[:, 0], target, None, -100, 0.0, "none", 2.0)
    with pytest.raises(ValueError, match="lse has shape"):
        _core.cross_entropy_backward(one, x, x[:1, 0], target, None, -100, 0.0, "mean", 2.0)
    with pytest.raises(ValueError, match="p is 3, it must be 1 or 2"):
        _core.multi_margin_forward(x, target, 3, 1.0, None, "mean")
    with pytest.raises(ValueError, match=r"mse: target has shape \(3,\), expected \(2, 3\)"):
        _core.mse_forward(x, x[0], "mean")
    with pytest.raises(ValueError, match="bce_with_logits: pos_weight has shape"):
        _core.bce_with_logits_forward(x, x, None, x[0], "mean")
    with pytest.raises(ValueError, match="backward: dout has shape"):
        _core.mse_backward(x, x, x, "mean")
