"""Maps turned from channels outermost to channels innermost and back."""

from __future__ import annotations

import numpy as np
import pytest

from pynet import _core
from pynet.reference.layout import to_nhwc

SHAPES = [
    (1, 1, 1, 1),
    (2, 3, 5, 7),
    (128, 16, 5, 5),
    (3, 17, 9, 31),
    (1, 130, 33, 2),
    (5, 8, 1, 40),
    (0, 4, 5, 5),
    (2, 0, 3, 3),
]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
def test_there_and_back(isa, same_bits, rng, shape, dtype):
    x = rng.integers(-9, 9, shape).astype(dtype)
    inwards = same_bits(lambda: _core._nhwc(x))
    assert inwards.strides == to_nhwc(x).strides or 0 in shape or 1 in shape
    np.testing.assert_array_equal(inwards, x)
    outwards = same_bits(lambda: _core._c(inwards))
    assert outwards.flags.c_contiguous
    np.testing.assert_array_equal(outwards, x)


def test_what_is_in_order_is_not_copied(rng):
    x = rng.standard_normal((2, 3, 4, 5)).astype(np.float32)
    assert _core._c(x) is x
    maps = to_nhwc(x)
    assert _core._nhwc(maps) is maps


@pytest.mark.parametrize("view", [
    lambda x: x[:, ::2], lambda x: x[..., ::-1], lambda x: x.transpose(3, 2, 1, 0), lambda x: x[:, :, 1:],
    lambda x: np.broadcast_to(x[:, :1], x.shape), lambda x: x.astype(">f4"),
])  # fmt: skip
def test_other_memory(rng, view):
    x = view(rng.standard_normal((4, 6, 8, 10)).astype(np.float32))
    for turned in (_core._c(x), _core._nhwc(x)):
        np.testing.assert_array_equal(turned, x)
