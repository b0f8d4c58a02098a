"""Weights in files: the safetensors format, with a checksum, JSON metadata and no code that a file could run.

A file holds named arrays and, in its header, string metadata. ``save_file`` adds one entry to it, ``pynet``:
a checksum over all that follows and over the arrays, a space, and any JSON value. Files written by other
programs lack it and load all the same. Every array passes through C order, since the format stores plain
buffers and knows no strides.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..autograd import Tensor
from .atomic import write_atomically

_HEADER_LIMIT = 100_000_000  # the format's own limit, in bytes
_DTYPES: dict[str, Any] = {
    "F64": np.float64, "F32": np.float32, "F16": np.float16, "BOOL": np.bool_,
    "I64": np.int64, "I32": np.int32, "I16": np.int16, "I8": np.int8,
    "U64": np.uint64, "U32": np.uint32, "U16": np.uint16, "U8": np.uint8,
}  # fmt: skip
_FOREIGN = (
    (b"PK\x03\x04", "a zip archive, such as a NumPy .npz or a PyTorch file"),
    (b"\x93NUMPY", "a NumPy .npy file"),
    (b"\x80", "a pickle"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"\x89HDF", "an HDF5 file"),
    (b"<", "HTML or XML"),
)


class Contents(NamedTuple):
    """What a file holds: `tensors` by name, and `metadata`, the JSON value (or the raw strings of a foreign
    file).
    """

    tensors: dict[str, np.ndarray]
    metadata: Any


def save_file(tensors: Mapping[str, Any], path: str | os.PathLike[str], metadata: Any = None) -> None:
    """Write arrays to `path`, atomically.

    Args:
        tensors: name -> ndarray or Tensor, any shape and strides; a ``state_dict()`` fits.
        path: the file; its old content stays until the new one is complete.
        metadata: any JSON value, stored in the header.

    Raises:
        TypeError: a name is no string, a dtype has no place in the format, or `metadata` is no JSON.
        OSError: the file cannot be written; the old one is intact.
    """
    write_atomically(path, to_bytes(tensors, metadata))


def to_bytes(tensors: Mapping[str, Any], metadata: Any = None) -> bytes:
    """Return the bytes that ``save_file`` writes."""
    from safetensors.numpy import save

    arrays = {name: _storable(name, value) for name, value in tensors.items()}
    text = json.dumps(metadata, separators=(",", ":"))
    # One entry and not two: the library writes several in random order, and equal contents shall give equal
    # files.
    return save(arrays, {"pynet": f"{_checksum(arrays, text)} {text}"})


def load_file(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Return the arrays in `path` by name, in C order; bfloat16 is widened to float32, which loses nothing.

    Raises:
        ValueError: no safetensors file, truncated, malformed, or its checksum does not fit.
        OSError: the file cannot be read.
    """
    return read_file(path).tensors


def read_file(path: str | os.PathLike[str]) -> Contents:
    """Return arrays and metadata of `path`; errors as in ``load_file``."""
    return from_bytes(Path(path).read_bytes(), str(path))


def from_bytes(data: bytes, name: str = "data") -> Contents:
    """Return arrays and metadata held in `data`; `name` is what the error messages call it."""
    from safetensors import SafetensorError, deserialize

    metadata = _read_metadata(data, name)
    try:
        entries = deserialize(data)
    except SafetensorError as error:
        reason = str(error).removeprefix("Error while deserializing: ")
        raise ValueError(f"{name} is not a safetensors file, or is truncated or damaged ({reason})") from None
    tensors = {key: _to_array(entry, key, name) for key, entry in entries}
    if "pynet" not in metadata:
        return Contents(tensors, metadata)
    checksum, _, text = metadata["pynet"].partition(" ")
    if checksum != _checksum(tensors, text):
        raise ValueError(f"{name} is damaged: its checksum does not fit its content; use another copy of it")
    return Contents(tensors, json.loads(text))


def _storable(name: object, value: Any) -> np.ndarray:
    if not isinstance(name, str) or name == "__metadata__":
        raise TypeError(f"save_file: {name!r} cannot name a tensor; use a string other than '__metadata__'")
    array = value.array if isinstance(value, Tensor) else np.asarray(value)
    dtype = array.dtype.newbyteorder("=")
    if dtype not in _DTYPES.values():
        raise TypeError(
            f"save_file: {name} has dtype {array.dtype}, which the format lacks; use float32 or integers"
        )
    # ascontiguousarray makes a 0-d array 1-d, hence the reshape.
    return np.ascontiguousarray(array.astype(dtype, copy=False)).reshape(array.shape)


def _checksum(arrays: Mapping[str, np.ndarray], text: str) -> str:
    """SHA-256 over the JSON and, in the order of names, each array's name, dtype, shape and bytes."""
    digest = hashlib.sha256(text.encode())
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(json.dumps([name, array.dtype.str, array.shape]).encode())
        digest.update(array.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def _read_metadata(data: bytes, name: str) -> dict[str, str]:
    """Check what the library leaves open, the doubled names above all, and return the header's metadata."""
    foreign = next((what for start, what in _FOREIGN if data.startswith(start)), None)
    size = struct.unpack("<Q", data[:8])[0] if len(data) >= 8 else None
    # A header may be 60 or 128 bytes long and so begin like HTML or a pickle: only a header that fails is
    # foreign.
    if size is None or size > min(len(data) - 8, _HEADER_LIMIT):
        what = f"it looks like {foreign}" if foreign else "or it is truncated: the header is incomplete"
        raise ValueError(f"{name} is not a safetensors file ({what})")
    try:
        header = json.loads(data[8 : 8 + size].decode(), object_pairs_hook=_without_doubles)
    except (ValueError, RecursionError) as error:
        what = f"it looks like {foreign}" if foreign else f"its header cannot be read: {type(error).__name__}"
        doubled = f"; {error}" if isinstance(error, _DoubledKeyError) else ""
        raise ValueError(f"{name} is not a safetensors file ({what}{doubled})") from None
    metadata = header.get("__metadata__", {}) if isinstance(header, dict) else None
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise ValueError(f"{name} is not a safetensors file (its header is no table of names)")
    return metadata


class _DoubledKeyError(ValueError):
    pass


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) != len(pairs):
        seen: set[str] = set()
        doubled = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise _DoubledKeyError(f"the name {doubled[:80]!r} occurs twice")
    return table


def _to_array(entry: Mapping[str, Any], key: str, name: str) -> np.ndarray:
    shape, dtype, buffer = entry["shape"], entry["dtype"], entry["data"]
    if dtype == "BF16":  # bfloat16 is the upper half of a float32
        bits = np.frombuffer(buffer, "<u2").astype(np.uint32) << np.uint32(16)
        return bits.view(np.float32).reshape(shape)
    if dtype not in _DTYPES:
        raise ValueError(
            f"{name}: tensor {key[:80]!r} has dtype {dtype}, which NumPy cannot hold; convert it to F32 first"
        )
    return np.frombuffer(buffer, np.dtype(_DTYPES[dtype]).newbyteorder("<")).reshape(shape)
