"""Digits: 1,797 scanned handwritten digits, 8x8 grey, embedded in scikit-learn."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from pynet.data.dataset import ImageDataset
from pynet.data.extras import require
from pynet.data.split import stratified_split


class Digits(ImageDataset):
    """The digits of scikit-learn; no network and no file is needed.

    Args:
        train: True (default) for 75 %, False for the other 25 %, None for all. The split is stratified by
            class.
        seed: of the split, default 0.
        transform: see `ImageDataset`.
    Attributes:
        images: uint8 (N, 1, 8, 8), the 17 grey levels spread over 0 to 255. labels: int64 (N,). classes: "0"
            to "9".
    Raises:
        ImportError: scikit-learn is missing.
    Source:
        Alpaydin, Kaynak 1998, "Optical Recognition of Handwritten Digits", UCI; its test part.
    """

    def __init__(
        self, train: bool | None = True, seed: int = 0, transform: Callable[[Any], Any] | None = None
    ) -> None:
        bunch = require("sklearn.datasets", "the digits data set").load_digits()
        images = np.rint(bunch.images * (255 / 16)).astype(np.uint8)[:, None]
        labels = np.asarray(bunch.target, np.int64)
        if train is not None:
            parts = stratified_split(range(len(labels)), 0.25, seed=seed, labels=labels)
            chosen = parts[0 if train else 1].indices
            images, labels = images[chosen], labels[chosen]
        super().__init__(images, labels, [str(digit) for digit in range(10)], train, transform)
