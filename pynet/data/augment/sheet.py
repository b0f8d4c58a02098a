"""The contact sheet: images as an augmentation changes them, a row an image."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np

from pynet.data.dataset import as_array
from pynet.data.draws import drawing
from pynet.data.extras import require

_GAP = 2  # pixels between images, before enlarging


def contact_sheet(
    augmentation: Callable[[Any], Any],
    images: Any,
    path: str | os.PathLike[str] | None = None,
    columns: int = 8,
    seed: int = 0,
    side: int = 64,
) -> np.ndarray:
    """Draw each image as it is and, beside it, as `augmentation` changes it in `columns` epochs.

    Args:
        augmentation: of this module, or `transforms.Compose` of such; gives uint8.
        images: uint8 (N, C, H, W), a row each.
        path: where to write the picture; its ending names the format. None: nowhere.
        columns: changed images in a row. seed: of the changes. side: smallest side of an image on the sheet.
    Returns:
        The picture, uint8 (height, width, 3).
    Raises:
        TypeError, ValueError: images that are no uint8 (N, C, H, W), or an augmentation that gives others.
        ImportError: Pillow is missing and `path` is given.
    """
    array = as_array(images, "contact_sheet")
    if array.dtype != np.uint8 or array.ndim != 4 or 0 in array.shape:
        raise TypeError(f"contact_sheet: images must be uint8 (N, C, H, W), got {array.dtype} {array.shape}")
    shown = [array]
    for epoch in range(columns):
        with drawing((seed, 0), epoch, np.arange(len(array))):
            changed = np.asarray(augmentation(array))
        if changed.dtype != np.uint8 or changed.ndim != 4:
            raise TypeError(
                f"contact_sheet: the augmentation must give uint8 (N, C, H, W), got {changed.dtype} "
                f"{changed.shape}; leave the preprocessing out"
            )
        shown.append(changed)
    height, width = (max(part.shape[axis] for part in shown) for axis in (2, 3))
    tall, wide = height + _GAP, width + _GAP
    sheet = np.full((len(array) * tall + _GAP, len(shown) * wide + 3 * _GAP, 3), 255, np.uint8)
    for column, part in enumerate(shown):
        left = _GAP + column * wide + (2 * _GAP if column else 0)  # a wider gap behind the originals
        for row, image in enumerate(part):
            top = _GAP + row * tall
            pixels = np.broadcast_to(image[:3].transpose(1, 2, 0), (*image.shape[1:], 3))
            sheet[top : top + image.shape[1], left : left + image.shape[2]] = pixels
    enlarged = max(1, -(-side // max(height, width)))
    sheet = sheet.repeat(enlarged, axis=0).repeat(enlarged, axis=1)
    if path is not None:
        require("PIL.Image", "contact_sheet").fromarray(sheet).save(path)
    return sheet
