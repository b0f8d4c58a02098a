"""`save` and `load`: nested dicts and lists of Tensors and plain values in one file that cannot run code.

The Tensors are a safetensors file, named by their place ("model.conv.weight"), which any program reads; its
metadata holds the rest as JSON: every dict, list and tuple as a tagged value, so that keys keep their type.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

from ..autograd import Tensor
from ..devices import on_cpu
from .atomic import write_atomically
from .safetensors import from_bytes, to_bytes

_MARK = "pynet.save"
_PLAIN = (str, int, float, bool, type(None))

File = str | os.PathLike[str] | IO[bytes]


def save(obj: Any, f: File) -> None:
    """Writes Tensors, arrays, None, bools, numbers, strings, and dicts, lists and tuples of them.

    Args:
        obj: say, ``{"model": model.state_dict(), "epoch": 3}``. Parameters are saved as Tensors.
        f: a path, written whole or not at all, or a file open for writing bytes.
    Raises:
        TypeError: anything else, by its place; for a Module save its ``state_dict()``.
        OSError: the file cannot be written; the old one is intact.
    """
    arrays: dict[str, Any] = {}
    skeleton = _Writer(arrays).encode(obj, "")
    data = to_bytes(arrays, {_MARK: 1, "object": skeleton})
    if hasattr(f, "write"):
        f.write(data)
    else:
        write_atomically(f, data)


def load(f: File, map_location: Any = None, weights_only: bool = True) -> Any:
    """What `save` wrote; of any other safetensors file, a dict of its Tensors.

    Args:
        f: a path, or a file open for reading bytes.
        map_location: None or "cpu".
        weights_only: accepted; no file can run code.
    Raises:
        ValueError: no safetensors file (a pickle, a PyTorch file), truncated or damaged, or another device.
        OSError: the file cannot be read.
    """
    on_cpu("load", map_location)
    if hasattr(f, "read"):
        contents = from_bytes(f.read(), str(getattr(f, "name", "data")))
    else:
        contents = from_bytes(Path(f).read_bytes(), str(f))
    tensors = {name: Tensor(array.copy()) for name, array in contents.tensors.items()}
    metadata = contents.metadata
    if isinstance(metadata, dict) and metadata.get(_MARK) == 1:
        return _decode(metadata["object"], tensors)
    return tensors


class _Writer:
    """Takes an object apart; a Tensor that occurs twice is written once."""

    def __init__(self, arrays: dict[str, Any]) -> None:
        self.arrays = arrays
        self.names: dict[int, str] = {}
        self.open: set[int] = set()

    def encode(self, value: Any, path: str) -> Any:
        if isinstance(value, _PLAIN) and type(value) in _PLAIN:
            return value
        if isinstance(value, Tensor):
            entry = {"tensor": self.name(value, path)}
            return {**entry, "requires_grad": True} if value.requires_grad else entry
        if isinstance(value, np.ndarray):
            return {"array": self.name(value, path)}
        if isinstance(value, np.generic):
            return {"number": self.name(value, path)}
        if isinstance(value, (Mapping, list, tuple)):
            if id(value) in self.open:
                raise TypeError(f"save: {path or 'the object'} holds itself, which a file cannot")
            self.open.add(id(value))
            try:
                return self.encode_container(value, path)
            finally:
                self.open.discard(id(value))
        hint = "; save its state_dict()" if hasattr(value, "state_dict") else ""
        raise TypeError(
            f"save: {path or 'the object'} is a {type(value).__name__}; a file holds Tensors, arrays, None, "
            f"bools, numbers, strings, and dicts, lists and tuples of them{hint}"
        )

    def encode_container(self, value: Any, path: str) -> Any:
        below = f"{path}." if path else ""
        if isinstance(value, Mapping):
            for key in value:
                if type(key) not in (str, int, bool, float):
                    raise TypeError(f"save: the key {key!r} in {path or 'the dict'} is no str or number")
            return {"dict": [[k, self.encode(v, f"{below}{k}")] for k, v in value.items()]}
        kind = "tuple" if isinstance(value, tuple) else "list"
        return {kind: [self.encode(v, f"{below}{i}") for i, v in enumerate(value)]}

    def name(self, value: Any, path: str) -> str:
        known = self.names.get(id(value))
        if known is None:
            known = path or "tensor"
            while known in self.arrays or known == "__metadata__":  # {"a.b": t} beside {"a": {"b": t}}
                known += "'"
            self.names[id(value)] = known
            self.arrays[known] = value
        return known


def _decode(value: Any, tensors: dict[str, Tensor]) -> Any:
    if not isinstance(value, dict):
        return value
    ((kind, content), *rest) = value.items()
    if kind == "tensor":
        tensor = tensors[content]
        tensor.requires_grad = bool(rest)
        return tensor
    if kind in ("array", "number"):
        array = tensors[content].array
        return array if kind == "array" else array[()]
    if kind == "dict":
        return {k: _decode(v, tensors) for k, v in content}
    items = [_decode(v, tensors) for v in content]
    return tuple(items) if kind == "tuple" else items
