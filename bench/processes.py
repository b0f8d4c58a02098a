"""The processes that are timed: one for every (framework, mode), started when first needed.

Spinning. An OpenMP runtime lets its threads spin for a while after a parallel region, which is good within
a training step and would burn the other side's core between turns. Forbidding it (OMP_WAIT_POLICY=passive)
would slow down PyTorch's steps, so it is only bounded: libgomp, which PyTorch's builds use, stops by itself
after some milliseconds (GOMP_SPINCOUNT and OMP_WAIT_POLICY are taken out of the workers' environment),
pynet's own workers after a tenth of one; Intel's and LLVM's runtime would spin for 200 ms, KMP_BLOCKTIME
makes it 5. The pause between two turns (runner.py) is longer than any of these, and each worker
reports the CPU time that it spent while idle, so that a violation shows in the results.
"""

from __future__ import annotations

import importlib.util
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.conditions import CONDITIONS

ROOT = Path(__file__).resolve().parents[1]
ANSWER_SECONDS = 300.0

# Peers whose interpreter is not PyTorch's: mode -> (framework, the environment variable that names the
# interpreter).
PEERS = {
    "tensorflow": ("keras", "PYNET_KERAS_PYTHON"),
    "tensorflow_xla": ("keras", "PYNET_KERAS_PYTHON"),
    "jax": ("keras", "PYNET_KERAS_PYTHON"),
    "onnxruntime": ("onnx", "PYNET_ONNX_PYTHON"),
    "openvino": ("onnx", "PYNET_ONNX_PYTHON"),
}


class WorkerError(RuntimeError):
    """A worker could not start, answer or finish in time."""


@dataclass(frozen=True)
class Settings:
    """How a run is made; `torch_python` None leaves the peer out for the reason `torch_reason`; 0 rounds or
    block_seconds: as many as the benchmark sets itself. `pythons` are the other peers' interpreters by the
    variable that names them, `condition` is a key of CONDITIONS.
    """

    torch_python: str | None = None
    torch_reason: str = ""
    rounds: int = 0
    block_seconds: float = 0.0
    compile_seconds: float = 900.0
    quick: bool = False
    only: str = ""
    condition: str = ""
    pythons: dict[str, str] = field(default_factory=dict)


def find_torch(asked: str | None, environment: dict[str, str] | os._Environ[str]) -> tuple[str | None, str]:
    """(interpreter to run PyTorch with, "") or (None, why there is none)."""
    chosen = asked or environment.get("PYNET_TORCH_PYTHON")
    if chosen:
        return chosen, ""
    if importlib.util.find_spec("torch") is not None:
        return sys.executable, ""
    return None, (
        "PyTorch is not installed for this Python: its columns are left out "
        "(name another interpreter with --torch-python or PYNET_TORCH_PYTHON)"
    )


def worker_environment(threads: int, environment: dict[str, str] | os._Environ[str]) -> dict[str, str]:
    """The environment of a worker: the thread count, and nothing that changes how idle threads wait."""
    unwanted = {
        "OMP_WAIT_POLICY",
        "GOMP_SPINCOUNT",
        "GOMP_CPU_AFFINITY",
        "OMP_PROC_BIND",
        "OMP_PLACES",
        "KMP_AFFINITY",
    }
    kept = {name: value for name, value in environment.items() if name not in unwanted}
    count = str(threads)
    return {
        **kept,
        "OMP_NUM_THREADS": count,
        "MKL_NUM_THREADS": count,
        "KMP_BLOCKTIME": "5",
        # Compiled in the worker itself: no helper processes are left behind.
        "TORCHINDUCTOR_COMPILE_THREADS": "1",
    }


