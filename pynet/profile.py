"""Where the time goes: every call of the native core inside a block, and the Python between the calls."""

from __future__ import annotations

import functools
import json
import os
import threading
import time
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from pynet import _core

_STREAM_BYTES = 1 << 25  # of the array that is read for the memory's peak, and again of the one written
_PASSES = ("forward", "backward", "update")


class Record(NamedTuple):
    """One call of a function of `pynet._core`.

    Times are seconds: `start` since the block began; `duration` of the whole call, with checks, conversions
    and allocation; `kernel` inside the kernel alone; `before` from the end of the same thread's previous call
    to this one's start, which is the Python that led to it. `flop` counts the multiplications and additions
    of the plain algorithm; it is 0 where memory is what limits. `nbytes` counts every array that goes in or
    comes out once, and arrays updated in place twice. `shapes` are those of the first array arguments; a list
    of n arrays is (n,).
    """

    name: str
    algorithm: str
    backward: bool
    thread: int
    start: float
    duration: float
    kernel: float
    before: float
    flop: float
    nbytes: float
    shapes: tuple[tuple[int, ...], ...]

    @property
    def part(self) -> str:
        """What it belongs to: "update" (an optimizer's step), "backward" (inside `backward()` or `grad()`) or
        "forward".
        """
        return "update" if self.name.endswith("_step") else "backward" if self.backward else "forward"


