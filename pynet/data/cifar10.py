"""CIFAR-10: 50,000 + 10,000 photographs of ten kinds of things, 32x32 RGB.

Read from the binary version, in which a record is one label byte and 3072 pixel bytes (red, green and blue
plane, each row by row). The Python version of the archive is a pickle, which could run code, and is never
read.
"""

from __future__ import annotations

import gzip
import os
import tarfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from pynet.data.dataset import ImageDataset
from pynet.data.download import fetch

RECORD = 1 + 3 * 32 * 32
MOST_RECORDS = 10_000
"""What a file of the archive holds; a file may hold fewer."""
_MOST_MEMBERS = 64
_MOST_PADDING = 2**20
"""Zeros after the last member; tar pads to 10,240 bytes."""


class CIFAR10(ImageDataset):
    """CIFAR-10, from a folder or archive, or downloaded (162 MB).

    Args:
        train: the 50,000 training images (default) or the 10,000 test images.
        root: `cifar-10-binary.tar.gz`, or a folder that holds it or its .bin files, themselves or in
            `cifar-10-batches-bin`; nothing is downloaded then. Default: the download cache.
        download: whether to download what is not found, default True.
        transform: see `ImageDataset`.
    Attributes:
        images: uint8 (N, 3, 32, 32), in kernel order. labels: int64 (N,). classes: the ten names. train: as
            given.
    Raises:
        FileNotFoundError: not found and not to be downloaded. OSError: no mirror can be reached. ValueError:
            damaged files.
    Source:
        Krizhevsky 2009, "Learning multiple layers of features from tiny images".
    """

    NAME: ClassVar[str] = "cifar-10"
    CLASSES: ClassVar[tuple[str, ...]] = (
        "airplane",
        "automobile",
        "bird",
        "cat",
        "deer",
        "dog",
        "frog",
        "horse",
        "ship",
        "truck",
    )
    ARCHIVE: ClassVar[str] = "cifar-10-binary.tar.gz"
    SHA256: ClassVar[str] = "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"
    MIRRORS: ClassVar[tuple[str, ...]] = ("https://www.cs.toronto.edu/~kriz/",)
    WAY_OUT: ClassVar[str] = (
        "Without a network, put cifar-10-binary.tar.gz (the binary version, not the Python one) into a "
        "folder and pass root=FOLDER."
    )

    def __init__(
        self,
        train: bool = True,
        root: str | os.PathLike[str] | None = None,
        download: bool = True,
        transform: Callable[[Any], Any] | None = None,
    ) -> None:
        names = [f"data_batch_{number}.bin" for number in range(1, 6)] if train else ["test_batch.bin"]
        source = self._find(names, root, download)
        contents = _from_archive(source, names) if source.is_file() else _from_folder(source, names)
        parts = [_records(contents[name], f"{source}/{name}", len(self.CLASSES)) for name in names]
        records = np.concatenate(parts)
        planes = records[:, 1:].reshape(-1, 3, 32, 32)
        # Kernel order once here, so that no batch has to be rearranged.
        images = np.ascontiguousarray(planes.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
        super().__init__(images, records[:, 0], self.CLASSES, train, transform)

    @classmethod
    def _find(cls, names: list[str], root: str | os.PathLike[str] | None, download: bool) -> Path:
        """The folder with the .bin files, or the archive."""
        if root is None:
            if not download:
                raise FileNotFoundError(f"{cls.NAME}: no root is given and download=False. {cls.WAY_OUT}")
            return fetch(cls.ARCHIVE, cls.NAME, cls.MIRRORS, cls.SHA256, cls.WAY_OUT)
        root = Path(root)
        if root.is_file():
            return root
        for folder in (root, root / "cifar-10-batches-bin"):
            if all((folder / name).is_file() for name in names):
                return folder
        if (root / cls.ARCHIVE).is_file():
            return root / cls.ARCHIVE
        raise FileNotFoundError(
            f"{cls.NAME}: there is neither {cls.ARCHIVE} nor {', '.join(names)} in {root}"
        )


def _from_folder(folder: Path, names: list[str]) -> dict[str, bytes]:
    contents = {}
    for name in names:
        with open(folder / name, "rb") as file:
            contents[name] = file.read(MOST_RECORDS * RECORD + 1)
    return contents


def _from_archive(path: Path, names: list[str]) -> dict[str, bytes]:
    """The wanted members, read in memory; nothing is extracted, so no name in the archive becomes a path."""
    try:
        with gzip.open(path) as unzipped:
            with tarfile.open(fileobj=unzipped, mode="r:") as archive:
                contents = _members(archive, path, names)
            # gzip compares its checksum at the very end, which tar does not read.
            unzipped.read(_MOST_PADDING)
            if unzipped.read(1):
                raise ValueError(f"{path}: damaged archive, data follow its end")
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ValueError(f"{path}: truncated or damaged archive: {error}") from error
    missing = [name for name in names if name not in contents]
    if missing:
        raise ValueError(f"{path}: not the CIFAR-10 binary archive, it lacks {', '.join(missing)}")
    return contents


def _members(archive: tarfile.TarFile, path: Path, names: list[str]) -> dict[str, bytes]:
    contents: dict[str, bytes] = {}
    for count, member in enumerate(archive):
        if count >= _MOST_MEMBERS or member.size > MOST_RECORDS * RECORD:
            raise ValueError(
                f"{path}: not the CIFAR-10 binary archive, "
                f"{member.name!r} is one member too many or too large"
            )
        name = member.name.rpartition("/")[2]
        if name not in names:
            continue
        if name in contents or not member.isreg():
            raise ValueError(f"{path}: member {member.name!r} is there twice or is no plain file")
        contents[name] = archive.extractfile(member).read()  # type: ignore[union-attr]
    return contents


def _records(content: bytes, where: str, classes: int) -> np.ndarray:
    """uint8 (n, RECORD), checked."""
    if not content or len(content) % RECORD or len(content) > MOST_RECORDS * RECORD:
        raise ValueError(
            f"{where}: truncated or no CIFAR-10 file, {len(content)} bytes are not 1 to "
            f"{MOST_RECORDS} records of {RECORD}"
        )
    records = np.frombuffer(content, np.uint8).reshape(-1, RECORD)
    if records[:, 0].max() >= classes:
        raise ValueError(f"{where}: labels must be below {classes}, got {records[:, 0].max()}")
    return records
