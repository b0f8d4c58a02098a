"""load() and available()."""

from __future__ import annotations

import numpy as np
import pytest

from pynet.data import available, load
from pynet.data.idx import write_idx


def test_available():
    assert available() == ["cifar-10", "digits", "fashion-mnist", "mnist"]


@pytest.mark.parametrize("name", ["fashion-mnist", "fashion_mnist", "FashionMNIST"])
def test_load_from_a_folder(tmp_path, name):
    for part, count in (("train", 3), ("t10k", 2)):
        write_idx(tmp_path / f"{part}-images-idx3-ubyte", np.zeros((count, 28, 28), np.uint8))
        write_idx(tmp_path / f"{part}-labels-idx1-ubyte", np.zeros(count, np.uint8))
    train, test = load(name, root=tmp_path, transform=np.asarray)
    assert (len(train), len(test)) == (3, 2) and train.classes[0] == "T-shirt/top"
    assert train[0][0].dtype == np.uint8


def test_load_digits():
    pytest.importorskip("sklearn")
    train, test = load("digits")
    assert (len(train), len(test)) == (1348, 449)
    with pytest.raises(ValueError, match="root has no meaning"):
        load("digits", root=".")


def test_unknown_name():
    with pytest.raises(
        ValueError, match="no data set 'imagenet'; there are cifar-10, digits, fashion-mnist, mnist"
    ):
        load("imagenet")
