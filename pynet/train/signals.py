"""Ctrl-C and SIGTERM while a training runs: the first one asks it to end, the second acts at once.

A training that is asked to end has GRACE seconds to finish its step. What lasts longer, a slow loader, model
or validation, is then cut short by an exception: the handler of a third signal raises it in the main thread,
so that it also wakes a thread that waits. It is raised only where the trainer allows it, and the trainer goes
back to where it stood before the step.
"""

from __future__ import annotations

import _thread
import os
import signal
import threading
import time
from types import FrameType
from typing import Any

GRACE = 2.0
_STOPPING = (signal.SIGINT, signal.SIGTERM)
_NUDGE = signal.SIGURG  # ignored by default: one that comes late does no harm


class StopNow(KeyboardInterrupt):
    """Raised inside ``StopSignals.interruptible`` when the time to end in good order is over."""


class StopSignals:
    """A context in which `received` holds the first signal's name, or None.

    Only the main thread may set handlers: elsewhere the context does nothing. The old handlers come back at
    the end, and before the second signal, which is then sent again: SIGINT usually raises KeyboardInterrupt,
    SIGTERM ends the process.
    """

    def __init__(self) -> None:
        self.received: str | None = None
        self.interruptible = _Interruptible(self)
        self._overdue = False
        self._previous: dict[signal.Signals, Any] = {}

    @property
    def active(self) -> bool:
        """Whether signals are caught."""
        return bool(self._previous)

    def __enter__(self) -> StopSignals:
        if threading.current_thread() is threading.main_thread():
            for number in _STOPPING:
                # None: the handler was set by C code, which could not be put back. Ignored: as under nohup,
                # it stays so.
                if signal.getsignal(number) not in (None, signal.SIG_IGN):
                    self._previous[number] = signal.signal(number, self._handle)
            if self._previous and signal.getsignal(_NUDGE) is not None:
                self._previous[_NUDGE] = signal.signal(_NUDGE, self._cut_short)
        return self

    def __exit__(self, *exception: object) -> None:
        self._restore()

    def _restore(self) -> None:
        previous, self._previous = self._previous, {}
        for number, handler in previous.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.received is not None:
            self._restore()
            signal.raise_signal(number)
            return
        self.received = signal.Signals(number).name
        # print() might interrupt a print() of the program; the descriptor cannot be caught in the middle.
        os.write(2, f"\n{self.received}: stopping after this step (once more aborts at once)\n".encode())
        # Not threading.Thread: its locks may be held by the very code that the signal has interrupted.
        _thread.start_new_thread(self._watch, ())

    def _watch(self) -> None:
        # From the start: a second signal that comes just before the main thread waits again, or that the
        # system gives to this thread, would not wake it.
        end = time.monotonic() + GRACE
        main = threading.main_thread().ident
        assert main is not None
        time.sleep(0.1)
        while self._previous:
            self._overdue = time.monotonic() >= end
            signal.pthread_kill(main, _NUDGE)
            time.sleep(0.1)

    def _cut_short(self, number: int, frame: FrameType | None) -> None:
        if self._overdue and self.interruptible.open:
            self.interruptible.open = False  # once: what cleans up behind the exception is left in peace
            raise StopNow


class _Interruptible:
    """A context that ``StopNow`` may leave at any point; not to be nested."""

    def __init__(self, signals: StopSignals) -> None:
        self.signals, self.open = signals, False

    def __enter__(self) -> None:
        if self.signals._overdue:
            raise StopNow
        self.open = True

    def __exit__(self, *exception: object) -> None:
        self.open = False
