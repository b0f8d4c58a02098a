"""Transforms: values, layouts, statistics and their state."""

from __future__ import annotations

import numpy as np
import pytest

from pynet.data import ArrayDataset, DataLoader
from pynet.data.transforms import (
    Compose,
    Grayscale,
    Normalize,
    Resize,
    ToFloat,
    ToTensor,
)


def pixels(shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def test_to_tensor():
    image = pixels((4, 5, 3))
    tensor = ToTensor()(image)
    assert tensor.dtype == np.float32 and tensor.shape == (3, 4, 5)
    assert np.allclose(tensor, image.transpose(2, 0, 1) / 255, atol=1e-7)
    assert tensor.transpose(1, 2, 0).flags.c_contiguous
    assert ToTensor()(image[:, :, 0]).shape == (1, 4, 5)
    assert ToTensor()(np.full((2, 2), 255, np.uint8)).max() == 1
    assert np.array_equal(ToTensor()(np.full((2, 2), 3.0)), np.full((1, 2, 2), 3.0))


@pytest.mark.parametrize(("mode", "channels"), [("L", 1), ("RGB", 3), ("1", 1)])
def test_to_tensor_of_pillow_images(mode, channels):
    pillow = pytest.importorskip("PIL.Image")
    tensor = ToTensor()(pillow.new(mode, (5, 4), "white"))
    assert tensor.shape == (channels, 4, 5) and (tensor == 1).all()


def test_to_tensor_refuses():
    with pytest.raises(TypeError, match=r"uint8 or float, got dtype int64"):
        ToTensor()(np.zeros((2, 2), np.int64))
    with pytest.raises(ValueError, match=r"\(H, W, C\) or \(H, W\), got shape \(1, 2, 2, 3\)"):
        ToTensor()(pixels((1, 2, 2, 3)))


@pytest.mark.parametrize("shape", [(3, 4, 5), (2, 3, 4, 5)])
@pytest.mark.parametrize("kernel_order", [False, True])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
def test_normalize_in_any_layout(shape, kernel_order, dtype):
    mean, std = np.array([0.1, 0.5, 0.9]), np.array([0.2, 0.3, 0.4])
    image = pixels(shape)
    if dtype != np.uint8:
        image = (image / 255).astype(dtype)
    to_kernel = (*range(len(shape) - 3), len(shape) - 2, len(shape) - 1, len(shape) - 3)
    if kernel_order:
        image = np.ascontiguousarray(image.transpose(to_kernel)).transpose(np.argsort(to_kernel))
    before = image.copy()
    result = Normalize(mean, std)(image)
    unit = image / 255 if dtype == np.uint8 else image
    expected = (unit - mean.reshape(-1, 1, 1)) / std.reshape(-1, 1, 1)
    assert result.dtype == np.float32 and np.allclose(result, expected, atol=1e-5)
    assert result.transpose(to_kernel).flags.c_contiguous == kernel_order
    assert np.allclose(Normalize(mean, std).inverse(result), unit, atol=1e-6)
    assert np.array_equal(image, before)


def test_normalize_refuses():
    with pytest.raises(ValueError, match=r"std must be positive and finite"):
        Normalize(0.5, 0)
    with pytest.raises(ValueError, match=r"equally long"):
        Normalize([0.5, 0.5], [1])
    with pytest.raises(ValueError, match=r"3 channels in the statistics, but the image has 1"):
        Normalize([0.5] * 3, [1] * 3)(pixels((1, 2, 2)))
    with pytest.raises(ValueError, match=r"must be \(C, H, W\) or \(N, C, H, W\), got shape \(2, 2\)"):
        Normalize(0.5, 1)(pixels((2, 2)))
    with pytest.raises(TypeError, match=r"uint8 or float, got dtype int64"):
        Normalize(0.5, 1)(np.zeros((1, 2, 2), np.int64))


def test_a_loader_applies_batched_transforms_once_a_batch():
    shapes = []

    class Recording(Normalize):
        def __call__(self, image):
            shapes.append(image.shape)
            return super().__call__(image)

    images = pixels((10, 3, 4, 4))
    transform = Compose([ToFloat(), Recording(0.5, 0.5)])
    dataset = ArrayDataset(images, np.arange(10), transform=transform)
    batches = [batch.array for batch, _ in DataLoader(dataset, 6)]
    assert shapes == [(6, 3, 4, 4), (4, 3, 4, 4)]
    assert np.array_equal(np.concatenate(batches), np.stack([dataset[i][0] for i in range(10)]))


def test_compose_is_batched_only_when_all_parts_are():
    assert Compose([ToFloat(), Normalize(0, 1)]).batched
    assert not Compose([ToTensor(), Normalize(0, 1)]).batched


def test_resize_and_grayscale():
    pillow = pytest.importorskip("PIL.Image")
    image = pillow.new("RGB", (40, 20), (255, 0, 0))
    assert Resize((5, 7))(image).size == (7, 5)
    assert Resize(10)(image).size == (20, 10)
    assert Resize(10)(pixels((20, 40))).size == (20, 10)
    assert Grayscale()(image).mode == "L" and Grayscale(3)(image).mode == "RGB"
    assert np.asarray(Grayscale()(image))[0, 0] == round(255 * 0.299)
    assert Compose([Grayscale(), Resize((4, 4)), ToTensor()])(image).shape == (1, 4, 4)


def test_resize_and_grayscale_refuse():
    for size in (0, (1, 2, 3), (4, 0), 1.5, True):
        with pytest.raises((ValueError, TypeError), match=r"Resize: size|not iterable"):
            Resize(size)
    with pytest.raises(ValueError, match=r"must be 1 or 3, got 2"):
        Grayscale(2)
    with pytest.raises(TypeError, match=r"a Pillow image or a uint8 array"):
        Resize(4)(np.zeros((2, 2)))
