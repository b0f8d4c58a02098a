"""gradcheck finds wrong gradients and names where."""

from __future__ import annotations

import numpy as np
import pytest

import pynet
from pynet.autograd import Operation, record
from pynet.gradcheck import GradcheckError, gradcheck


def leaf(*shape):
    return pynet.tensor(np.random.default_rng(0).standard_normal(shape), requires_grad=True)


def scaled(factor):
    """2 x, with a gradient that is off by `factor` in its last element."""

    def backward(dout, saved, needs):
        dx = 2 * dout
        dx[..., -1] *= factor
        return (dx,)

    operation = Operation("scaled", lambda x: (2 * x, ()), backward)
    return lambda x: record(operation, (x,))


def test_right_gradients():
    x, y = leaf(2, 3), leaf(3)
    assert gradcheck(lambda a, b: (a * b, a.sum(0) - b), (x, y))
    assert gradcheck(scaled(1.0), x)


def test_wrong_gradient_names_input_and_element():
    with pytest.raises(
        GradcheckError,
        match=r"output 0 element \(0, 2\) with respect to input 1 element \(0, 2\) is 3 on the tape but 2 ",
    ):
        gradcheck(lambda a, b: scaled(1.5)(b), (pynet.ones(1), leaf(2, 3)))
    assert gradcheck(scaled(1.5), (leaf(3),), raise_exception=False) is False


def test_tolerances():
    assert gradcheck(scaled(1.01), (leaf(3),), rtol=0.02)
    assert not gradcheck(scaled(1.01), (leaf(3),), raise_exception=False)


def test_missing_gradient_is_found():
    nothing = Operation("nothing", lambda x: (x * 1.0, ()), lambda dout, saved, needs: (None,))
    with pytest.raises(GradcheckError, match="is 0 on the tape but 1 by differences"):
        gradcheck(lambda x: record(nothing, (x,)), (leaf(2),))


def test_inputs_are_left_as_they_were_and_may_be_closed_over():
    x = leaf(3)
    before = x.array.copy()
    assert gradcheck(lambda _: x * x, (x,))
    np.testing.assert_array_equal(x.array, before)
    assert x.grad is None


def test_what_cannot_be_checked():
    with pytest.raises(ValueError, match="no input requires a gradient"):
        gradcheck(lambda x: x, (pynet.ones(2),))
    with pytest.raises(ValueError, match=r"input 0 is float32; differences need float64, use \.double"):
        gradcheck(lambda x: x, (pynet.ones(2, requires_grad=True),))
