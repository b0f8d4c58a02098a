"""A worker and whatever its objective has started: the processes of one session, as /proc lists them."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator


def _processes(names: list[str]) -> Iterator[tuple[int, list[bytes]]]:
    """The id of each process and the fields of its ``stat`` from the third on: state, parent, group, session,
    and others.
    """
    for name in names:
        try:
            with open(f"/proc/{name}/stat", "rb") as file:
                yield int(name), file.read().rpartition(b")")[2].split()  # the name before may hold anything
        except (OSError, ValueError):
            continue  # no process, or one that has ended meanwhile


def activity(pid: int, of_session: bool = False) -> tuple[int, bool]:
    """Ticks of processor time that a process (or all of its session) has used, with those of its children
    that have ended, and whether one waits for a disk; where there is no /proc, every process seems to.
    """
    if not os.path.exists("/proc/self/stat"):
        return 0, True
    ticks, waits = 0, False
    for _, fields in _processes(os.listdir("/proc") if of_session else [str(pid)]):
        if not of_session or int(fields[3]) == pid:
            ticks += sum(map(int, fields[11:15]))
            waits = waits or fields[0] == b"D"
    return ticks, waits


def kill_session(pid: int) -> None:
    """Kill all processes of the session that `pid` leads or led."""
    for name, fields in _processes(os.listdir("/proc") if os.path.exists("/proc") else []):
        if int(fields[3]) == pid:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(name, signal.SIGKILL)
