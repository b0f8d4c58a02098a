"""Philox streams and dropout against the reference: the same bits at every level and thread count."""

from __future__ import annotations

import numpy as np
import pytest

from pynet import _core, reference

EPS = np.finfo(np.float32).eps
SHAPES = [
    (),
    (0,),
    (1,),
    (5,),
    (1024,),
    (1025,),
    (0, 4, 2, 2),
    (3, 5, 7, 9),
    (16_384,),
    (70_001,),
    (2, 33, 40, 19),
]
STREAMS = [(0, 0), (1, 2), (2**63 + 5, 2**40 + 3), (2**64 - 1, 2**64 - 1)]


def test_known_answer():
    # Salmon et al. 2011 publish this one: counter and key all zero
    words = np.array([0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8], np.uint64)
    want = ((words >> np.uint64(8)) * 2.0**-24).astype(np.float32)
    assert np.array_equal(_core.random_uniform((4,), 0.0, 1.0, 0, 0), want)


@pytest.mark.parametrize("seed, offset", STREAMS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_uniform_has_the_bits_of_the_reference(isa, same_bits, shape, seed, offset):
    got = same_bits(lambda: _core.random_uniform(shape, 0.0, 1.0, seed, offset))
    assert got.shape == shape and got.dtype == np.float32
    assert np.array_equal(got, reference.random_uniform(shape, 0.0, 1.0, seed, offset))
    got = same_bits(lambda: _core.random_uniform(shape, -0.3, 0.9, seed, offset))
    np.testing.assert_allclose(
        got, reference.random_uniform(shape, -0.3, 0.9, seed, offset), rtol=EPS, atol=0
    )


@pytest.mark.parametrize("seed, offset", STREAMS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_normal(isa, same_bits, shape, seed, offset):
    got = same_bits(lambda: _core.random_normal(shape, 0.0, 1.0, seed, offset))
    np.testing.assert_allclose(got, reference.random_normal(shape, 0.0, 1.0, seed, offset), rtol=4 * EPS)
    got = _core.random_normal(shape, 3.0, 0.5, seed, offset)
    np.testing.assert_allclose(
        got, reference.random_normal(shape, 3.0, 0.5, seed, offset), rtol=4 * EPS, atol=4 * EPS
    )


def test_maps_are_numbered_in_memory_order(isa):
    x = _core.random_uniform((2, 3, 4, 5), 0.0, 1.0, 7, 8)
    flat = _core.random_uniform((120,), 0.0, 1.0, 7, 8)
    assert np.array_equal(x.transpose(0, 2, 3, 1).ravel(), flat)
    assert x.transpose(0, 2, 3, 1).flags.c_contiguous


@pytest.mark.parametrize(
    "low, high", [(0.0, 1.0), (-1.0, 1.0), (1.0, 1.0 + 2.0**-20), (-5.0, -4.0), (2.0, 2.0)]
)
def test_uniform_stays_below_the_upper_bound(isa, low, high):
    x = _core.random_uniform((200_000,), low, high, 1, 1)
    assert x.min() >= low
    assert x.max() < high if high > low else np.all(x == low)


def test_draws_are_independent():
    a = _core.random_uniform((4096,), 0.0, 1.0, 1, 1)
    for seed, offset in ((1, 2), (2, 1), (1 + 2**32, 1), (1, 1 + 2**32)):
        b = _core.random_uniform((4096,), 0.0, 1.0, seed, offset)
        assert abs(np.corrcoef(a, b)[0, 1]) < 0.1


def test_seeds_are_taken_modulo_64_bits():
    want = _core.random_uniform((8,), 0.0, 1.0, 2**64 - 1, 5)
    assert np.array_equal(_core.random_uniform((8,), 0.0, 1.0, -1, 5), want)
    assert np.array_equal(_core.random_uniform((8,), 0.0, 1.0, 2**65 - 1, 5 + 2**64), want)


@pytest.mark.parametrize("p", [0.0, 0.1, 0.5, 1.0])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_dropout(isa, same_bits, shape, p):
    x = np.asarray(np.random.default_rng(0).standard_normal(shape), np.float32)
    out = same_bits(lambda: _core.dropout_forward(x, p, 3, 4))
    want = reference.dropout_forward(x, p, 3, 4)
    np.testing.assert_allclose(out, want, rtol=EPS)
    assert np.array_equal(same_bits(lambda: _core.dropout_backward(x, p, 3, 4)), out)
    if x.ndim == 4:  # the same elements are dropped in whatever order x comes
        kernel_order = _core.dropout_forward(reference.layout.to_nhwc(x), p, 3, 4)
        assert np.array_equal(kernel_order, out)
        assert kernel_order.transpose(0, 2, 3, 1).flags.c_contiguous


def test_dropout_shows_nan_and_reads_views(isa):
    x = np.full((40, 7), np.nan, np.float32)
    assert np.isnan(_core.dropout_forward(x, 0.5, 1, 1)).all()
    y = np.arange(280, dtype=np.float32).reshape(40, 7)
    y.flags.writeable = False
    want = _core.dropout_forward(y, 0.5, 1, 1)
    for view in (np.asfortranarray(y), np.repeat(y, 2, axis=1)[:, ::2], y[::-1].copy()[::-1]):
        assert np.array_equal(_core.dropout_forward(view, 0.5, 1, 1), want)


def test_errors():
    x = np.zeros(3, np.float32)
    for p in (-0.1, 1.5, np.nan):
        with pytest.raises(ValueError, match="p must be from 0 to 1"):
            _core.dropout_forward(x, p, 0, 0)
    with pytest.raises(ValueError, match="negative"):
        _core.random_uniform((-1,), 0.0, 1.0, 0, 0)
    with pytest.raises(ValueError, match="larger than the address space"):
        _core.random_normal((2**40, 2**40), 0.0, 1.0, 0, 0)
    with pytest.raises(TypeError, match="float64"):
        _core.dropout_backward(np.zeros(3), 0.5, 0, 0)
