"""Reading one image file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from pynet.data.extras import require

MODES = {1: "L", 3: "RGB"}
"""Pillow's mode for a number of channels."""


def open_image(path: str | os.PathLike[str], channels: int = 3) -> Any:
    """Reads an image file as a Pillow image of 1 (grey) or 3 (RGB) channels, turned upright by its EXIF tag.

    Transparent parts are laid on white.

    Raises:
        FileNotFoundError: there is no such file. ValueError: no image, or a broken one; the message names the
            file.
    """
    pillow, operations = require("PIL.Image", "reading images"), require("PIL.ImageOps", "reading images")
    if channels not in MODES:
        raise ValueError(f"open_image: channels must be 1 or 3, got {channels!r}")
    path = Path(path)
    try:
        with pillow.open(path) as file:
            file.load()
            image = operations.exif_transpose(file)
            if image.mode.startswith("I;16"):
                # Pillow's own conversion clips 16-bit greys at 255.
                image = pillow.fromarray((np.asarray(image) >> 8).astype(np.uint8))
            if "transparency" in image.info or image.mode in ("RGBA", "LA", "PA"):
                image = image.convert("RGBA")
                image = pillow.alpha_composite(pillow.new("RGBA", image.size, "white"), image)
            return image.convert(MODES[channels])
    except (FileNotFoundError, IsADirectoryError, PermissionError):
        raise
    except pillow.DecompressionBombError as error:
        raise ValueError(f"{path}: the image is too large: {error}") from error
    except (OSError, SyntaxError, ValueError, EOFError, IndexError) as error:
        raise ValueError(f"{path}: not an image that can be read: {error}") from error


def read_image(
    path: str | os.PathLike[str], channels: int = 3, size: tuple[int, int] | None = None
) -> np.ndarray:
    """Reads an image file for prediction.

    Args:
        path: any format that Pillow reads.
        channels: 1 or 3, what the network takes.
        size: (height, width) to resize to; default: as stored.
    Returns:
        uint8 (channels, H, W) in kernel order; apply the transform that the network was trained with.
    Raises:
        As `open_image`.
    """
    image = open_image(path, channels)
    if size is not None:
        from pynet.data.transforms import Resize

        image = Resize(size)(image)
    pixels = np.array(image)
    return pixels.reshape(*pixels.shape[:2], channels).transpose(2, 0, 1)