@functools.cache
def _peaks(level: str, threads: int) -> tuple[float, float]:
    """GFLOP/s on registers, and GB/s of a pass over arrays that no cache holds: the best of several tries."""
    x = np.zeros(_STREAM_BYTES // 4, np.float32)
    seconds = []
    for _ in range(6):
        start = time.perf_counter()
        _core.negative(x)
        seconds.append(time.perf_counter() - start)
    return _core.measure_peak(threads), 2 * _STREAM_BYTES / min(seconds) * 1e-9


class profile:
    """Records every operation of the native core while a `with` block runs.

    Fusion stays on and results keep their bits: the recorder sits below the operations, around the kernel
    calls. A recorded call takes a few tenths of a microsecond longer; outside of a block the cost is too
    small to measure. float64 runs on NumPy and is not recorded.

    All threads are recorded. Blocks may be nested, and several threads may have one at a time: all share one
    recorder, and each block gets the calls of all threads that ended while it was open. The same object may
    be entered again when it has ended; it then starts anew.

    The figures: kernel rates are GFLOP/s where arithmetic limits (matrix products, linear layers and
    convolutions, the latter counted as the direct algorithm would compute them, so that Winograd may exceed
    the peak) and GB/s elsewhere. Their peaks are measured once, when first needed: a loop of multiply-adds on
    registers, and a pass over 64 MiB, which arrays in a cache may exceed.

    Attributes:
        records: list of `Record`, in the order in which the calls ended; empty until the block has ended.
        wall: seconds from the block's beginning to its end.
        kernels: seconds of the entering thread inside kernels.
        core: seconds of that thread inside `_core`, kernels included.
        thread: its identifier, as `threading.get_ident` gives it.

    Example:
        >>> with pynet.profile() as p:
        ...     loss = model(x).sum()
        ...     loss.backward()
        >>> print(p)
    """

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.wall = self.kernels = self.core = 0.0
        self.thread = 0
        self._threads = 1
        self._began: int | None = None
        self._first = 0

    def __enter__(self) -> profile:
        if self._began is not None:
            raise RuntimeError("profile: this block is already recording; use a second pynet.profile()")
        self.records = []
        self.wall = self.kernels = self.core = 0.0
        self.thread = threading.get_ident()
        self._threads = _core.get_num_threads()
        self._first = _core._profile_start()
        self._began = time.perf_counter_ns()
        return self

    def __exit__(self, *exception: object) -> None:
        end = time.perf_counter_ns()
        began, self._began = self._began, None
        assert began is not None
        rows = _core._profile_stop(self._first)
        self.wall = (end - began) * 1e-9
        ended = {self.thread: began}  # when each thread's previous call ended
        for name, algorithm, backward, thread, start, duration, kernel, flop, nbytes, shapes in rows:
            before = max(0, start - ended.get(thread, start))
            ended[thread] = start + duration
            times = ((start - began) * 1e-9, duration * 1e-9, kernel * 1e-9, before * 1e-9)
            self.records.append(Record(name, algorithm, backward, thread, *times, flop, nbytes, shapes))
        own = [r for r in self.records if r.thread == self.thread]
        self.kernels = sum(r.kernel for r in own)
        self.core = sum(r.duration for r in own)

    def __str__(self) -> str:
        return self.table()

    def table(self, group_by_shape: bool = False) -> str:
        """The operations by total time, forward, backward and optimizer steps apart.

        Args:
            group_by_shape: one line for every combination of shapes, instead of one an operation.
        Returns:
            Lines of text. Total is time inside `_core`, share its part of the block's wall time; kernel,
            other (checks, conversions, allocation) and Python before (since the thread's previous call) are
            means in microseconds a call.
        """
        peaks = _peaks(_core.isa(), self._threads)
        head = ["", "algorithm", "calls", "total ms", "share", "kernel us", "other us", "Python before us"]
        lines = [[*head, "rate", "of peak", *(["shapes"] if group_by_shape else [])]]
        for part in _PASSES:
            groups: dict[tuple, list[Record]] = {}
            for r in self.records:
                if r.part == part:
                    key = (r.name, r.algorithm, r.shapes if group_by_shape else ())
                    groups.setdefault(key, []).append(r)
            if not groups:
                continue
            everything = [r for group in groups.values() for r in group]
            lines.append([part, *self._figures("", everything, None)])
            by_time = sorted(groups.items(), key=lambda item: -_core_time(item[1]))
            for (name, algorithm, shapes), group in by_time:
                line = [f"  {name}", *self._figures(algorithm, group, peaks)]
                lines.append([*line, " ".join(map(_text, shapes))] if group_by_shape else line)
        return "\n".join((*_aligned(lines), "", *self._summary(peaks)))

    def _figures(self, algorithm: str, group: list[Record], peaks: tuple[float, float] | None) -> list[str]:
        count, total = len(group), _core_time(group)
        kernel, before = sum(r.kernel for r in group), sum(r.before for r in group)
        figures = [algorithm, str(count), f"{total * 1e3:.3f}", f"{total / max(self.wall, 1e-9):.1%}"]
        figures += [f"{seconds / count * 1e6:.1f}" for seconds in (kernel, total - kernel, before)]
        if peaks is None or kernel == 0:
            return [*figures, "", ""]
        work, unit, peak = sum(r.flop for r in group), "GFLOP/s", peaks[0]
        if not work:
            work, unit, peak = sum(r.nbytes for r in group), "GB/s", peaks[1]
        rate = work / kernel * 1e-9
        return [*figures, f"{rate:.1f} {unit}", f"{rate / peak:.0%}"]

    def _summary(self, peaks: tuple[float, float]) -> Iterable[str]:
        parts = {
            "kernels": self.kernels,
            "rest of _core": self.core - self.kernels,
            "Python": self.wall - self.core,
        }
        wall = max(self.wall, 1e-9)
        shares = ", ".join(f"{name} {t * 1e3:.3f} ms ({t / wall:.1%})" for name, t in parts.items())
        yield f"wall {self.wall * 1e3:.3f} ms: {shares}"
        others = [r for r in self.records if r.thread != self.thread]
        if others:
            count = len({r.thread for r in others})
            yield f"other Python threads ({count}): _core {_core_time(others) * 1e3:.3f} ms"
        threads = f"{self._threads} thread{'s' if self._threads > 1 else ''}"
        yield f"peak of {threads} ({_core.isa()}): {peaks[0]:.0f} GFLOP/s, {peaks[1]:.0f} GB/s"

    def save_trace(self, path: str | os.PathLike[str]) -> None:
        """Write the records as a Chrome trace, which chrome://tracing and ui.perfetto.dev show; the file is
        whole or absent.

        Raises:
            OSError: the file cannot be written; an old one is intact.
        """
        from pynet.io.atomic import write_atomically

        process = os.getpid()
        events = [
            {
                "name": r.name,
                "cat": r.part,
                "ph": "X",
                "ts": r.start * 1e6,
                "dur": r.duration * 1e6,
                "pid": process,
                "tid": r.thread,
                "args": {
                    "algorithm": r.algorithm,
                    "kernel_us": r.kernel * 1e6,
                    "flop": r.flop,
                    "bytes": r.nbytes,
                    "shapes": [_text(shape) for shape in r.shapes],
                },
            }
            for r in self.records
        ]
        write_atomically(path, json.dumps({"traceEvents": events, "displayTimeUnit": "ms"}))


def _core_time(records: Iterable[Record]) -> float:
    return sum(r.duration for r in records)


def _text(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "()"


def _aligned(lines: list[list[str]]) -> list[str]:
    """Columns of equal width: text to the left, figures to the right."""
    count = max(map(len, lines))
    lines = [[*line, *[""] * (count - len(line))] for line in lines]
    widths = [max(len(line[i]) for line in lines) for i in range(count)]
    left = {0, 1, 10}
    cells = (
        [c.ljust(w) if i in left else c.rjust(w) for i, (c, w) in enumerate(zip(line, widths, strict=True))]
        for line in lines
    )
    return ["  ".join(line).rstrip() for line in cells]
