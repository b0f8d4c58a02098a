"""What the whole suite needs of its process."""

from __future__ import annotations

import signal


def pytest_configure() -> None:
    """Ctrl-C is part of what is tested: a suite started in the background of a shell ignores it, and so would
    its child processes.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
