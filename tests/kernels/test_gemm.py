"""Matrix products and the linear layer against NumPy in float64."""

from __future__ import annotations

import numpy as np
import pytest

from pynet import _core, reference
from tests.shapes import GEMM_CASES

EPS = np.finfo(np.float32).eps


def matrices(rng, M, N, K, transpose_a, transpose_b):
    a = rng.standard_normal((K, M) if transpose_a else (M, K)).astype(np.float32)
    b = rng.standard_normal((N, K) if transpose_b else (K, N)).astype(np.float32)
    return a.T if transpose_a else a, b.T if transpose_b else b


def close(got, want, magnitude, K):
    """Within the rounding of a sum of K products of the given magnitude."""
    assert got.shape == want.shape
    assert np.all(np.abs(got - want) <= (K + 4) * EPS * magnitude + 1e-30)


@pytest.mark.parametrize("transpose_b", [False, True])
@pytest.mark.parametrize("transpose_a", [False, True])
@pytest.mark.parametrize("M, N, K", GEMM_CASES)
def test_matmul(isa, same_bits, rng, M, N, K, transpose_a, transpose_b):
    a, b = matrices(rng, M, N, K, transpose_a, transpose_b)
    got = same_bits(lambda: _core.matmul(a, b))
    a64, b64 = a.astype(np.float64), b.astype(np.float64)
    close(got, a64 @ b64, np.abs(a64) @ np.abs(b64), K)


@pytest.mark.parametrize("transpose_b", [False, True])
@pytest.mark.parametrize("M", [1, 2, 3, 4, 8, 33, 150])
@pytest.mark.parametrize("N, K", [(1, 1), (10, 500), (16, 7), (40, 33), (256, 784), (100, 1000)])
def test_packed_matmul(isa, same_bits, rng, M, N, K, transpose_b):
    a, b = matrices(rng, M, N, K, False, transpose_b)
    got = same_bits(lambda: _core._matmul_packed(a, b))
    a64, b64 = a.astype(np.float64), b.astype(np.float64)
    close(got, a64 @ b64, np.abs(a64) @ np.abs(b64), K)
    close(_core.matmul(a, b), a64 @ b64, np.abs(a64) @ np.abs(b64), K)


def test_packed_matmul_of_empty_matrices(isa):
    for M, N, K in [(0, 3, 4), (3, 0, 4), (3, 4, 0)]:
        a, b = np.ones((M, K), np.float32), np.ones((K, N), np.float32)
        np.testing.assert_array_equal(_core._matmul_packed(a, b), a @ b)


def test_matmul_of_odd_strides(isa, rng):
    a = rng.standard_normal((20, 30)).astype(np.float32)
    b = rng.standard_normal((30, 40)).astype(np.float32)
    views = [
        a[::2, ::3],
        a[::-1][:10, :10],
        np.broadcast_to(a[:1, :10], (10, 10)),
        np.asfortranarray(a)[:10, 5:15],
    ]
    for view in views:
        np.testing.assert_allclose(_core.matmul(view, b[:10]), view @ b[:10], rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(_core.matmul(b[:10].T, view), b[:10].T @ view, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "shapes", [((3, 4, 5), (3, 5, 6)), ((2, 1, 4, 5), (3, 5, 6)), ((4, 5), (7, 5, 2)), ((0, 4, 5), (5, 6))]
)
def test_matmul_broadcasts_batches(isa, rng, shapes):
    a, b = (rng.standard_normal(s).astype(np.float32) for s in shapes)
    np.testing.assert_allclose(_core.matmul(a, b), a @ b, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "activation, alpha", [("none", 0.0), ("relu", 0.0), ("leaky_relu", 0.1), ("tanh", 0.0)]
)
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(
    "M, N, K",
    [(1, 1, 1), (5, 33, 7), (64, 10, 128), (128, 256, 300), (0, 3, 4), (3, 4, 0), (50, 1, 80), (1, 1, 90)],
)
def test_linear_forward(isa, same_bits, rng, M, N, K, bias, activation, alpha):
    x = rng.standard_normal((M, K)).astype(np.float32)
    w = rng.standard_normal((N, K)).astype(np.float32)
    b = rng.standard_normal(N).astype(np.float32) if bias else None
    got = same_bits(lambda: _core.linear_forward(x, w, b, activation, alpha))
    b64 = None if b is None else b.astype(np.float64)
    want = reference.linear_forward(x.astype(np.float64), w.astype(np.float64), b64, activation, alpha)
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=(K + 8) * EPS * 4)


