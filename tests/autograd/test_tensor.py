"""Tensors: what they are made of, what they share, what they say of themselves."""

from __future__ import annotations

import numpy as np
import pytest

import pynet
from pynet import ops
from pynet.autograd import Tensor
from tests.autograd.leaf import leaf


def test_tensor_copies_and_from_numpy_shares():
    a = np.arange(3.0)
    copied, shared = pynet.tensor(a), pynet.from_numpy(a)
    a[0] = 7.0
    assert copied.tolist() == [0.0, 1.0, 2.0]
    assert shared.tolist() == [7.0, 1.0, 2.0]
    assert shared.numpy() is a


@pytest.mark.parametrize(
    ("data", "dtype"),
    [
        (1.0, "float32"),
        ([1.0, 2], "float32"),
        ([[1, 2]], "int64"),
        (True, "bool"),
        ([], "float32"),
        (np.arange(2.0), "float64"),
        (np.float64(1), "float64"),
        (np.array([1], np.uint8), "uint8"),
        ([np.float64(1)], "float64"),
    ],
)
def test_dtypes_of_tensor(data, dtype):
    assert pynet.tensor(data).dtype == dtype


def test_lists_of_tensors():
    t = pynet.tensor([pynet.tensor(1.0), pynet.tensor(2.0)])
    assert t.tolist() == [1.0, 2.0] and t.dtype == np.float32


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.ones(2, np.float16), r"got float16; convert with array.astype\(np.float32\)"),
        (np.ones(2, np.longdouble), "float128|longdouble|float96"),
        (np.ones(2, complex), "complex values, got complex128"),
        (np.array([None, 1]), "array of objects"),
        (np.array(["a"]), "got <U1"),
        (np.zeros(2, [("a", "f4")]), "structured array"),
        (np.ma.masked_array([1.0], [True]), "masked array"),
        (np.array(["2020-01-01"], "M8[D]"), "got datetime64"),
    ],
    ids=["float16", "longdouble", "complex", "object", "string", "structured", "masked", "date"],
)
@pytest.mark.parametrize("make", [pynet.tensor, pynet.from_numpy, Tensor])
def test_refused_dtypes(make, array, message):
    with pytest.raises(TypeError, match=message):
        make(array)


def test_other_refused_data():
    with pytest.raises(OverflowError):
        pynet.tensor(2**64)
    with pytest.raises(OverflowError):
        pynet.tensor([1, 2**63])
    with pytest.raises(ValueError, match="the rows have different lengths"):
        pynet.tensor([[1.0], [1.0, 2.0]])
    with pytest.raises(TypeError, match="expected an ndarray"):
        pynet.from_numpy([1.0])


def test_unusual_memory_reads_the_same():
    values = np.random.default_rng(0).standard_normal((4, 6))
    weight = leaf(5, 6)
    expected = ops.linear(pynet.tensor(values), weight).detach().numpy()
    padded = np.zeros(values.nbytes + 1, np.uint8)
    unaligned = padded[1:].view(np.float64).reshape(values.shape)
    unaligned[...] = values
    readonly = values.copy()
    readonly.flags.writeable = False
    reversed_ = values[::-1, ::-1].copy()[::-1, ::-1]
    for array in (np.asfortranarray(values), values.astype(">f8"), unaligned, readonly, reversed_):
        np.testing.assert_allclose(
            ops.linear(pynet.from_numpy(array), weight).detach().numpy(), expected, rtol=1e-12
        )
    spread = pynet.from_numpy(np.broadcast_to(values[:1], (4, 6)))
    np.testing.assert_allclose(ops.linear(spread, weight).detach().numpy(), np.repeat(expected[:1], 4, 0))
    assert pynet.tensor(values.astype(">f8")).dtype.isnative
    assert pynet.from_numpy(values.astype(">f8")).dtype.isnative


def test_numpy_of_a_tensor_that_requires_a_gradient():
    x = leaf(2)
    with pytest.raises(RuntimeError, match="use detach"):
        x.numpy()
    with pytest.raises(RuntimeError, match="use detach"):
        np.asarray(x)
    assert np.shares_memory(x.detach().numpy(), x.array)


