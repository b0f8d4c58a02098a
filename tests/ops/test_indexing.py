"""Reading by index."""

from __future__ import annotations

import numpy as np
import pytest

import pynet
from pynet import gradcheck, ops

INDICES = {
    "int": 1,
    "negative": -1,
    "slice": slice(0, 2),
    "step": slice(None, None, -2),
    "tuple": (0, slice(1, 3), 2),
    "none": (slice(None), None, 1),
    "ellipsis": (..., 1),
    "list": [2, 0, 2],
    "array": np.array([[0, 1], [2, 2]]),
    "two arrays": (np.array([0, 1, 0]), np.array([1, 1, 1])),
    "mixed": (slice(None), np.array([0, 0, 3]), 1),
    "mask": np.array([True, False, True]),
    "numpy int": np.int64(1),
    "empty list": [],
}


@pytest.mark.parametrize("name", INDICES)
def test_values_and_gradients(name, make):
    x = make(3, 4, 5)
    index = INDICES[name]
    np.testing.assert_array_equal(
        x[index].array, x.array[np.array([], int) if isinstance(index, list) and not index else index]
    )
    if x[index].numel():
        assert gradcheck(lambda t: t[index], (x,))


def test_tensors_as_indices(make):
    x = make(3, 4)
    np.testing.assert_array_equal(x[pynet.tensor([2, 0])].array, x.array[[2, 0]])
    np.testing.assert_array_equal(x[x > 0].array, x.array[x.array > 0])
    assert x[pynet.tensor(1), 2].item() == x.array[1, 2]
    np.testing.assert_array_equal(x[pynet.tensor(1) : pynet.tensor(3)].array, x.array[1:3])
    assert gradcheck(lambda t: t[t > 0], (x,))


def test_repeated_index_adds_up():
    x = pynet.zeros(3, dtype=np.float64, requires_grad=True)
    x[[1, 1, 1, 0]].sum().backward()
    assert x.grad.tolist() == [1.0, 3.0, 0.0]


def test_the_tape_keeps_its_own_index():
    x = pynet.zeros(3, dtype=np.float64, requires_grad=True)
    index = np.array([0, 1])
    y = x[index].sum()
    index[:] = 2
    y.backward()
    assert x.grad.tolist() == [1.0, 1.0, 0.0]


def test_basic_is_a_view_and_advanced_a_copy():
    x = pynet.zeros(3, 4)
    assert np.shares_memory(x[1:].array, x.array) and np.shares_memory(x[0, 0].array, x.array)
    assert not np.shares_memory(x[[0, 1]].array, x.array)
    assert x[0, 0].shape == ()


@pytest.mark.parametrize("index", [3, -4, (0, 4), [0, 3], np.array([-4]), (0, 0, 0)], ids=str)
def test_out_of_range(index):
    with pytest.raises(IndexError, match=r"the tensor has shape \(3, 4\)"):
        pynet.zeros(3, 4)[index]


@pytest.mark.parametrize("index", [1.0, "a", np.array([1.0]), (0, 1.5)], ids=str)
def test_other_types(index):
    with pytest.raises(IndexError, match="must be"):
        pynet.zeros(3, 4)[index]


def test_zero_dimensional():
    s = pynet.tensor(3.0)
    assert s[()].item() == 3.0 and s[...].item() == 3.0 and s[None].shape == (1,)
    with pytest.raises(IndexError, match="shape"):
        s[0]
    with pytest.raises(TypeError, match="0-d tensor cannot be iterated"):
        iter(s)


def test_gather_and_index_select(make):
    x = make(3, 4)
    index = np.array([[0, 2, 1, 0], [2, 2, 0, 1]])
    np.testing.assert_array_equal(x.gather(0, index).array, np.take_along_axis(x.array, index, 0))
    assert gradcheck(lambda t: t.gather(0, index), (x,))
    np.testing.assert_array_equal(x.index_select(1, np.array([3, 3, 0])).array, x.array[:, [3, 3, 0]])
    assert gradcheck(lambda t: t.index_select(1, np.array([3, 3, 0])), (x,))
    with pytest.raises(ValueError, match="index must be integers with 2 axes"):
        ops.gather(x, 0, np.array([1]))
    with pytest.raises(IndexError, match="gather: positions from 3 to 3 do not fit into an axis of 3"):
        x.gather(0, np.array([[3]]))
