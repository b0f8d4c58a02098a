"""The named data sets: `load("fashion-mnist")`, `available()`."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from pynet.data.cifar10 import CIFAR10
from pynet.data.dataset import ImageDataset
from pynet.data.digits import Digits
from pynet.data.fashion_mnist import FashionMNIST
from pynet.data.mnist import MNIST

_DATA_SETS: dict[str, type[ImageDataset]] = {
    "cifar-10": CIFAR10,
    "digits": Digits,
    "fashion-mnist": FashionMNIST,
    "mnist": MNIST,
}


def available() -> list[str]:
    """The names that `load` knows, sorted."""
    return sorted(_DATA_SETS)


def load(
    name: str,
    root: str | os.PathLike[str] | None = None,
    download: bool = True,
    transform: Callable[[Any], Any] | None = None,
) -> tuple[ImageDataset, ImageDataset]:
    """The training and the test part of a named data set.

    Args:
        name: one of `available()`; case, "-" and "_" do not matter.
        root: a folder with the files; default: packages of the system, then the download cache.
        download: whether to download what is not found, default True.
        transform: see `ImageDataset`.
    Returns:
        (train, test).
    Raises:
        ValueError: an unknown name, or `root` for a data set that has no files. Others as the data set's.
    """
    plain = {known.replace("-", ""): known for known in _DATA_SETS}
    known = plain.get(str(name).lower().replace("-", "").replace("_", ""))
    if known is None:
        raise ValueError(f"load: there is no data set {name!r}; there are {', '.join(available())}")
    made = _DATA_SETS[known]
    if made is Digits:
        if root is not None:
            raise ValueError("load: digits come with scikit-learn, root has no meaning for them")
        return Digits(True, transform=transform), Digits(False, transform=transform)
    options: dict[str, Any] = {"root": root, "download": download, "transform": transform}
    return made(train=True, **options), made(train=False, **options)  # type: ignore[call-arg]
