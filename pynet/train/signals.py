"""Ctrl-C and SIGTERM while a training runs: the first one asks it to stop after the step, the second aborts
at once.
"""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType
from typing import Any

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopSignals:
    """A context in which `received` holds the first signal's name, or None.

    Only the main thread may set handlers: elsewhere the context does nothing. The old handlers come back at
    the end, and at the first signal's successor, which raises KeyboardInterrupt.
    """

    def __init__(self) -> None:
        self.received: str | None = None
        self._previous: dict[signal.Signals, Any] = {}

    def __enter__(self) -> StopSignals:
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                # None: the handler was set by C code, which could not be put back. Ignored: as under nohup,
                # it stays so.
                if signal.getsignal(number) not in (None, signal.SIG_IGN):
                    self._previous[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *exception: object) -> None:
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous.clear()

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.received is not None:
            self._restore()
            raise KeyboardInterrupt(f"a second signal ({signal.Signals(number).name}) aborted the training")
        self.received = signal.Signals(number).name
        # print() might interrupt a print() of the program; the descriptor cannot be caught in the middle.
        os.write(2, f"\n{self.received}: stopping after this step (once more aborts at once)\n".encode())
