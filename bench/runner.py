"""Runs cases on pynet and PyTorch in turn: separate processes, one at work while the others wait.

A case is timed in rounds; in each round every worker (processes.py) gets one block, and the order is turned
round from one round to the next, so that drift and neighbours on the machine fall on both sides.
"""

from __future__ import annotations

import datetime
import importlib
import math
import re
import time
from collections.abc import Iterable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from bench.conditions import CONDITIONS, neighbour
from bench.processes import Session, Settings, WorkerError
from bench.timing import Summary, best, ratio, summarise

NAMES = (
    "steps",
    "overhead",
    "peers",
    "inference",
    "gemm",
    "conv2d",
    "algorithms",
    "pool2d",
    "resample",
    "augment",
    "activation",
    "norm",
    "loss",
    "elementwise",
    "random",
    "optim",
    "sweep",
)
LONG = ("peers", "inference", "sweep")  # run where they are named
PEAK_TRIES = 15
# The pause before a turn: longer than any OpenMP runtime spins in here, see processes.py.
SETTLE_SECONDS = 0.05
# Two frameworks that compute the same thing agree to this, in the mean absolute value of the result.
CHECK_TOLERANCE = 1e-3
# Beside another busy process spinning threads wait for their time slice: medians jump to 8, 16, 24 ms.
BUSY_SHARE = 0.1


def measure_in_turn(
    workers: dict[str, Any], name: str, rounds: int, seconds: float, settle: float = SETTLE_SECONDS
) -> dict[str, Summary]:
    """Time one pass on every worker, a block each a round, in an order that turns round every round."""
    samples: dict[str, list[list[float]]] = {mode: [] for mode in workers}
    for number in range(rounds):
        order = list(workers) if number % 2 == 0 else list(reversed(workers))
        for mode in order:
            time.sleep(settle)
            samples[mode].append(workers[mode].ask("time", name=name, seconds=seconds)["samples"])
    return {mode: summarise(collected) for mode, collected in samples.items()}


def make_row(
    case: str, name: str, times: dict[str, Summary], flops: float | None, peak: float | None
) -> dict[str, Any]:
    """One line of results: summaries, pynet's ratio to the best peer, its GFLOP/s and share of the peak."""
    row: dict[str, Any] = {"case": case, "pass": name}
    ours = times.get("pynet")
    peers = {mode: summary for mode, summary in times.items() if mode != "pynet"}
    for mode, summary in times.items():
        values = asdict(summary)
        del values["rounds"]
        row.setdefault("times", {})[mode] = values
    row["best"] = best(peers)
    if ours is not None:
        if row["best"] is not None:
            row["ratio"] = asdict(ratio(ours, peers[row["best"]]))
        if flops is not None:
            row["gflops"] = flops / ours.median * 1e-9
            if peak:
                row["share"] = row["gflops"] / peak
    return row


def _disagree(checks: dict[str, dict[str, float | None]], name: str, tolerance: float) -> bool:
    known = [figure for figures in checks.values() if (figure := figures.get(name)) is not None]
    # Written so that a NaN on one side counts as a difference.
    return any(not abs(figure - known[0]) <= tolerance * max(abs(known[0]), 1e-12) for figure in known[1:])


def run_case(session: Session, bench: str, index: int, peak: float | None) -> list[dict[str, Any]]:
    """Build one case everywhere, then time its passes in turn."""
    settings = session.settings
    module = importlib.import_module(f"bench.bench_{bench}")
    case = module.CASES[index]
    checks = {}
    for mode in ("pynet", *modes_of(module, settings)):
        figures = session.build(mode, bench, index, case.label)
        if figures is not None:
            checks[mode] = figures
    flops = module.flops(**case.params) if hasattr(module, "flops") else {}
    rows = []
    for name in dict.fromkeys(name for figures in checks.values() for name in figures):
        able = {mode: session.worker(mode) for mode, figures in checks.items() if name in figures}
        workers = {mode: worker for mode, worker in able.items() if worker is not None}
        try:
            times = measure_in_turn(workers, name, settings.rounds, settings.block_seconds)
            row = make_row(case.label, name, times, flops.get(name), peak)
            first = row.get("ratio", {"value": math.inf})["value"]
            if first < getattr(module, "AGAIN_BELOW", 0.0) and not settings.quick:
                times = measure_in_turn(workers, name, module.AGAIN_ROUNDS, settings.block_seconds)
                row = {**make_row(case.label, name, times, flops.get(name), peak), "first_ratio": first}
        except WorkerError as error:
            session.note(f"{case.label}, {name}: {error}")
            session.end_dead()
            break
        if _disagree(checks, name, getattr(module, "CHECK_TOLERANCE", CHECK_TOLERANCE)):
            found = ", ".join(f"{mode} {checks[mode][name]}" for mode in workers)
            session.note(f"{case.label}, {name}: the results differ ({found})")
        if getattr(module, "FRESH_WORKERS", False):
            row["memory_mb"] = {mode: worker.ask("memory")["peak_mb"] for mode, worker in workers.items()}
        rows.append(row)
    return rows


