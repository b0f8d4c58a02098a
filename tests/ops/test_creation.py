"""Tensors from nothing, and dtypes."""

from __future__ import annotations

import numpy as np
import pytest

import pynet
from pynet import ops
from pynet.random import Generator


def test_constants():
    assert pynet.zeros(2, 3).tolist() == [[0.0] * 3] * 2
    assert pynet.ones((2,), dtype=np.int64).tolist() == [1, 1]
    assert pynet.full((2,), 7).dtype == np.int64 and pynet.full((2,), 7.5).tolist() == [7.5, 7.5]
    assert pynet.full(2, True).dtype == bool
    assert pynet.empty(3, 0).shape == (3, 0) and pynet.empty(()).shape == ()
    assert pynet.eye(2, 3).tolist() == [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]
    assert pynet.zeros(2, requires_grad=True).requires_grad
    assert pynet.zeros(2, 3, 4, 5).array.transpose(0, 2, 3, 1).flags.c_contiguous


def test_like():
    x = pynet.tensor(np.zeros((2, 4, 5, 3)).transpose(0, 3, 1, 2))
    for made, value in ((pynet.zeros_like(x), 0), (pynet.ones_like(x), 1), (pynet.full_like(x, 5), 5)):
        assert made.array.strides == x.array.strides and made.dtype == np.float64
        assert (made.array == value).all()
    assert pynet.empty_like(x, dtype=np.float32).dtype == np.float32
    assert pynet.rand_like(x).dtype == np.float64 and pynet.randn_like(x).shape == x.shape


def test_ranges():
    assert pynet.arange(3).tolist() == [0, 1, 2] and pynet.arange(3).dtype == np.int64
    assert pynet.arange(1, 2, 0.5).tolist() == [1.0, 1.5] and pynet.arange(1.0).dtype == np.float32
    assert pynet.arange(3, 0, -1).tolist() == [3, 2, 1]
    assert pynet.linspace(0, 1, 5).tolist() == [0.0, 0.25, 0.5, 0.75, 1.0]
    with pytest.raises(ValueError, match="step must not be 0"):
        pynet.arange(0, 3, 0)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_distributions(dtype):
    generator = Generator(1)
    uniform = pynet.rand(10_000, dtype=dtype, generator=generator).array
    assert uniform.dtype == dtype and uniform.min() >= 0 and uniform.max() < 1
    assert abs(uniform.mean() - 0.5) < 0.02 and abs(uniform.var() - 1 / 12) < 0.01
    normal = pynet.randn(10_000, dtype=dtype, generator=generator).array
    assert abs(normal.mean()) < 0.05 and abs(normal.std() - 1) < 0.05


def test_seeds():
    pynet.manual_seed(4)
    first = [pynet.rand(5).tolist(), pynet.randint(0, 9, (5,)).tolist(), pynet.randperm(9).tolist()]
    assert pynet.rand(5).tolist() != first[0]
    pynet.manual_seed(4)
    assert [pynet.rand(5).tolist(), pynet.randint(0, 9, (5,)).tolist(), pynet.randperm(9).tolist()] == first


def test_randint_and_randperm():
    drawn = pynet.randint(2, 5, (1000,))
    assert drawn.dtype == np.int64 and set(drawn.tolist()) == {2, 3, 4}
    assert set(pynet.randint(2, (100,)).tolist()) == {0, 1}
    assert sorted(pynet.randperm(20).tolist()) == list(range(20))
    with pytest.raises(ValueError, match="high must exceed low"):
        pynet.randint(3, 3, (1,))
    with pytest.raises(ValueError, match="must not be negative"):
        pynet.randperm(-1)


def test_one_hot():
    assert ops.one_hot(pynet.tensor([0, 2])).tolist() == [[1, 0, 0], [0, 0, 1]]
    assert ops.one_hot([1], 3).tolist() == [[0, 1, 0]]
    with pytest.raises(IndexError, match="label 3 is out of range for 3 classes"):
        ops.one_hot([3], 3)
    with pytest.raises(TypeError, match="labels must be integers"):
        ops.one_hot([0.0])


@pytest.mark.parametrize("make", [pynet.zeros, pynet.ones, pynet.empty, pynet.rand, pynet.randn])
def test_sizes_that_are_refused(make):
    with pytest.raises(ValueError, match="must not be negative"):
        make(-1)
    with pytest.raises(ValueError, match="larger than 64-bit sizes"):
        make(2**40, 2**40)
    for size in (True, 2.0, "3"):
        with pytest.raises(TypeError, match="a size must be an int"):
            make(size)


def test_dtypes_that_are_refused():
    with pytest.raises(TypeError, match="not float16; use float32"):
        pynet.zeros(2, dtype=np.float16)
    with pytest.raises(TypeError, match="random numbers are float32 or float64"):
        pynet.rand(2, dtype=np.int64)
    with pytest.raises(TypeError, match="not complex64"):
        pynet.ones(1).to(np.complex64)
    with pytest.raises(TypeError, match="is no dtype"):
        pynet.ones(1).to("floaty")
    with pytest.raises(ValueError, match="runs on the CPU, there is no device 'cuda:0'"):
        pynet.ones(1).to("cuda:0")


def test_casts():
    x = pynet.tensor([1.5, 2.5], requires_grad=True)
    assert x.to("cpu") is x and x.float() is x and x.cpu() is x
    (x.double() * 2.0).sum().backward()
    assert x.grad.tolist() == [2.0, 2.0] and x.grad.dtype == np.float32
    assert x.to(pynet.int64).tolist() == [1, 2] and not x.long().requires_grad
    assert pynet.tensor([1, 2]).float().dtype == np.float32
    assert x.to(pynet.zeros(1, dtype=np.float64)).dtype == np.float64
    assert pynet.gradcheck(lambda t: t.clone() * 2.0, (pynet.ones(2, dtype=np.float64, requires_grad=True),))
