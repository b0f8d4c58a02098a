"""Files that are whole or absent: write to a temporary file beside the target, sync it, rename it over the
target.

A process killed at any moment, a full disk or a power loss leaves the old file or the new one, never a
mixture. Temporary files of processes that died are recognised by their name and removed by
``remove_leftovers``.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

# The host is part of the name because on a shared file system a process id says nothing about another
# machine.
_HOST = f"{zlib.crc32(os.uname().nodename.encode()):08x}"
_LEFTOVER = re.compile(r"\..+\.(?P<host>[0-9a-f]{8})-(?P<pid>\d+)-[0-9a-f]{8}\.tmp")
_in_progress: set[Path] = set()


@contextlib.contextmanager
def temporary_sibling(path: Path) -> Iterator[Path]:
    """Yield an unused temporary name in the folder of `path`; whatever is still there at the end is
    removed.
    """
    temporary = path.with_name(f".{path.name}.{_HOST}-{os.getpid()}-{secrets.token_hex(4)}.tmp")
    _in_progress.add(temporary)
    try:
        yield temporary
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()
        _in_progress.discard(temporary)


def write_atomically(
    path: str | os.PathLike[str], data: bytes | str, before_replace: Callable[[], None] | None = None
) -> None:
    """Replace the file `path` by `data` (text is written as UTF-8), all of it or nothing.

    Args:
        path: the file.
        data: its new content.
        before_replace: called when `data` is safely on disk and the old file is still there.

    Raises:
        OSError: the folder cannot be written, or the disk is full; the old file is intact and no temporary
            file is left.
    """
    target = Path(path)
    content = data.encode() if isinstance(data, str) else data
    with temporary_sibling(target) as temporary:
        with open(temporary, "xb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        if before_replace is not None:
            before_replace()
        os.replace(temporary, target)
    sync_folder(target.parent)


def sync_folder(folder: Path) -> None:
    """Make renames inside `folder` survive a power loss, where the file system can."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # some network file systems refuse to sync a folder
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def prepare_folder(folder: str | os.PathLike[str]) -> Path:
    """Create `folder` where it is missing, prove that it can be written, and remove leftovers of dead
    processes.

    Raises:
        OSError: the folder cannot be created or written; the sentence names it.
    """
    path = Path(folder)
    try:
        path.mkdir(parents=True, exist_ok=True)
        with temporary_sibling(path / "probe") as probe:
            probe.write_bytes(b"")
    except OSError as error:
        reason = error.strerror or str(error)
        raise type(error)(error.errno, f"the folder cannot be written ({reason})", str(path)) from error
    remove_leftovers(path)
    return path


def remove_leftovers(folder: Path) -> list[Path]:
    """Remove temporary files in `folder` whose writer on this machine is dead; return what was removed."""
    removed = []
    for path in folder.glob(".*.tmp"):
        match = _LEFTOVER.fullmatch(path.name)
        if match is None or match["host"] != _HOST or _is_being_written(path, int(match["pid"])):
            continue
        with contextlib.suppress(OSError):
            path.unlink()
            removed.append(path)
    return removed


def _is_being_written(path: Path, pid: int) -> bool:
    if pid == os.getpid():  # in a container a restarted process often gets its predecessor's id
        return path in _in_progress
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        return True
    return True
