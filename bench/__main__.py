"""Command line of the benchmarks.

`python -m bench` runs everything but `peers`, `inference` and the long `sweep` with 1 and 2 threads and
writes bench/RESULTS.md; `python -m bench conv2d steps --threads 2` runs two of them, `python -m bench steps
--only ResNet` the cases whose label matches, which replaces their rows and leaves the others; `--condition
avx2` and `--condition neighbour` make sections of their own; `python -m bench --quick` shows in some minutes
that all of them work, and writes nothing. `python -m bench gate` holds the steps to the floors of
floors.json, `python -m bench plot` draws the pictures of the docs from results.json.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from pathlib import Path

from bench import gate, plot, report
from bench.conditions import CONDITIONS
from bench.processes import PEERS, ROOT, Settings, find_torch
from bench.runner import LONG, NAMES, run_bench


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line's options; errors end the process with a sentence."""
    parser = argparse.ArgumentParser(prog="python -m bench", description="pynet beside PyTorch, in turn")
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help=f"of: {', '.join(NAMES)} (default: all but {', '.join(LONG)})",
    )
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2], help="thread counts (default: 1 2)")
    parser.add_argument("--torch-python", help="interpreter that has PyTorch (or PYNET_TORCH_PYTHON)")
    parser.add_argument(
        "--condition", default="", choices=[c for c in CONDITIONS if c], help="see conditions.py"
    )
    parser.add_argument("--only", default="", metavar="REGEX", help="cases whose label matches")
    parser.add_argument("--rounds", type=int, help="rounds a case (default: 7, sweep: 3; quick: 2)")
    parser.add_argument(
        "--compile-seconds", type=float, help="limit for compiling a net; 0: none (default: 900; quick: 0)"
    )
    parser.add_argument("--quick", action="store_true", help="few cases, short blocks: figures mean little")
    parser.add_argument("--update", action="store_true", help="gate: write what is found as the new floors")
    parser.add_argument("--out", type=Path, help="the report (default: bench/RESULTS.md; with --quick: none)")
    options = parser.parse_args(arguments)
    if options.names in (["gate"], ["plot"]):
        return options
    unknown = sorted(set(options.names) - set(NAMES))
    if unknown:
        parser.error(f"no benchmark is called {', '.join(unknown)}; there are {', '.join(NAMES)}")
    if min(options.threads) < 1:
        parser.error("--threads needs numbers of at least 1")
    if options.rounds is not None and options.rounds < 1:
        parser.error("--rounds needs a number of at least 1")
    return options


def settings_of(options: argparse.Namespace) -> Settings:
    """The options as the runner's settings."""
    python, reason = find_torch(options.torch_python, os.environ)
    compile_seconds = options.compile_seconds
    if compile_seconds is None:
        compile_seconds = 0.0 if options.quick else 900.0
    return Settings(
        torch_python=python,
        torch_reason=reason,
        rounds=options.rounds or (2 if options.quick else 0),
        block_seconds=0.01 if options.quick else 0.0,
        compile_seconds=compile_seconds,
        quick=options.quick,
        only=options.only,
        condition=options.condition,
        pythons={v: os.environ[v] for _, v in PEERS.values() if os.environ.get(v)},
    )


def main(arguments: list[str] | None = None) -> int:
    """Run what is asked for; every finished section is written at once.

    Returns:
        The exit status: 1 where pynet could not be measured at all.
    """
    options = parse(arguments)
    settings = settings_of(options)
    if options.names == ["plot"]:
        return plot.main()
    if options.names == ["gate"]:
        return gate.main(settings, options.threads, options.update)
    out = options.out or (None if options.quick else ROOT / "bench" / "RESULTS.md")
    status = 0
    cores = len(os.sched_getaffinity(0))
    for threads in options.threads:
        if threads > cores:
            print(f"{threads} threads: left out, this process may use {cores} cores")
            continue
        for name in options.names or [name for name in NAMES if name not in LONG]:
            print(f"{name}, {threads} thread{'s' if threads > 1 else ''}", flush=True)
            result = run_bench(name, threads, settings)
            if not any("pynet" in row["times"] for row in result["rows"]):
                print("  pynet was not measured: nothing is written")
                status = 1
            elif out is not None:
                report.update(out, result)
    return status


if __name__ == "__main__":
    # As an exception, so that the workers end too: one amid a long step would spoil what is measured next.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    sys.exit(main())
