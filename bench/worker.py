"""One side of a comparison: a process that builds and times what it is told through a pipe.

    python -m bench.worker {pynet | torch} MODE THREADS

Requests and replies are JSON, one a line. Between requests the process is blocked in read(): it uses no
CPU while the other side is timed, once its OpenMP threads have stopped spinning (see runner.py).
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import resource
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any

import numpy as np

from bench import framework

# One sample lasts at least this long: the clock and the loop around a short operation must not count.
SAMPLE_SECONDS = 0.5e-3
# Calls before anything is timed; whole training steps are compared by the loss after these.
FIRST_CALLS = 3


def measure_block(
    run: Callable[[], Any],
    seconds: float,
    estimate: float,
    clock: Callable[[], float] = time.perf_counter,
    minimum: int = 2,
    maximum: int = 200,
) -> list[float]:
    """Seconds a call of `run`, sampled for `seconds` (but at least `minimum` and at most `maximum` samples).

    The first call is not counted: it wakes threads and refills caches after the other side's turn.
    """
    run()
    inner = max(1, round(SAMPLE_SECONDS / max(estimate, 1e-9)))
    samples: list[float] = []
    began = clock()
    while len(samples) < minimum or (len(samples) < maximum and clock() - began < seconds):
        start = clock()
        for _ in range(inner):
            run()
        samples.append((clock() - start) / inner)
    return samples


class Worker:
    """Holds the case that was built last and answers requests about it."""

    def __init__(self, fw: framework.Framework) -> None:
        self.fw = fw
        self.passes: dict[str, Callable[[], Any]] = {}
        self.estimates: dict[str, float] = {}

    def build(self, bench: str, case: int) -> dict[str, Any]:
        """Prepare a case; the reply has, for every pass, a figure that must agree between frameworks."""
        self.passes, self.estimates = {}, {}
        gc.collect()
        module = importlib.import_module(f"bench.bench_{bench}")
        self.passes = module.prepare(self.fw, **module.CASES[case].params)
        checks = {}
        for name, run in self.passes.items():
            for _ in range(FIRST_CALLS):
                start = time.perf_counter()
                result = run()
                self.estimates[name] = time.perf_counter() - start
            checks[name] = self.check(result)
        return {"checks": checks}

    def check(self, result: Any) -> float | None:
        """Mean absolute value of a result, in double precision; None where there is no result."""
        if result is None:
            return None
        array = result if isinstance(result, np.ndarray) else self.fw.array(result)
        return float(np.abs(array.astype(np.float64)).mean())

    def time(self, name: str, seconds: float) -> dict[str, Any]:
        """Samples of one pass, in seconds a call."""
        samples = measure_block(self.passes[name], seconds, self.estimates[name])
        self.estimates[name] = min(samples)
        return {"samples": samples}

    def peak(self) -> dict[str, Any]:
        """The machine's peak in GFLOP/s, or None."""
        return {"gflops": self.fw.peak()}

    def memory(self) -> dict[str, Any]:
        """Largest resident memory of this process so far, in MB."""
        return {"peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


def _last_line(error: BaseException) -> str:
    return traceback.format_exception_only(type(error), error)[-1].strip().splitlines()[0]


def serve(fw_name: str, mode: str, threads: int) -> None:
    """Answer requests until the pipe closes."""
    # Replies leave through a private copy of stdout, so that a library that prints cannot garble them.
    replies = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)

    def reply(message: dict[str, Any]) -> None:
        replies.write(json.dumps(message) + "\n")

    try:
        worker = Worker(framework.load(fw_name, mode, threads))
    except Exception as error:
        reply({"error": _last_line(error)})
        return
    reply({"versions": worker.fw.versions()})
    used = time.process_time()
    for line in sys.stdin:
        idle = time.process_time() - used  # CPU spent since the last reply: spinning threads
        request = json.loads(line)
        try:
            message = getattr(worker, request.pop("command"))(**request)
        except Exception as error:
            traceback.print_exc()
            message = {"error": _last_line(error)}
        reply({**message, "idle_cpu": idle})
        used = time.process_time()


if __name__ == "__main__":
    serve(sys.argv[1], sys.argv[2], int(sys.argv[3]))
