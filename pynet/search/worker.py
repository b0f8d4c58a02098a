"""What runs in a worker process: the objective, once a task, and a thread that ends the process if its parent
dies.

A worker leads a session of its own: Ctrl-C on the terminal reaches the search alone, and whatever the
objective has started dies with the worker.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import threading
import traceback
from multiprocessing import connection, parent_process
from typing import Any

from .. import random
from .session import kill_session
from .trial import Trial

NAME = "pynet-search"  # of the processes
UNGUARDED = 77  # exit code of a worker whose main script began another search
_LONGEST = 2000  # characters of an error: with it a message stays below the 4 KiB that a pipe takes at once


def work(messages: Any, objective: bytes) -> None:
    """Serve the tasks that come through `messages`, a Connection, until it is closed.

    Sends ("ready", None) first, or ("broken", reason); for each task any number of ("report", (step, value)),
    then ("score", float) or ("error", text).
    """
    os.setsid()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_die_with_parent, daemon=True).start()
    try:
        function = pickle.loads(objective)
    except Exception as error:
        messages.send(("broken", f"{type(error).__name__}: {error}"[:_LONGEST]))
        return
    messages.send(("ready", None))
    with contextlib.suppress(EOFError):
        while True:
            parameters, trial = messages.recv()
            trial.send = messages.send
            messages.send(_attempt(function, parameters, trial))


def _attempt(function: Any, parameters: dict[str, Any], trial: Trial) -> tuple[str, Any]:
    random.manual_seed(trial.seed)
    try:
        score = function(parameters, trial)
        try:
            return "score", float(score)
        except (TypeError, ValueError):
            shown = repr(score)[:100]
            return "error", f"TypeError: the objective must return its score, a number; it returned {shown}"
    except BaseException as error:  # sys.exit() in an objective ends the trial, not the worker
        return "error", _describe(error)


def _describe(error: BaseException) -> str:
    """The error in one line, then where it happened."""
    line = f"{type(error).__name__}: {error}"[: _LONGEST // 2]
    places = traceback.extract_tb(error.__traceback__)[1:]
    where = "".join(traceback.format_list(places[-6:]))[-_LONGEST // 2 :]
    return f"{line}\n{where}".rstrip()


def _die_with_parent() -> None:
    parent = parent_process()
    assert parent is not None
    connection.wait([parent.sentinel])
    kill_session(os.getpid())
