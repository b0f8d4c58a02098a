"""Philox against published answers, the numbering of elements, the distributions; and dropout."""

from __future__ import annotations

import numpy as np
import pytest

from pynet import reference
from pynet.reference.random import philox4x32, random_words

ONES = 0xFFFFFFFF


@pytest.mark.parametrize(
    ("counter", "key", "answer"),
    [
        ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        ((ONES,) * 4, (ONES,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
        ),
    ],
)
def test_philox_known_answers(counter, key, answer):
    words = philox4x32(tuple(np.array([word], np.uint64) for word in counter), key)
    assert tuple(int(word[0]) for word in words) == answer


def test_words_place_seed_and_offset_as_64_bit_numbers():
    seed, offset = 0x299F31D0A4093822, 0x0370734413198A2E
    words = random_words(8, seed, offset)
    for block in range(2):
        counter = (block, 0, 0x13198A2E, 0x03707344)
        expected = philox4x32(
            tuple(np.array([word], np.uint64) for word in counter), (0xA4093822, 0x299F31D0)
        )
        assert words[block].tolist() == [int(word[0]) for word in expected]
    np.testing.assert_array_equal(random_words(5, -1, 0), random_words(5, 2**64 - 1, 0))


def test_uniform_is_the_upper_24_bits():
    u = reference.random_uniform((3,), 0.0, 1.0, 0, 0)
    np.testing.assert_array_equal(u, [(w >> 8) / 2**24 for w in (0x6627E8D5, 0xE169C58D, 0xBC57AC4C)])
    np.testing.assert_array_equal(reference.random_uniform((3,), -2.0, 6.0, 0, 0), -2 + 8 * u)


def test_normal_is_box_muller():
    u = reference.random_uniform((4,), 0.0, 1.0, 9, 4)
    z = reference.random_normal((3,), 1.0, 2.0, 9, 4)
    first, second = np.sqrt(-2 * np.log(1 - u[0])), np.sqrt(-2 * np.log(1 - u[2]))
    angles = 2 * np.pi * u[[1, 3]]
    expected = [first * np.cos(angles[0]), first * np.sin(angles[0]), second * np.cos(angles[1])]
    np.testing.assert_allclose(z, 1 + 2 * np.array(expected), rtol=1e-14)


@pytest.mark.parametrize("draw", [reference.random_uniform, reference.random_normal])
def test_elements_are_numbered_in_memory_order(draw):
    flat = draw((24,), 0.0, 1.0, 3, 1)
    np.testing.assert_array_equal(draw((4, 6), 0.0, 1.0, 3, 1).ravel(), flat)
    np.testing.assert_array_equal(draw((2, 3, 2, 2), 0.0, 1.0, 3, 1).transpose(0, 2, 3, 1).ravel(), flat)
    assert draw((0, 3), 0.0, 1.0, 3, 1).shape == (0, 3)
    assert draw((), 0.0, 1.0, 3, 1) == flat[0]


def test_streams_differ():
    draws = [
        reference.random_uniform((100,), 0, 1, seed, offset) for seed, offset in [(0, 0), (0, 1), (1, 0)]
    ]
    for i, j in [(0, 1), (0, 2), (1, 2)]:
        assert not np.isin(draws[i], draws[j]).any()


def test_distributions():
    stats = pytest.importorskip("scipy.stats")
    uniform = reference.random_uniform((20000,), -1.0, 3.0, 7, 0)
    normal = reference.random_normal((20000,), 2.0, 0.5, 7, 1)
    assert stats.kstest(uniform, stats.uniform(-1, 4).cdf).pvalue > 0.01
    assert stats.kstest(normal, stats.norm(2, 0.5).cdf).pvalue > 0.01


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(40,), (2, 3, 4, 5), (0, 2)])
def test_dropout_keeps_where_the_uniform_is_large(dtype, shape):
    out = reference.dropout_forward(np.ones(shape, dtype), 0.25, 5, 2)
    keep = reference.random_uniform(shape, 0.0, 1.0, 5, 2) >= 0.25
    np.testing.assert_array_equal(out, np.where(keep, dtype(1 / 0.75), dtype(0)))
    assert out.dtype == dtype


def test_dropout_gradient(rng, check_gradient):
    x, dout = rng.standard_normal((2, 3, 2, 2, 2))
    dx = reference.dropout_backward(dout, 0.4, 1, 6)
    check_gradient(lambda v: reference.dropout_forward(v, 0.4, 1, 6), x, dx, dout)


def test_dropout_extremes(rng):
    x = rng.standard_normal(50)
    np.testing.assert_array_equal(reference.dropout_forward(x, 0.0, 1, 1), x)
    np.testing.assert_array_equal(reference.dropout_forward(x, 1.0, 1, 1), np.zeros(50))


def test_dropout_rate_and_mean():
    out = reference.dropout_forward(np.ones(100_000), 0.3, 11, 0)
    assert np.mean(out == 0) == pytest.approx(0.3, abs=0.006)  # four standard deviations
    assert out.mean() == pytest.approx(1.0, abs=0.01)
