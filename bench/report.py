"""Writes results: bench/RESULTS.md for people, results.json beside it for programs.

RESULTS.md is a list of sections, one a benchmark and thread count, each between two HTML comments; a rerun
replaces its own section and leaves the others; a run of some cases replaces their rows. So figures of
different days stand side by side, each with its date and versions.
"""

from __future__ import annotations

import importlib
import json
import os
import platform
import re
import textwrap
from pathlib import Path
from typing import Any

from bench.conditions import CONDITIONS
from bench.runner import NAMES
from bench.timing import geometric_mean

HEAD = """# Benchmarks

Written by `python -m bench` (`make bench`); do not edit. Times are medians in milliseconds; pynet and its
peers run in separate processes, in turn. Ratio: the median of the fastest peer (bold) divided by pynet's, so
above 1 pynet is faster; in brackets the quartiles over rounds. GFLOP/s and share of peak are pynet's; the
peak is a loop of fused multiply-adds on registers, measured in the same run.
"""

# Optional columns: a row's entry and the column's title.
COLUMNS = {"ratio": "ratio", "gflops": "GFLOP/s", "share": "of peak", "memory_mb": "MB, pynet / best"}


def machine() -> dict[str, str]:
    """Model, cores and vector extensions of the CPU."""
    model, flags = platform.processor() or platform.machine(), ""
    try:
        information = Path("/proc/cpuinfo").read_text()
    except OSError:
        information = ""
    for key, value in re.findall(r"^(model name|flags|Features)\s*:\s*(.*)$", information, re.MULTILINE):
        if key == "model name":
            model = value
        else:
            flags = value
    vectors = [name for name in ("avx512f", "avx2", "sse4_2", "asimd", "sve") if name in flags.split()]
    return {
        "model": model,
        "cores": str(len(os.sched_getaffinity(0))),
        "vectors": vectors[0] if vectors else "unknown",
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
    }


def key(result: dict[str, Any]) -> str:
    """The name of a result's section."""
    condition = result.get("condition", "")
    return f"{result['bench']}, threads={result['threads']}" + (f", {condition}" if condition else "")


def merged(old: dict[str, Any] | None, new: dict[str, Any]) -> dict[str, Any]:
    """`new`, and where it was a run of some cases the rows of `old` that it has not measured again.

    Rows stand in the order of the benchmark's cases; cases that it no longer has are dropped.
    """
    if old is None or not new["partial"]:
        return new
    cases = [case.label for case in importlib.import_module(f"bench.bench_{new['bench']}").CASES]
    measured = {(row["case"], row["pass"]) for row in new["rows"]}
    kept = [row for row in old["rows"] if (row["case"], row["pass"]) not in measured and row["case"] in cases]
    rows = [*new["rows"], *({"date": old["date"], **row} for row in kept)]
    return {**new, "rows": sorted(rows, key=lambda row: cases.index(row["case"]))}


def milliseconds(seconds: float) -> str:
    """Three significant digits, in ms."""
    value = seconds * 1e3
    return f"{value:.0f}" if value >= 100 else f"{value:.{1 if value >= 10 else 2 if value >= 1 else 3}f}"


