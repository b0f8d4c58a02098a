"""Comparisons and logic."""

from __future__ import annotations

import numpy as np
import pytest

import pynet
from pynet import ops


@pytest.mark.parametrize("name", ["equal", "not_equal", "less", "less_equal", "greater", "greater_equal"])
def test_comparisons(name):
    a, b = pynet.tensor([1.0, 2.0, np.nan]), pynet.tensor([2.0, 2.0, np.nan])
    out = getattr(ops, name)(a, b)
    assert out.dtype == bool and not out.requires_grad
    np.testing.assert_array_equal(out.array, getattr(np, name)(a.array, b.array))


def test_operators():
    t = pynet.tensor([1.0, 2.0, 3.0], requires_grad=True)
    assert (t > 1.5).tolist() == [False, True, True]
    assert (t <= 2).tolist() == [True, True, False]
    assert ((t > 1) & (t < 3)).tolist() == [False, True, False]
    assert ((t > 2) | (t < 2)).tolist() == [True, False, True]
    assert ((t > 1) ^ (t > 2)).tolist() == [False, True, False]
    assert (~(t > 1)).tolist() == [True, False, False]
    assert (pynet.tensor([1, 2]) == np.array([1, 3])).tolist() == [True, False]
    assert 2.0 in t and 5.0 not in t


def test_int_beyond_the_dtype_compares():
    assert (pynet.tensor([1], dtype=np.uint8) < 1000).tolist() == [True]


def test_logic_on_floats():
    with pytest.raises(TypeError, match="no bits to combine"):
        pynet.ones(2) & pynet.ones(2)
    with pytest.raises(TypeError, match="no bits to invert"):
        ~pynet.ones(2)


def test_isnan_and_allclose():
    t = pynet.tensor([1.0, np.nan])
    assert ops.isnan(t).tolist() == [False, True]
    assert not pynet.allclose(t, t) and pynet.allclose(t, t, equal_nan=True)
