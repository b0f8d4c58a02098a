"""MNIST: 60,000 + 10,000 handwritten digits, 28x28 grey."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from pynet.data.dataset import ImageDataset
from pynet.data.download import fetch
from pynet.data.idx import read_idx


class MNIST(ImageDataset):
    """MNIST, from a folder or downloaded.

    Args:
        train: the 60,000 training images (default) or the 10,000 test images.
        root: a folder with the four idx files, gzipped or not; nothing is downloaded then. Default: packages
            of the system where there are any, else the download cache.
        download: whether to download what is not found, default True.
        transform: see `ImageDataset`.
    Attributes:
        images: uint8 (N, 1, 28, 28). labels: int64 (N,). classes: the ten names. train: as given.
    Raises:
        FileNotFoundError: not found and not to be downloaded. OSError: no mirror can be reached. ValueError:
            damaged files.
    Source:
        LeCun, Bottou, Bengio, Haffner 1998, "Gradient-based learning applied to document recognition".
    """

    NAME: ClassVar[str] = "mnist"
    CLASSES: ClassVar[tuple[str, ...]] = tuple(str(digit) for digit in range(10))
    FILES: ClassVar[dict[str, str]] = {
        "train-images-idx3-ubyte.gz": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
        "train-labels-idx1-ubyte.gz": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
        "t10k-images-idx3-ubyte.gz": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
        "t10k-labels-idx1-ubyte.gz": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
    }
    """SHA-256 of each file as the mirrors have it."""
    MIRRORS: ClassVar[tuple[str, ...]] = (
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
    )
    FOLDERS: ClassVar[tuple[str, ...]] = ()
    """Where packages of the system put the files."""
    WAY_OUT: ClassVar[str] = "Without a network, put the four idx files into a folder and pass root=FOLDER."

    def __init__(
        self,
        train: bool = True,
        root: str | os.PathLike[str] | None = None,
        download: bool = True,
        transform: Callable[[Any], Any] | None = None,
    ) -> None:
        part = "train" if train else "t10k"
        paths = [
            self._find(f"{part}-{kind}-ubyte.gz", root, download) for kind in ("images-idx3", "labels-idx1")
        ]
        images, labels = (read_idx(path) for path in paths)
        if images.ndim != 3 or images.dtype != np.uint8:
            raise ValueError(
                f"{paths[0]}: uint8 images (N, H, W) are expected, got {images.dtype} {images.shape}"
            )
        if labels.shape != images.shape[:1] or labels.dtype != np.uint8:
            raise ValueError(
                f"{paths[1]}: {len(images)} uint8 labels are expected, one an image, got "
                f"{labels.dtype} {labels.shape}"
            )
        if labels.size and labels.max() >= len(self.CLASSES):
            raise ValueError(f"{paths[1]}: labels must be below {len(self.CLASSES)}, got {labels.max()}")
        super().__init__(images[:, None], labels, self.CLASSES, train, transform)

    @classmethod
    def _find(cls, name: str, root: str | os.PathLike[str] | None, download: bool) -> Path:
        for folder in cls.FOLDERS if root is None else (root,):
            for candidate in (name, name.removesuffix(".gz")):
                path = Path(folder) / candidate
                if path.is_file():
                    return path
        if root is not None:
            raise FileNotFoundError(f"{cls.NAME}: there is no {name}, gzipped or not, in {Path(root)}")
        if not download:
            raise FileNotFoundError(
                f"{cls.NAME}: {name} is not on this machine and download=False. {cls.WAY_OUT}"
            )
        return fetch(name, cls.NAME, cls.MIRRORS, cls.FILES[name], cls.WAY_OUT)
