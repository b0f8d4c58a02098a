"""Circumstances that a benchmark may run under: every worker of the run, pynet's and its peers', is under the
same. Sections of RESULTS.md carry the condition's name."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Condition:
    """What differs from an ordinary run.

    Args:
        label: what titles say.
        environment: variables that all workers get.
        neighbour: a process that computes without end sits on the last core.
    """

    label: str = ""
    environment: dict[str, str] = field(default_factory=dict)
    neighbour: bool = False


CONDITIONS = {
    "": Condition(),
    "avx2": Condition(
        "no AVX-512",
        {
            "PYNET_ISA": "v3",
            "ATEN_CPU_CAPABILITY": "avx2",
            "ONEDNN_MAX_CPU_ISA": "AVX2",
            "MKL_ENABLE_INSTRUCTIONS": "AVX2",
            "XLA_FLAGS": "--xla_cpu_max_isa=AVX2",
        },
    ),
    "neighbour": Condition("beside a busy process on one core", neighbour=True),
}


@contextlib.contextmanager
def neighbour(condition: Condition) -> Iterator[None]:
    """The condition's busy process, as long as the block runs."""
    if not condition.neighbour:
        yield
        return
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(process.pid, {max(os.sched_getaffinity(0))})
        yield
    finally:
        process.kill()
        process.wait()
