"""Reading idx files, the format of MNIST and its relatives, plain or gzipped.

Layout: two zero bytes, a type code, the number of axes, each axis as a big-endian uint32, then the values,
big-endian.
Nothing in a file is trusted: sizes are checked against the file before memory is asked for.
"""

from __future__ import annotations

import gzip
import math
import os
import struct
import zlib
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np

DTYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_DEFLATE_LIMIT = 1040
"""No deflate stream grows by more than 1032 : 1, so a header that promises more lies."""


def read_idx(path: str | os.PathLike[str]) -> np.ndarray:
    """Reads one idx file.

    Args:
        path: gzipped when it begins with gzip's magic, whatever its name.
    Returns:
        The array, C order, native byte order.
    Raises:
        FileNotFoundError: there is no such file. ValueError: not an idx file, or a damaged one; it is named.
    """
    path = Path(path)
    with open(path, "rb") as file:
        zipped = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        stored = os.fstat(file.fileno()).st_size
        try:
            if not zipped:
                return _read(file, path, stored)
            with gzip.open(file) as unzipped:
                return _read(cast(BinaryIO, unzipped), path, stored * _DEFLATE_LIMIT)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise ValueError(f"{path}: truncated or damaged gzip file: {error}") from error


def _read(file: BinaryIO, path: Path, limit: int) -> np.ndarray:
    magic = file.read(4)
    if len(magic) < 4:
        raise ValueError(f"{path}: truncated idx file, {len(magic)} bytes are too few for its header")
    if magic[:2] != b"\0\0" or magic[2] not in DTYPES or magic[3] == 0:
        raise ValueError(f"{path}: not an idx file, it begins with {magic.hex(' ')}")
    axes = file.read(4 * magic[3])
    if len(axes) < 4 * magic[3]:
        raise ValueError(f"{path}: truncated idx file, the header ends before its {magic[3]} axes")
    shape = struct.unpack(f">{magic[3]}I", axes)
    dtype = np.dtype(DTYPES[magic[2]])
    size = math.prod(shape) * dtype.itemsize
    if size > limit:
        raise ValueError(
            f"{path}: truncated idx file, shape {shape} needs {size} bytes, more than the file can hold"
        )
    values = file.read(size)
    if len(values) < size:
        raise ValueError(
            f"{path}: truncated idx file, shape {shape} needs {size} bytes, there are {len(values)}"
        )
    if file.read(1):
        raise ValueError(f"{path}: damaged idx file, bytes follow the {size} of shape {shape}")
    # astype copies: frombuffer is read-only.
    return np.frombuffer(values, dtype).reshape(shape).astype(dtype.newbyteorder("="))


def write_idx(path: str | os.PathLike[str], array: np.ndarray) -> None:
    """Writes an array as an idx file, gzipped when the name ends in `.gz`.

    Raises:
        TypeError: a dtype that idx does not have.
    """
    array = np.asarray(array)
    codes = {np.dtype(dtype).newbyteorder("="): code for code, dtype in DTYPES.items()}
    code = codes.get(array.dtype.newbyteorder("="))
    if code is None or array.ndim == 0:
        raise TypeError(f"write_idx: no idx type for dtype {array.dtype} and {array.ndim} axes")
    header = bytes([0, 0, code, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    content = header + array.astype(DTYPES[code]).tobytes()
    # mtime=0: the same array gives the same bytes.
    Path(path).write_bytes(gzip.compress(content, mtime=0) if str(path).endswith(".gz") else content)