@pytest.mark.parametrize(
    "M, N, K",
    [
        (1, 1, 1),
        (5, 33, 7),
        (64, 10, 128),
        (128, 256, 300),
        (2000, 20, 24),
        (0, 3, 4),
        (3, 4, 0),
        (70, 33, 0),
        (9000, 40, 17),
    ],
)
def test_linear_backward(isa, same_bits, rng, M, N, K):
    x, w, dout = (rng.standard_normal(s).astype(np.float32) for s in [(M, K), (N, K), (M, N)])
    x64, w64, d64 = (a.astype(np.float64) for a in (x, w, dout))
    dx = same_bits(lambda: _core.linear_backward_data(dout, w))
    close(dx, d64 @ w64, np.abs(d64) @ np.abs(w64), N)
    dw, db = same_bits(lambda: _core.linear_backward_weight(dout, x, True))
    close(dw, d64.T @ x64, np.abs(d64).T @ np.abs(x64), M)
    close(db, d64.sum(0), np.abs(d64).sum(0), M)
    assert dw.T.flags.c_contiguous, "weight gradients have the weights' memory order"


def test_nan_and_infinity_reach_the_result(isa):
    a = np.array([[np.nan, 1], [np.inf, 0], [1, 2]], np.float32)
    np.testing.assert_array_equal(
        _core.matmul(a, np.eye(2, dtype=np.float32)), a @ np.eye(2, dtype=np.float32)
    )
    out = _core.linear_forward(a, np.eye(2, dtype=np.float32), None, "relu", 0.0)
    assert np.isnan(out[0, 0]) and np.isnan(out[1, 1])


def test_subnormals_count_as_zero_at_every_thread_count(isa, same_bits):
    x = np.full((64, 64), 1e-40, np.float32)
    assert not same_bits(lambda: _core.matmul(x, np.ones((64, 64), np.float32))).any()
    small = np.full((1, 1), 1e-40, np.float32)
    assert small[0, 0] * np.float32(1) != 0, "the caller's own arithmetic keeps its subnormals"


def test_refusals():
    a = np.zeros((2, 3), np.float32)
    with pytest.raises(ValueError, match=r"inner sizes differ: \(2, 3\) @ \(2, 3\)"):
        _core.matmul(a, a)
    with pytest.raises(TypeError, match="float64"):
        _core.matmul(a.astype(np.float64), a.T)
    with pytest.raises(ValueError, match="at least 2"):
        _core.matmul(a[0], a)
    with pytest.raises(ValueError, match="x has 3 features but weight expects 4"):
        _core.linear_forward(a, np.zeros((5, 4), np.float32), None, "none", 0.0)


@pytest.mark.parametrize(
    ("M", "N", "K"),
    [
        (70_001, 61, 5),  # past the caches through a buffer, whose rows need not begin a cache line
        (40_001, 61, 5),  # not yet
        (40_001, 80, 5),  # from the tiles, a last panel half as wide
        (30_001, 96, 384),
        (30_001, 96, 385),  # not for long sums
    ],
)
def test_results_larger_than_the_caches(isa, same_bits, rng, M, N, K):
    x, w = (rng.standard_normal((rows, K)).astype(np.float32) for rows in (M, N))
    b = rng.standard_normal(N).astype(np.float32)
    got = same_bits(lambda: _core.linear_forward(x, w, b, "relu", 0.0))
    x64, w64, b64 = (a.astype(np.float64) for a in (x, w, b))
    close(got, np.maximum(x64 @ w64.T + b64, 0), np.abs(x64) @ np.abs(w64.T) + np.abs(b64), K)


@pytest.mark.parametrize("K", [1, 3, 16, 40, 100, 900])
@pytest.mark.parametrize("N", [1, 7, 8, 9, 16, 20, 24, 33, 40, 100])
def test_many_rows_of_few_columns(isa, same_bits, rng, N, K):
    """Several tiles to a call, panels of one vector with twice the rows, last vectors that are not whole."""
    M = 1000
    a, b = matrices(rng, M, N, K, False, False)
    got = same_bits(lambda: _core.matmul(a, b))
    a64, b64 = a.astype(np.float64), b.astype(np.float64)
    close(got, a64 @ b64, np.abs(a64) @ np.abs(b64), K)