def test_array_protocol():
    t = pynet.tensor([1.5, 2.5])
    assert np.asarray(t) is t.numpy()
    assert np.asarray(t, dtype=np.float64).dtype == np.float64
    assert not np.shares_memory(np.array(t), t.numpy())


def test_dlpack_both_ways():
    t = pynet.tensor([[1.0, 2.0]])
    seen = np.from_dlpack(t)
    assert np.shares_memory(seen, t.numpy())
    back = pynet.from_dlpack(np.arange(3, dtype=np.float32))
    assert back.tolist() == [0.0, 1.0, 2.0]
    assert t.__dlpack_device__() == (1, 0)
    with pytest.raises(TypeError, match="has no __dlpack__"):
        pynet.from_dlpack([1.0])


def test_scalars_to_python():
    t = pynet.tensor([[2.5]])
    assert t.item() == 2.5 and float(t) == 2.5 and int(t) == 2 and bool(t)
    assert isinstance(t.item(), float)
    assert [10, 20][pynet.tensor(1)] == 20
    assert f"{pynet.tensor(0.125):.2f}" == "0.12"
    with pytest.raises(ValueError, match=r"shape \(2,\) has 2 elements"):
        pynet.tensor([1.0, 2.0]).item()
    with pytest.raises(ValueError, match="ambiguous"):
        bool(pynet.tensor([1.0, 2.0]))
    with pytest.raises(TypeError, match="cannot be an index"):
        [1, 2][pynet.tensor(1.0)]
    with pytest.raises(TypeError, match="0-d tensor"):
        len(pynet.tensor(1.0))


def test_sizes():
    t = pynet.zeros(2, 3)
    assert (t.shape, t.ndim, t.dim(), t.size(), t.size(1), t.numel(), len(t)) == (
        (2, 3),
        2,
        2,
        (2, 3),
        3,
        6,
        2,
    )
    assert t.device == "cpu" and t.is_leaf and t.is_floating_point()
    assert [row.shape for row in t] == [(3,), (3,)]


def test_detach_shares_memory_and_not_the_tape():
    x = leaf(2)
    y = (x * 2.0).detach()
    assert not y.requires_grad and y.grad_fn is None
    assert np.shares_memory(x.detach().array, x.array)


def test_repr():
    assert repr(pynet.tensor([1.0, 2.5])) == "tensor([1. , 2.5])"
    assert repr(pynet.tensor([1, 2])) == "tensor([1, 2])"
    assert repr(leaf(0).detach()) == "tensor([], shape=(0,), dtype=float64)"
    x = pynet.tensor([1.0], requires_grad=True)
    assert repr(x) == "tensor([1.], requires_grad=True)"
    assert repr(x.reshape(1, 1)) == "tensor([[1.]], grad_fn=<reshape>)"
    assert repr(pynet.zeros(100, 100)).endswith("shape=(100, 100))")


def test_deepcopy():
    import copy

    x = leaf(2)
    (x * 2.0).sum().backward()
    y = copy.deepcopy([x, x])
    assert y[0] is y[1] and y[0].requires_grad
    assert not np.shares_memory(y[0].array, x.array)
    assert y[0].grad.tolist() == [2.0, 2.0] and not np.shares_memory(y[0].grad.array, x.grad.array)
    maps = pynet.tensor(np.zeros((2, 4, 4, 3)).transpose(0, 3, 1, 2))
    assert copy.deepcopy(maps).array.strides == maps.array.strides
    with pytest.raises(RuntimeError, match="deepcopy of the result"):
        copy.deepcopy(x * 1.0)


def test_hash_is_identity_and_comparison_elementwise():
    x, y = leaf(2), leaf(2)
    assert len({x: 1, y: 2}) == 2
    assert (x == y).tolist() == [True, True]
    assert (x == None) is False  # noqa: E711
    assert (x != "a") is True