def table(rows: list[dict[str, Any]]) -> str:
    """The rows as a Markdown table; columns without any figure are left out."""
    modes = list(dict.fromkeys(mode for row in rows for mode in row["times"] if mode != "pynet"))
    wanted = {name: any(name in row for row in rows) for name in COLUMNS}
    several_days = len({row["date"] for row in rows if "date" in row}) > 1
    head = ["case", "pass", "pynet", *modes]
    head += [title for name, title in COLUMNS.items() if wanted[name]]
    head += ["measured"] if several_days else []
    lines = [head, ["---", "---", *["---:"] * (len(head) - 2)]]
    for row in rows:
        cells = [row["case"], row["pass"]]
        for mode in ("pynet", *modes):
            text = milliseconds(row["times"][mode]["median"]) if mode in row["times"] else "-"
            cells.append(f"**{text}**" if mode == row["best"] else text)
        if wanted["ratio"]:
            spread = "{value:.2f} ({low:.2f}-{high:.2f})"
            cells.append(spread.format(**row["ratio"]) if "ratio" in row else "-")
        if wanted["gflops"]:
            cells.append(f"{row['gflops']:.0f}" if "gflops" in row else "-")
        if wanted["share"]:
            cells.append(f"{row['share']:.0%}" if "share" in row else "-")
        if wanted["memory_mb"]:
            used = row.get("memory_mb", {})
            both = [f"{used[mode]:.0f}" if mode in used else "-" for mode in ("pynet", row["best"])]
            cells.append(" / ".join(both))
        if several_days:
            cells.append(row.get("date", "-"))
        lines.append(cells)
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def section(result: dict[str, Any]) -> str:
    """The text of one section, without its markers."""
    where = result["machine"]
    others = "CPU used by others {:.0%} before, {:.0%} after".format(*result["others"])
    facts = [
        f"{result['date']}; {where['model']}, {where['cores']} cores, {where['vectors']}; {where['system']}",
        *dict.fromkeys(result["versions"].values()),
        f"{result['rounds']} rounds; {others}",
    ]
    if result["peak_gflops"]:
        facts.append(f"measured peak {result['peak_gflops']:.0f} GFLOP/s")
    if result["quick"]:
        facts.append("**a quick run: it shows that the benchmark works, its figures mean little**")
    title = f"## {result['title']}, {result['threads']} thread" + ("s" if result["threads"] > 1 else "")
    condition = CONDITIONS[result.get("condition", "")]
    parts = [title + (f", {condition.label}" if condition.label else "")]
    if condition.environment:
        facts.append("environment: " + ", ".join(f"{k}={v}" for k, v in condition.environment.items()))
    parts += [textwrap.fill(result["about"], 110), "\n".join(f"- {fact}" for fact in facts)]
    summary = getattr(importlib.import_module(f"bench.bench_{result['bench']}"), "summary", None)
    parts.append((summary or table)(result["rows"]) if result["rows"] else "Nothing could be measured.")
    ratios = [row["ratio"]["value"] for row in result["rows"] if "ratio" in row]
    if ratios and not summary:
        parts.append(
            f"Geometric mean of the ratios {geometric_mean(ratios):.2f}, smallest {min(ratios):.2f}."
        )
    if result["notes"]:
        parts.append("Notes:\n\n" + "\n".join(f"- {note}" for note in result["notes"]))
    return "\n\n".join(parts)


def replace_section(text: str, name: str, body: str) -> str:
    """`text` with the section `name` replaced, or added in the order of the benchmarks' list."""
    sections = dict(re.findall(r"<!-- begin (.+?) -->\n(.*?)\n<!-- end \1 -->", text, re.DOTALL))
    sections[name] = body

    def rank(entry: str) -> tuple[int, str]:
        bench = entry.split(",")[0]
        return (NAMES.index(bench) if bench in NAMES else len(NAMES), entry)

    ordered = sorted(sections, key=rank)
    blocks = [f"<!-- begin {entry} -->\n{sections[entry]}\n<!-- end {entry} -->" for entry in ordered]
    return HEAD + "\n" + "\n\n".join(blocks) + "\n"


def dump(results: dict[str, dict[str, Any]]) -> str:
    """JSON with a line for every row."""
    texts = []
    for name, result in sorted(results.items()):
        facts = json.dumps({k: v for k, v in result.items() if k != "rows"}, sort_keys=True)
        rows = ",\n  ".join(json.dumps(row, sort_keys=True) for row in result["rows"])
        texts.append(f'{json.dumps(name)}: {facts[:-1]}, "rows": [\n  {rows}\n]}}')
    return "{\n" + ",\n".join(texts) + "\n}\n"


def update(path: Path, result: dict[str, Any]) -> None:
    """Put one result into RESULTS.md at `path` and into results.json beside it; other sections, and rows of
    this section that the run left out, stay.
    """
    store = path.with_name("results.json")
    known = json.loads(store.read_text()) if store.exists() else {}
    result = merged(known.get(key(result)), {**result, "machine": machine()})
    known[key(result)] = result
    text = path.read_text() if path.exists() else ""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(replace_section(text, key(result), section(result)))
    store.write_text(dump(known))
