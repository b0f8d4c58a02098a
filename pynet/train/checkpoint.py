"""Checkpoints: the whole state of a training in one safetensors file, the one before it kept beside it.

A state is a tree of dicts, lists, numbers, strings, None and arrays. Its arrays become the file's tensors;
the rest becomes JSON in the file's header. Nothing in a file is ever executed. The checksum over both is
verified before anything is used.
"""

from __future__ import annotations

import math
import os
import shutil
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from ..autograd import Tensor
from ..io import safetensors
from ..io.atomic import prepare_folder, temporary_sibling, write_atomically

FORMAT = "pynet-checkpoint"
VERSION = 1
LAST, PREVIOUS, BEST = "last.safetensors", "previous.safetensors", "best.safetensors"


class CheckpointError(OSError):
    """A checkpoint could not be written; the text is one sentence that says why and which one is intact."""

    def __str__(self) -> str:
        return str(self.strerror)


def save_checkpoint(state: dict[str, Any], path: str | os.PathLike[str]) -> None:
    """Write `state` to `path`, atomically.

    Raises:
        TypeError: something in `state` is neither JSON nor an array; the place is named.
        OSError: the file cannot be written; the old one is intact.
    """
    write_atomically(path, _to_bytes(state))


def load_checkpoint(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return the state in `path`, a checkpoint or a folder of them (the last one is taken then).

    Raises:
        FileNotFoundError: there is no checkpoint.
        ValueError: damaged, no checkpoint, or of a newer format; a whole previous checkpoint beside it is
            offered.
    """
    file = find_checkpoint(path)
    try:
        return _read(file)
    except ValueError as error:
        raise ValueError(f"{error}{_offer(file)}") from None


def find_checkpoint(path: str | os.PathLike[str]) -> Path:
    """Return the file that `path` means: itself, or in a folder the last checkpoint.

    Raises:
        FileNotFoundError: there is none.
    """
    path = Path(path)
    if not path.is_dir():
        if not path.exists():
            raise FileNotFoundError(f"there is no checkpoint {path}")
        return path
    if (path / LAST).exists():
        return path / LAST
    if (path / PREVIOUS).exists():
        warnings.warn(f"{path} has no {LAST}; its {PREVIOUS} is used", stacklevel=2)
        return path / PREVIOUS
    raise FileNotFoundError(f"the folder {path} holds no checkpoint ({LAST})")


def source_of(
    resume: str | os.PathLike[str] | bool | None, folder: str | os.PathLike[str] | None
) -> str | os.PathLike[str] | None:
    """Return the checkpoint or folder that ``fit(resume=...)`` means, None for a new training.

    Args:
        resume: see there. folder: where the training is saved, None where it is not.

    Raises:
        ValueError: it means `folder`, and there is none.
    """
    if resume is None or resume is False:
        return None
    if resume is not True and resume != "auto":
        return resume
    if folder is None:
        raise ValueError(
            f"fit: resume={resume!r} continues from the folder `checkpoint`, which was not given"
        )
    if resume == "auto":
        try:
            find_checkpoint(folder)
        except FileNotFoundError:
            return None
    return folder


class CheckpointFolder:
    """A folder that holds the last checkpoint and the one before it.

    Args:
        folder: created where it is missing.
        keep: so many of the newest stay besides, as ``step-00001234.safetensors``, the number being that of
            the training steps done; default 0.

    Raises:
        OSError: the folder cannot be created or written.
    """

    def __init__(self, folder: str | os.PathLike[str], keep: int = 0) -> None:
        self.path, self.keep = prepare_folder(folder), keep
        self._last_is_whole: bool | None = None  # not yet looked at

    def save(self, state: dict[str, Any]) -> Path:
        """Write `state` as the last checkpoint; what was the last becomes the previous one, if it is whole.

        Raises:
            CheckpointError: the disk is full or the folder vanished; the old checkpoints are intact.
        """
        last = self.path / LAST
        try:
            write_atomically(last, _to_bytes(state), before_replace=self._keep_last)
            self._last_is_whole = True
            if self.keep:
                self._keep_newest(state["global_step"])
        except OSError as error:
            raise CheckpointError(error.errno, self._complaint(state, error)) from error
        return last

    def _keep_newest(self, step: int) -> None:
        last, numbered = self.path / LAST, self.path / f"step-{step:08d}.safetensors"
        with temporary_sibling(numbered) as link:
            try:
                os.link(last, link)
            except OSError:
                shutil.copyfile(last, link)
            os.replace(link, numbered)
        # By age and not by number: a training that was resumed further back writes smaller numbers.
        files = sorted(self.path.glob("step-*.safetensors"), key=lambda file: file.stat().st_mtime_ns)
        for file in files[: -self.keep]:
            file.unlink()

    def _complaint(self, state: dict[str, Any], error: OSError) -> str:
        reason = f"{error.strerror or error} ({self.path / LAST})"
        text = f"the checkpoint{_place(state)} was not saved: {reason}"
        for name in (LAST, PREVIOUS):
            if (self.path / name).exists() and _is_whole(self.path / name):
                place = _place(_read(self.path / name))
                return f"{text}; {name}{place} is intact: make room there and resume from it"
        return f"{text}; there is none before it"

    def _keep_last(self) -> None:
        """Let `previous` be what `last` is, without a moment in which `last` is missing."""
        last = self.path / LAST
        if self._last_is_whole is None:
            self._last_is_whole = last.exists() and _is_whole(last)
        if not self._last_is_whole:  # a damaged file must not push out the whole one before it
            return
        with temporary_sibling(last) as link:
            try:
                os.link(last, link)
            except OSError:  # a file system without hard links: `previous` alone exists until the next rename
                os.replace(last, self.path / PREVIOUS)
            else:
                os.replace(link, self.path / PREVIOUS)


def _to_bytes(state: dict[str, Any]) -> bytes:
    arrays: dict[str, np.ndarray] = {}
    tree = _pack(state, "", arrays)
    return safetensors.to_bytes(arrays, {"format": FORMAT, "version": VERSION, "tree": tree})


def _read(file: Path) -> dict[str, Any]:
    contents = safetensors.read_file(file)
    header = contents.metadata
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise ValueError(
            f"{file} is a safetensors file but no checkpoint; load weights with pynet.io.load_file"
        )
    if header["version"] > VERSION:
        raise ValueError(
            f"{file} is a checkpoint of format {header['version']}, and this pynet reads formats up to "
            f"{VERSION}; use a newer pynet"
        )
    return _unpack(header["tree"], contents.tensors)


def _is_whole(file: Path) -> bool:
    try:
        _read(file)
    except (ValueError, OSError):
        return False
    return True


def _offer(file: Path) -> str:
    previous = file.with_name(PREVIOUS)
    if file.name == PREVIOUS or not previous.exists() or not _is_whole(previous):
        return ""
    return f"; the checkpoint before it is whole{_place(_read(previous))}: resume from {previous}"


def _place(state: dict[str, Any]) -> str:
    """Say where a training goes on from `state`; nothing where it is of something else."""
    return f" (epoch {state['epoch'] + 1}, step {state['step']})" if {"epoch", "step"} <= state.keys() else ""


def _pack(value: Any, name: str, arrays: dict[str, np.ndarray]) -> Any:
    """Return `value` as strict JSON in which an array is a reference to an entry of `arrays`."""
    if isinstance(value, Tensor):
        value = value.array
    if isinstance(value, np.ndarray):
        key = name
        while key in arrays:  # "a" -> "b.c" and "a.b" -> "c" have the same joined name
            key += "'"
        arrays[key] = value
        return {"$array": key}
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return {"$float": str(value)}
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, tuple):
        return {"$tuple": _pack(list(value), name, arrays)}
    if isinstance(value, list):
        return [_pack(item, f"{name}.{i}" if name else str(i), arrays) for i, item in enumerate(value)]
    if isinstance(value, dict):
        items = [
            (key, _pack(item, f"{name}.{key}" if name else str(key), arrays)) for key, item in value.items()
        ]
        if all(isinstance(key, str) and not key.startswith("$") for key, _ in items):
            return dict(items)
        return {
            "$pairs": [[_pack(key, name, arrays), item] for key, item in items]
        }  # JSON has only strings as keys
    raise TypeError(
        f"a checkpoint cannot hold {type(value).__name__} at {name!r}; "
        "use numbers, strings, lists, dicts or arrays"
    )


def _unpack(value: Any, arrays: dict[str, np.ndarray]) -> Any:
    if isinstance(value, list):
        return [_unpack(item, arrays) for item in value]
    if not isinstance(value, dict):
        return value
    if "$array" in value:
        return arrays[value["$array"]]
    if "$float" in value:
        return float(value["$float"])
    if "$tuple" in value:
        return tuple(_unpack(value["$tuple"], arrays))
    if "$pairs" in value:
        return {_unpack(key, arrays): _unpack(item, arrays) for key, item in value["$pairs"]}
    return {key: _unpack(item, arrays) for key, item in value.items()}
