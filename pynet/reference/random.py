"""Random numbers as a pure function of (seed, offset, element number): the generator Philox4x32-10.

A counter-based generator is a keyed scrambling of the integers: ten rounds of multiplying and xor-ing turn
128 bits of counter and 64 bits of key into 128 bits that pass for random. There is no state to carry along,
so that every element can be computed by any thread, in any order, or again in the backward pass.

Key: the seed. Counter: (element number // 4, offset); each call yields four 32-bit words, and element i takes
word i % 4. `offset` numbers the draws, so that each draw is an independent stream. Elements are numbered in
memory order: NHWC for a 4-D shape, C order otherwise.

Source:
    Salmon, Moraes, Dror and Shaw 2011, Parallel random numbers: as easy as 1, 2, 3.
    Box and Muller 1958, A note on the generation of random normal deviates.
"""

from __future__ import annotations

import math

import numpy as np

from .layout import from_memory_order

_MULTIPLIERS = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_KEY_STEPS = 0x9E3779B9, 0xBB67AE85
_LOW = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)


def philox4x32(
    counter: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray], key: tuple[int, int], rounds: int = 10
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Scramble counters.

    Args:
        counter: four uint64 arrays of one shape, each holding 32-bit words.
        key: two 32-bit words.
        rounds: 10 in Philox4x32-10.

    Returns:
        Four uint64 arrays, each holding 32-bit words.
    """
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(rounds):
        left, right = _MULTIPLIERS[0] * c0, _MULTIPLIERS[1] * c2
        c0, c1, c2, c3 = (
            (right >> _HALF) ^ c1 ^ np.uint64(k0),
            right & _LOW,
            (left >> _HALF) ^ c3 ^ np.uint64(k1),
            left & _LOW,
        )
        k0, k1 = (k0 + _KEY_STEPS[0]) & 0xFFFFFFFF, (k1 + _KEY_STEPS[1]) & 0xFFFFFFFF
    return c0, c1, c2, c3


def random_words(count: int, seed: int, offset: int) -> np.ndarray:
    """Return uint32 words (blocks, 4), blocks = ceil(count / 4); element i takes word [i // 4, i % 4]."""
    block = np.arange(-(-count // 4), dtype=np.uint64)
    high, low = (np.full_like(block, half) for half in divmod(offset & (2**64 - 1), 2**32))
    k1, k0 = divmod(seed & (2**64 - 1), 2**32)
    words = philox4x32((block & _LOW, block >> _HALF, low, high), (k0, k1))
    return np.stack(words, axis=-1).astype(np.uint32)


def unit_uniforms(count: int, seed: int, offset: int) -> np.ndarray:
    """Return float64 (blocks, 4) in [0, 1): the upper 24 bits of each word, exact in float32 too."""
    return (random_words(count, seed, offset) >> np.uint32(8)) * 2.0**-24


def random_uniform(shape: tuple[int, ...], low: float, high: float, seed: int, offset: int) -> np.ndarray:
    """Draw from the uniform distribution on [low, high).

    Args:
        shape: of the result.
        low: lower bound.
        high: upper bound.
        seed: 64 bits.
        offset: number of the draw, 64 bits.

    Returns:
        float64 array.
    """
    count = math.prod(shape)
    u = unit_uniforms(count, seed, offset).reshape(-1)[:count]
    return from_memory_order(low + (high - low) * u, shape)


def random_normal(shape: tuple[int, ...], mean: float, std: float, seed: int, offset: int) -> np.ndarray:
    """Draw from the normal distribution by the Box-Muller transform of the word pairs (0, 1) and (2, 3).

    Args:
        shape: of the result.
        mean: of the distribution.
        std: standard deviation.
        seed: 64 bits.
        offset: number of the draw, 64 bits.

    Returns:
        float64 array.
    """
    count = math.prod(shape)
    pairs = unit_uniforms(count, seed, offset).reshape(-1, 2)
    radius, angle = np.sqrt(-2.0 * np.log(1.0 - pairs[:, 0])), 2.0 * np.pi * pairs[:, 1]
    z = np.stack((radius * np.cos(angle), radius * np.sin(angle)), axis=-1).reshape(-1)[:count]
    return from_memory_order(mean + std * z, shape)
