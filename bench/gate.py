"""The regression gate: training steps must keep their ratio to PyTorch, and their count of instructions.

`python -m bench gate` measures pynet and PyTorch in turn, so that a slow day of the machine falls on both,
and compares the ratios with those of bench/floors.json, less a margin; a net that falls short is measured
once more. Where `perf` counts instructions, those of pynet's steps on one thread are compared as well: they
do not depend on the machine's mood at all. `--update` writes what is found as the new floors. torch.compile
is left out: it would take minutes.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench import bench_steps, nets, runner
from bench.processes import ROOT, Session, Settings

FLOORS = ROOT / "bench" / "floors.json"
RATIO_MARGIN = 0.10  # of the floor: what repeated runs on a quiet machine differ by, and as much again
INSTRUCTION_MARGIN = 0.03
ROUNDS = 7
STEPS = (5, 25)  # the difference of two runs leaves starting up out


def measure(session: Session, index: int) -> float | None:
    """The ratio of one net's step to PyTorch's best mode; None where one of the two cannot run."""
    rows = runner.run_case(session, "steps", index, None)
    session.close()  # each net in fresh processes
    for row in rows:
        runner.print_row(row)
    return rows[0]["ratio"]["value"] if rows and "ratio" in rows[0] else None


def perf(*program: str, **environment: str) -> int | None:
    """Instructions that a program executed, outside the kernel; None where `perf` cannot count them."""
    command = ["perf", "stat", "-x", ",", "-e", "instructions:u", *program]
    try:
        done = subprocess.run(
            command, cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True
        )
    except OSError:
        return None
    return parse_count(done.stderr) if done.returncode == 0 else None


def instructions(net: str) -> float | None:
    """Instructions of one training step on one thread; None where `perf` cannot count them."""
    if perf("true") is None:
        return None
    programs = [(sys.executable, "-m", "bench.gate", net, str(steps)) for steps in STEPS]
    few, many = (perf(*program, OMP_NUM_THREADS="1") for program in programs)
    return None if few is None or many is None else (many - few) / (STEPS[1] - STEPS[0])


def parse_count(text: str) -> int | None:
    """The count in the comma-separated output of `perf stat`; None where the event is not supported."""
    for line in text.splitlines():
        fields = line.split(",")
        if len(fields) > 2 and fields[2].startswith("instructions") and fields[0].isdigit():
            return int(fields[0])
    return None


def judge(
    found: dict[str, float], floors: dict[str, float], margin: float, more_is_better: bool
) -> list[str]:
    """A sentence for each figure that is worse than its floor by more than `margin`; without a floor,
    none."""
    worse = []
    for name, value in found.items():
        if name not in floors:
            continue
        limit = floors[name] * (1 - margin if more_is_better else 1 + margin)
        if value < limit if more_is_better else value > limit:
            worse.append(f"{name}: {value:.3g}, the limit is {limit:.3g} ({floors[name]:.3g} stored)")
    return worse


def main(settings: Settings, threads: list[int], update: bool, path: Path = FLOORS) -> int:
    """Measure, compare, and say what fell; the exit status is 1 where something did or nothing was
    measured."""
    stored: dict[str, dict[str, float]] = json.loads(path.read_text()) if path.exists() else {}
    settings = replace(settings, compile_seconds=0.0, rounds=settings.rounds or ROUNDS, block_seconds=0.1)
    failures: list[str] = []
    measured = False
    for count in threads:
        session = Session(settings, count)
        ratios: dict[str, float] = {}
        try:
            for index, case in enumerate(bench_steps.CASES):
                if (ratio := measure(session, index)) is None:
                    continue
                name = f"ratios, {level(session)}, threads={count}"
                floors = stored.get(name, {})
                if judge({case.label: ratio}, floors, RATIO_MARGIN, True) and not update:
                    print("  below its floor: once more")
                    ratio = max(ratio, measure(session, index) or 0.0)
                ratios[case.label] = ratio
        finally:
            session.close()
        if ratios:
            measured = True
            failures += judge(ratios, stored.get(name, {}), RATIO_MARGIN, True)
            stored[name] = {**stored.get(name, {}), **ratios} if update else stored.get(name, {})
            if not stored[name]:
                print(f"no floors are stored for {name}: run with --update on a quiet machine")
    counted = {net: count for net in nets.NETS if (count := instructions(net)) is not None}
    if counted:
        name = "instructions"
        failures += judge(counted, stored.get(name, {}), INSTRUCTION_MARGIN, False)
        stored[name] = {**stored.get(name, {}), **counted} if update else stored.get(name, {})
    else:
        print("perf counts no instructions on this machine: the ratios alone were compared")
    if update:
        path.write_text(json.dumps({k: v for k, v in stored.items() if v}, indent=1, sort_keys=True) + "\n")
        print(f"floors written to {path}")
        return 0 if measured else 1
    for sentence in failures:
        print(f"FAILED {sentence}")
    if not measured:
        print("FAILED nothing could be measured beside PyTorch")
    return 1 if failures or not measured else 0


def level(session: Session) -> str:
    """The ISA level that pynet's worker ran at."""
    facts = dict(fact.split(" ", 1) for fact in session.versions["pynet"].split(", "))
    return facts["isa"]


def run_steps(net: str, steps: int) -> None:
    """Train for some steps: what is counted."""
    from bench import framework

    run: Any = bench_steps.prepare(framework.load("pynet", "default", 1), net)["step"]
    for _ in range(steps):
        run()


if __name__ == "__main__":
    run_steps(sys.argv[1], int(sys.argv[2]))