class Worker:
    """A worker process and the pipe to it.

    Args:
        python: the interpreter.
        framework: "pynet" or "torch".
        mode: see framework.py.
        threads: kernel threads.
        extra: more environment variables.

    Raises:
        WorkerError: the process cannot start or its framework cannot be imported.
    """

    def __init__(
        self, python: str, framework: str, mode: str, threads: int, extra: dict[str, str] | None = None
    ) -> None:
        self.idle_cpu = 0.0
        self._buffer = b""
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the worker
        try:
            self._process = subprocess.Popen(
                [python, "-m", "bench.worker", framework, mode, str(threads)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                cwd=ROOT,
                env=worker_environment(threads, os.environ) | (extra or {}),
                start_new_session=True,
            )
        except OSError as error:
            raise WorkerError(f"{python} cannot be started: {error.strerror}") from error
        try:
            self.versions: dict[str, str] = self._answer(ANSWER_SECONDS)["versions"]
        except WorkerError:
            self.close()
            raise

    def ask(self, command: str, timeout: float = ANSWER_SECONDS, **arguments: Any) -> dict[str, Any]:
        """Send a command and wait for the answer; a worker that is too late is ended.

        Raises:
            WorkerError: it reports an error, ends, or exceeds `timeout` seconds.
        """
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps({"command": command, **arguments}).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError as error:
            raise WorkerError("the worker has ended") from error
        return self._answer(timeout)

    def _answer(self, timeout: float) -> dict[str, Any]:
        assert self._process.stdout is not None
        deadline = time.monotonic() + timeout
        channel = self._process.stdout.fileno()
        while b"\n" not in self._buffer:
            ready, _, _ = select.select([channel], [], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                self.close()
                raise WorkerError(f"no answer within {timeout:.0f} s")
            data = os.read(channel, 65536)
            if not data:
                raise WorkerError(f"the worker ended: {self._last_words()}")
            self._buffer += data
        line, self._buffer = self._buffer.split(b"\n", 1)
        message: dict[str, Any] = json.loads(line)
        self.idle_cpu = max(self.idle_cpu, message.pop("idle_cpu", 0.0))
        if "error" in message:
            raise WorkerError(message["error"])
        return message

    def _last_words(self) -> str:
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else f"exit status {self._process.wait()}"

    @property
    def alive(self) -> bool:
        """Whether the process still runs."""
        return self._process.poll() is None

    def close(self) -> None:
        """End the process, and the compilers it may have started."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout, self._errors):
            if pipe is not None and not pipe.closed:
                try:
                    pipe.close()
                except BrokenPipeError:
                    continue


class Session:
    """The workers of one thread count, started when first needed; `notes` collects what went wrong."""

    def __init__(self, settings: Settings, threads: int) -> None:
        self.settings = settings
        self.threads = threads
        self.notes: list[str] = []
        self.versions: dict[str, str] = {}
        self.idle_cpu: dict[str, float] = {}
        self._workers: dict[str, Worker] = {}
        self._refused: set[str] = set()

    def note(self, text: str) -> None:
        """Remember a sentence for the report, once."""
        if text not in self.notes:
            self.notes.append(text)
            print(f"  note: {text}", flush=True)

    def worker(self, mode: str) -> Worker | None:
        """The worker of a mode ("pynet", a PyTorch mode or one of PEERS); None where it cannot run."""
        if mode in self._refused:
            return None
        framework, python, reason = self._peer(mode)
        if python is None:
            self.note(reason)
            return None
        if mode not in self._workers:
            extra = dict(CONDITIONS[self.settings.condition].environment)
            if self.settings.torch_python:
                extra["PYNET_TORCH_PYTHON"] = self.settings.torch_python  # writes the ONNX files
            try:
                self._workers[mode] = Worker(python, framework, mode, self.threads, extra)
            except WorkerError as error:
                self._refused.add(mode)
                self.note(f"{framework} cannot be measured: {error}")
                return None
            found = self._workers[mode].versions
            self.versions[framework if mode not in PEERS else mode] = ", ".join(
                f"{k} {v}" for k, v in found.items()
            )
        return self._workers[mode]

    def _peer(self, mode: str) -> tuple[str, str | None, str]:
        """(framework, interpreter, why there is none)."""
        if mode == "pynet":
            return "pynet", sys.executable, ""
        if mode not in PEERS:
            return "torch", self.settings.torch_python, self.settings.torch_reason
        framework, variable = PEERS[mode]
        reason = f"{variable} names no Python: the columns of {framework} are left out"
        return framework, self.settings.pythons.get(variable), reason

    def build(self, mode: str, bench: str, case: int, label: str) -> dict[str, float | None] | None:
        """Let a mode prepare a case; its check figures a pass, or None where it cannot."""
        worker = self.worker(mode)
        if worker is None:
            return None
        limit = self.settings.compile_seconds if mode == "compile" else ANSWER_SECONDS
        try:
            return worker.ask("build", limit, bench=bench, case=case)["checks"]
        except WorkerError as error:
            self.note(f"{mode}, {label}: {error}")
            if not worker.alive:
                self.end(mode)
            return None

    def end(self, mode: str) -> None:
        """End one mode's worker; the next use starts a new one."""
        worker = self._workers.pop(mode, None)
        if worker is not None:
            self.idle_cpu[mode] = max(self.idle_cpu.get(mode, 0.0), worker.idle_cpu)
            worker.close()

    def end_dead(self) -> None:
        """Forget the workers whose process is gone."""
        for mode in [mode for mode, worker in self._workers.items() if not worker.alive]:
            self.end(mode)

    def close(self) -> None:
        """End all workers."""
        for mode in list(self._workers):
            self.end(mode)
