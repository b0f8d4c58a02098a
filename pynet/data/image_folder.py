"""ImageFolder: a folder with one subfolder of images per class."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from pynet.data.dataset import Dataset
from pynet.data.images import open_image
from pynet.data.transforms import ToTensor

EXTENSIONS = (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")


class ImageFolder(Dataset):
    """Images in `root/CLASS/**/*.png` and the like, read when they are asked for.

    Args:
        root: the folder; its subfolders, sorted by name, are the classes. Hidden ones are left out.
        transform: from a Pillow image to what the network sees; default `ToTensor()`, float32 (3, H, W) in
            [0, 1].
        loader: from a path to an image; default `open_image`, RGB. Whatever it raises is passed on as a
            ValueError that names the file.
        target_transform: applied to the class number.
        extensions: which files count as images, lower case.
    Attributes:
        classes: class names. class_to_idx: name to number. samples: list of (path, number). labels: int64
            (N,).
    Raises:
        FileNotFoundError: there is no such folder, no class in it, or a class without an image.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        transform: Callable[[Any], Any] | None = None,
        loader: Callable[[str], Any] = open_image,
        target_transform: Callable[[int], Any] | None = None,
        extensions: tuple[str, ...] = EXTENSIONS,
    ) -> None:
        self.root = Path(root)
        self.transform = ToTensor() if transform is None else transform
        self.loader, self.target_transform = loader, target_transform
        if not self.root.is_dir():
            raise FileNotFoundError(f"ImageFolder: there is no folder {self.root}")
        folders = sorted(
            entry for entry in self.root.iterdir() if entry.is_dir() and not entry.name.startswith(".")
        )
        if not folders:
            raise FileNotFoundError(
                f"ImageFolder: {self.root} has no class folders; images are expected in "
                f"{self.root}/CLASS/*.png"
            )
        self.classes = tuple(folder.name for folder in folders)
        self.class_to_idx = {name: number for number, name in enumerate(self.classes)}
        self.samples: list[tuple[str, int]] = []
        for number, folder in enumerate(folders):
            files = sorted(file for file in _files(folder) if file.lower().endswith(extensions))
            if not files:
                raise FileNotFoundError(
                    f"ImageFolder: class folder {folder} has no images; files may end in "
                    f"{', '.join(extensions)}"
                )
            self.samples += [(file, number) for file in files]
        self.labels = np.array([number for _, number in self.samples], dtype=np.int64)

    @property
    def targets(self) -> list[int]:
        """The class numbers, under torchvision's name."""
        return self.labels.tolist()

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        path, label = self.samples[index]
        try:
            image = self.loader(path)
        except Exception as error:
            named = str(error) if path in str(error) else f"{path}: the image cannot be read: {error}"
            raise ValueError(named) from error
        target = label if self.target_transform is None else self.target_transform(label)
        return self.transform(image), target

    def __repr__(self) -> str:
        return f"ImageFolder({str(self.root)!r}, images={len(self)}, classes={len(self.classes)})"


def _files(folder: Path) -> list[str]:
    # followlinks stays off: a link to a folder above would never end.
    return [os.path.join(where, name) for where, _, names in os.walk(folder) for name in names]
