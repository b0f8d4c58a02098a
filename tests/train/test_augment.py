"""Augmentations: right pixels, kept memory order, ruled by pynet's seed."""

from __future__ import annotations

import numpy as np
import pytest

from pynet import random
from pynet.train import augment


def images(order: str) -> np.ndarray:
    array = np.arange(40 * 2 * 5 * 6, dtype=np.float32).reshape(40, 2, 5, 6)
    return (
        np.ascontiguousarray(array.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2) if order == "nhwc" else array
    )


@pytest.mark.parametrize("order", ["nchw", "nhwc"])
@pytest.mark.parametrize("name", list(augment.AUGMENTATIONS))
def test_order_and_seed(order, name):
    source = images(order)
    before = source.copy()
    apply = augment.compose([name])
    random.manual_seed(4)
    first, second = apply(source), apply(source)
    random.manual_seed(4)
    assert np.array_equal(apply(source), first)
    assert not np.array_equal(first, second)
    assert np.array_equal(source, before)
    assert first.strides == source.strides


def test_flip_mirrors_about_half_of_the_images():
    source = images("nchw")
    flipped = augment.flip_horizontally(source)
    same = (flipped == source).all(axis=(1, 2, 3))
    mirrored = (flipped == source[..., ::-1]).all(axis=(1, 2, 3))
    assert (same | mirrored).all()
    assert 5 < mirrored.sum() < 35


def test_shift_moves_by_at_most_the_given_pixels_and_repeats_the_edge():
    source = images("nchw")
    padded = np.pad(source, ((0, 0), (0, 0), (2, 2), (2, 2)), mode="edge")
    windows = [
        padded[:, :, 2 - d : 7 - d, 2 - r : 8 - r] for d in (-2, -1, 0, 1, 2) for r in (-2, -1, 0, 1, 2)
    ]
    shifted = augment.shift(source, 2)
    matches = np.stack([(shifted == window).all(axis=(1, 2, 3)) for window in windows])
    assert matches.any(axis=0).all()
    assert matches.any(axis=1).sum() > 10


def test_unknown_names_are_refused():
    assert augment.compose([]) is None
    with pytest.raises(ValueError, match="no augmentation is called 'blur'; there are flip, shift"):
        augment.compose(["flip", "blur"])
