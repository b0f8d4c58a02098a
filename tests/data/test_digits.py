"""The digits of scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest

from pynet.data import Digits

pytest.importorskip("sklearn")


def test_split_and_shapes():
    train, test, whole = Digits(), Digits(train=False), Digits(train=None)
    assert (len(train), len(test), len(whole)) == (1348, 449, 1797)
    assert train.images.shape == (1348, 1, 8, 8) and train.images.dtype == np.uint8
    assert (train.images.min(), train.images.max()) == (0, 255) and len(np.unique(whole.images)) == 17
    shares = np.bincount(test.labels) / np.bincount(whole.labels)
    assert np.abs(shares - 0.25).max() < 0.006
    rows = {image.tobytes() for image in train.images}
    assert not rows & {image.tobytes() for image in test.images}
    assert train.classes == tuple("0123456789")


def test_seed():
    assert np.array_equal(Digits().images, Digits(seed=0).images)
    assert not np.array_equal(Digits(train=False).labels, Digits(train=False, seed=1).labels)
