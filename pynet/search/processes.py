"""Worker processes under supervision: tasks go out, outcomes come back, and a lost process is replaced.

A process is lost when it has died, runs over the time limit, or hangs: for a while neither it nor its
children used the processor or waited for a disk. The processor's time is read from /proc; no thread in the
worker is needed, which might be starved or blocked with the rest, and code that keeps Python's lock is not
taken for dead.
"""

from __future__ import annotations

import contextlib
import dataclasses
import multiprocessing
import os
import pickle
import signal
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from multiprocessing import connection
from typing import Any, NamedTuple

from .session import activity, kill_session
from .trial import Trial
from .worker import NAME, UNGUARDED, work

_POLL = 0.25  # seconds between two looks at the processes
_START_LIMIT = 120.0  # seconds a process may take to start
_EARLY_DEATHS = 3
_THREAD_COUNTS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class Task(NamedTuple):
    """What a worker is given."""

    parameters: dict[str, Any]
    trial: Trial


class Outcome(NamedTuple):
    """How a task ended: its score, or the error of the last attempt."""

    task: Task
    score: float | None
    error: str | None
    seconds: float
    curve: list[list[float]]


class Limits(NamedTuple):
    """When an attempt is given up, in seconds (None: never), and how often it is tried again."""

    time: float | None
    idle: float | None
    retries: int


def pack(owner: str, objective: Any) -> bytes:
    """Pickle `objective` for the workers.

    Raises:
        TypeError: it cannot be called, or another process could not find it.
    """
    if not callable(objective):
        raise TypeError(f"{owner}: the objective must be a function, not {type(objective).__name__}")
    name = getattr(objective, "__qualname__", type(objective).__name__)
    way_out = "define it with `def` at the top level of a file, and pass what it needs as fixed parameters"
    try:
        packed = pickle.dumps(objective)
    except Exception as error:
        reason = str(error).partition("\n")[0]
        raise TypeError(
            f"{owner}: worker processes cannot get the objective {name} ({reason}); {way_out}"
        ) from None
    main = sys.modules["__main__"]
    file = getattr(main, "__file__", None)
    if getattr(objective, "__module__", None) == "__main__" and (file is None or not os.path.exists(file)):
        raise TypeError(
            f"{owner}: worker processes cannot get the objective {name}, which was typed into an interactive "
            "session; write it into a file and import it"
        )
    return packed


def refuse_unguarded(owner: str) -> None:
    """End a worker whose main script begins a search while the worker imports it."""
    process = multiprocessing.current_process()
    if getattr(process, "_inheriting", False) and process.name.startswith(NAME):
        sys.exit(UNGUARDED)  # the parent says it, once


@dataclasses.dataclass
class _Worker:
    process: Any
    messages: Any
    ready: bool = False
    task: Task | None = None
    since: float = 0.0  # when the task, or the start, began
    curve: list[list[float]] = dataclasses.field(default_factory=list)
    used: int = 0  # processor time at the last look
    used_by_session: int | None = None  # the same with its children, where that was looked at
    alive_at: float = 0.0  # when it was last seen to do something

    def begin(self, task: Task | None) -> None:
        self.task, self.curve, self.since = task, [], time.monotonic()
        self.alive_at = self.since


