"""default_collate: structures, dtypes and refusals."""

from __future__ import annotations

from collections import namedtuple

import numpy as np
import pytest

from pynet.autograd import Tensor, from_numpy
from pynet.data import default_collate


@pytest.mark.parametrize(
    ("samples", "dtype", "shape"),
    [
        ([1.5, 2.5], np.float32, (2,)),
        ([1, 2.5], np.float32, (2,)),
        ([1, 2], np.int64, (2,)),
        ([True, False], np.bool_, (2,)),
        ([np.float64(1), np.float64(2)], np.float32, (2,)),
        ([np.uint8(1), np.uint8(2)], np.int64, (2,)),
        ([np.zeros((2, 3)), np.ones((2, 3))], np.float32, (2, 2, 3)),
        ([np.zeros(3, np.float16)] * 2, np.float32, (2, 3)),
        ([np.zeros(3, ">f4")] * 2, np.float32, (2, 3)),
        ([np.zeros(3, np.int32)] * 2, np.int64, (2, 3)),
        ([np.zeros((1, 2, 2), np.uint8)] * 2, np.uint8, (2, 1, 2, 2)),
        ([from_numpy(np.ones(3, np.float32))] * 2, np.float32, (2, 3)),
    ],
)
def test_dtypes(samples, dtype, shape):
    batch = default_collate(samples)
    assert isinstance(batch, Tensor) and batch.array.dtype == dtype and batch.shape == shape
    expected = [np.asarray(getattr(sample, "array", sample)) for sample in samples]
    assert np.array_equal(batch.array, np.stack(expected))


def test_structures():
    Point = namedtuple("Point", "x y")
    samples = [{"at": Point(i, [i * 0.5, "name"]), "label": (i,)} for i in range(3)]
    batch = default_collate(samples)
    assert type(batch["at"]) is Point and type(batch["label"]) is tuple
    assert batch["at"].x.array.tolist() == [0, 1, 2]
    assert batch["at"].y[0].array.tolist() == [0, 0.5, 1] and batch["at"].y[1] == ["name"] * 3
    assert batch["label"][0].array.tolist() == [0, 1, 2]


def test_images_in_kernel_order_stay_in_it():
    images = [np.random.default_rng(i).random((4, 5, 3)).transpose(2, 0, 1) for i in range(2)]
    batch = default_collate(images).array
    assert batch.shape == (2, 3, 4, 5) and batch.transpose(0, 2, 3, 1).flags.c_contiguous
    assert np.array_equal(batch, np.stack(images).astype(np.float32))


def test_refusals():
    with pytest.raises(ValueError, match=r"one shape, got \(2,\) and \(3,\)"):
        default_collate([np.zeros(2), np.zeros(3)])
    with pytest.raises(ValueError, match="different lengths, 2 and 1"):
        default_collate([(1, 2), (1,)])
    with pytest.raises(ValueError, match="different keys"):
        default_collate([{"a": 1}, {"b": 1}])
    with pytest.raises(ValueError, match="a batch of no samples"):
        default_collate([])
    with pytest.raises(TypeError, match="samples of type NoneType"):
        default_collate([None])
    with pytest.raises(TypeError, match="samples of dtype complex128"):
        default_collate([1j])
    with pytest.raises(TypeError, match="samples of dtype object"):
        default_collate([np.array([None])])