def modes_of(module: Any, settings: Settings) -> Iterable[str]:
    """The PyTorch modes a benchmark compares with; without "compile" where no time is given to it."""
    return [mode for mode in module.MODES if mode != "compile" or settings.compile_seconds > 0]


def busy_share(seconds: float = 0.5) -> float:
    """Share of the machine's CPU time that is in use while this process sleeps; 0 where it is unknown."""

    def ticks() -> tuple[int, int]:
        fields = [int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
        return sum(fields), fields[3] + fields[4]  # all of it; idle and waiting for input or output

    try:
        total, idle = ticks()
        time.sleep(seconds)
        total_after, idle_after = ticks()
    except (OSError, ValueError):
        return 0.0
    return 1.0 - (idle_after - idle) / max(1, total_after - total)


def measure_peak(session: Session) -> float | None:
    """The machine's peak in GFLOP/s at this thread count; None where unknown.

    The best of several tries, until three in a row on otherwise idle cores have not raised it.
    """
    worker = session.worker("pynet")
    if worker is None:
        return None
    best = 0.0
    calm = 0
    for _ in range(PEAK_TRIES):
        idle = busy_share(0.1) < BUSY_SHARE
        try:
            figure = worker.ask("peak")["gflops"]
        except WorkerError as error:
            session.note(f"the machine's peak cannot be measured: {error}")
            return None
        if not figure:
            session.note("this build of pynet._core has no measure_peak: no shares of the peak")
            return None
        calm = calm + 1 if idle and figure < best * 1.01 else 0
        best = max(best, figure)
        if calm == 3:
            return best
    session.note("the machine was never idle while its peak was measured: the peak may be too low")
    return best


def run_bench(bench: str, threads: int, settings: Settings) -> dict[str, Any]:
    """Run one benchmark module at one thread count; the result is plain data for report.py."""
    module = importlib.import_module(f"bench.bench_{bench}")
    settings = replace(
        settings,
        rounds=settings.rounds or getattr(module, "ROUNDS", 7),
        block_seconds=settings.block_seconds or getattr(module, "BLOCK_SECONDS", 0.1),
    )
    session = Session(settings, threads)
    others = [busy_share()]
    chosen = [i for i, case in enumerate(module.CASES) if re.search(settings.only, case.label)]
    if settings.quick:
        chosen = chosen[: getattr(module, "QUICK_CASES", 2)]
    rows: list[dict[str, Any]] = []
    date = datetime.datetime.now().isoformat(timespec="minutes")
    try:
        peak = measure_peak(session) if hasattr(module, "flops") else None
        with neighbour(CONDITIONS[settings.condition]):
            for index in chosen:
                for row in run_case(session, bench, index, peak):
                    print_row(row)
                    rows.append({**row, "date": date})
                if getattr(module, "FRESH_WORKERS", False):
                    session.close()
    finally:
        session.close()
    others.append(busy_share())
    if max(others) > BUSY_SHARE:
        session.note(f"other processes used {max(others):.0%} of the CPU: discard these figures")
    spinning = {mode: cpu for mode, cpu in session.idle_cpu.items() if cpu > SETTLE_SECONDS}
    for mode, cpu in spinning.items():
        session.note(f"{mode} used {cpu * 1e3:.0f} ms of CPU while it should have been idle")
    return {
        "bench": bench,
        "title": module.TITLE,
        "about": " ".join((module.__doc__ or "").split()),
        "threads": threads,
        "condition": settings.condition,
        "date": date,
        "versions": session.versions,
        "quick": settings.quick,
        "partial": bool(settings.only),
        "rounds": settings.rounds,
        "peak_gflops": peak,
        "others": others,
        "notes": session.notes,
        "rows": rows,
    }


def print_row(row: dict[str, Any]) -> None:
    """One line of progress."""
    times = ", ".join(f"{mode} {times['median'] * 1e3:.3f}" for mode, times in row["times"].items())
    against = f"  ratio {row['ratio']['value']:.2f}" if "ratio" in row else ""
    print(f"  {row['case']}, {row['pass']} (ms): {times}{against}", flush=True)