class Processes:
    """Spawned processes that call an objective.

    Args:
        objective: pickled.
        workers: how many processes.
        threads: threads of each.
        limits: of an attempt.
        say: called with a sentence when a process was lost or an attempt failed.
    """

    def __init__(
        self, objective: bytes, workers: int, threads: int, limits: Limits, say: Callable[[str], None]
    ) -> None:
        self._objective, self._count, self._threads = objective, workers, threads
        self._limits, self._say = limits, say
        self._context = multiprocessing.get_context("spawn")
        self._workers: list[_Worker] = []
        self._proven = False  # whether a process has started
        self._killed_early = 0  # processes that somebody killed before they had started

    def __enter__(self) -> Processes:
        return self

    def __exit__(self, *exception: object) -> None:
        for worker in self._workers:
            self._end(worker)
        self._workers.clear()

    def run(self, tasks: Iterable[Task]) -> Iterator[Outcome]:
        """Yield the outcomes as they come.

        Raises:
            RuntimeError: a process cannot start.
        """
        waiting = deque(tasks)
        while waiting or any(worker.task for worker in self._workers):
            self._assign(waiting)
            connection.wait([worker.messages for worker in self._workers], _POLL)
            for worker in list(self._workers):
                yield from self._look(worker, waiting)

    def _assign(self, waiting: deque[Task]) -> None:
        for worker in self._workers:
            if waiting and worker.ready and worker.task is None:
                worker.begin(waiting.popleft())
                with contextlib.suppress(OSError):  # it died while idle: seen at the next look
                    worker.messages.send(worker.task)
        # The first starts alone: what keeps it from starting would keep them all.
        most = self._count if self._proven else 1
        starting = sum(not worker.ready for worker in self._workers)
        for _ in range(min(len(waiting) - starting, most - len(self._workers))):
            self._start()

    def _start(self) -> None:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(
            target=work, args=(theirs, self._objective), name=f"{NAME}-{len(self._workers)}", daemon=False
        )
        before = {key: os.environ.get(key) for key in _THREAD_COUNTS}
        os.environ.update(dict.fromkeys(_THREAD_COUNTS, str(self._threads)))
        worker = _Worker(process, ours)
        worker.begin(None)
        self._workers.append(worker)
        try:
            process.start()
        finally:
            theirs.close()
            for key, value in before.items():
                os.environ.pop(key) if value is None else os.environ.update({key: value})

    def _look(self, worker: _Worker, waiting: deque[Task]) -> Iterator[Outcome]:
        """Read what a worker sent, and see whether it is still well."""
        dead = not worker.process.is_alive()  # first: what it sent before it died is then all there
        with contextlib.suppress(EOFError, OSError):
            while worker.messages.poll():
                yield from self._take(worker, worker.messages.recv(), waiting)
        fault = _death(worker.process.exitcode) if dead else self._overdue(worker)
        if fault is None:
            return
        self._end(worker)
        self._workers.remove(worker)
        if worker.task is not None:
            yield from self._failed(worker, fault, waiting)
        elif not worker.ready:
            self._killed_early += 1
            if (worker.process.exitcode or 0) < 0 and dead and self._killed_early <= _EARLY_DEATHS:
                return  # another takes its place
            raise RuntimeError(_no_start(worker.process.exitcode, fault))

    def _take(self, worker: _Worker, message: tuple[str, Any], waiting: deque[Task]) -> Iterator[Outcome]:
        kind, value = message
        if kind == "ready":
            worker.ready = self._proven = True
        elif kind == "report":
            worker.curve.append(list(value))
        elif kind == "broken":
            raise RuntimeError(
                f"search: a worker process cannot load the objective ({value}); define it with `def` at the "
                "top level of a file that the workers can import"
            )
        elif kind == "error":
            yield from self._failed(worker, value, waiting)
        elif worker.task is not None:
            outcome = Outcome(worker.task, value, None, time.monotonic() - worker.since, worker.curve)
            worker.begin(None)
            yield outcome

    def _failed(self, worker: _Worker, fault: str, waiting: deque[Task]) -> Iterator[Outcome]:
        """Try the task again, or give it up."""
        task, seconds = worker.task, time.monotonic() - worker.since
        assert task is not None
        attempt, allowed = task.trial.attempt, self._limits.retries + 1
        again = attempt < allowed
        then = "trying again" if again else "giving it up"
        self._say(
            f"trial {task.trial.number}, attempt {attempt} of {allowed}, after {seconds:.1f} s: {fault}\n"
            f"trial {task.trial.number}: {then}"
        )
        curve = worker.curve
        worker.begin(None)
        if again:
            waiting.append(task._replace(trial=dataclasses.replace(task.trial, attempt=attempt + 1)))
        else:
            yield Outcome(task, None, fault, seconds, curve)

    def _overdue(self, worker: _Worker) -> str | None:
        """Why a living process must end, or None."""
        now = time.monotonic()
        if not worker.ready:
            late = now - worker.since > _START_LIMIT
            return f"its process did not start within {_START_LIMIT:.0f} s" if late else None
        if worker.task is None:
            return None
        limit, patience = self._limits.time, self._limits.idle
        if limit is not None and now - worker.since > limit:
            return f"it ran over the time limit of {limit:g} s; its process was killed"
        if patience is None:
            return None
        if self._does_something(worker):
            worker.alive_at = now
        if now - worker.alive_at > patience:
            return (
                f"it hung: no processor time used for {patience:g} s; its process was killed "
                "(idle_limit=None lets an objective wait)"
            )
        return None

    def _does_something(self, worker: _Worker) -> bool:
        used, waits = activity(worker.process.pid)
        if used != worker.used or waits:
            worker.used, worker.used_by_session = used, None
            return True
        before = worker.used_by_session
        worker.used_by_session, waits = activity(worker.process.pid, of_session=True)
        return waits or before not in (None, worker.used_by_session)

    def _end(self, worker: _Worker) -> None:
        """Kill a worker and what it has started."""
        pid = worker.process.pid
        if pid is None:  # interrupted while it was being started: it ends by itself
            return
        kill_session(pid)
        worker.process.kill()  # it may not lead its session yet
        worker.process.join()
        worker.messages.close()


def _death(code: int | None) -> str:
    if code is not None and code < 0:
        name = signal.Signals(-code).name
        hint = "; perhaps memory ran out" if -code == signal.SIGKILL else ""
        return f"its process was killed by {name}{hint}"
    return f"its process ended with exit code {code}"


def _no_start(code: int | None, fault: str) -> str:
    if code == UNGUARDED:
        return (
            "search: the script begins a search whenever it is imported, and every worker process imports "
            "it; put the call under `if __name__ == '__main__':`"
        )
    return (
        f"search: a worker process could not start ({fault}); it imports the main script and the objective's "
        "module, whose error stands above"
    )
