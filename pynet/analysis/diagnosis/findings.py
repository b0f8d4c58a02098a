"""What a diagnosis says: findings in steps, as text, as a page and as pictures."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...io.atomic import write_atomically
from ..activations import columns
from .faults import FAULTS


@dataclass
class Finding:
    """One thing that was found.

    Attributes:
        code: a short name, as "labels_out_of_range". severity: "error", "warning" or "note".
        sentence: what is the matter. evidence: the numbers. advice: what to do.
    """

    code: str
    severity: str
    sentence: str
    evidence: str
    advice: str


@dataclass
class Step:
    """One step of the procedure.

    Attributes:
        title: what it looks at. evidence: what was measured, in sentences. table: a head and rows of cells,
            or empty; its first `text_columns` columns hold text, the others numbers.
        findings: what is wrong.
        open: "left out" where the step was not taken, "unclear" where it could not say, else "".
        draw: makes its picture, a matplotlib Figure, or None.
    """

    title: str
    evidence: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    open: str = ""
    table: Sequence[Sequence[str]] = ()
    text_columns: int = 0
    draw: Callable[[], Any] | None = field(default=None, repr=False)

    @property
    def verdict(self) -> str:
        """ "wrong", "look", "good", or what `open` says."""
        severities = {finding.severity for finding in self.findings}
        if "error" in severities:
            return "wrong"
        return "look" if "warning" in severities else self.open or "good"

    def add(self, code: str, evidence: str, severity: str | None = None, **words: Any) -> None:
        """Add the finding of a fault; `words` fill its sentence, `severity` replaces its own."""
        fault = FAULTS[code]
        sentence = fault.sentence.format(**words)
        self.findings.append(Finding(code, severity or fault.severity, sentence, evidence, fault.advice))


@dataclass
class Diagnosis:
    """What `diagnose` returns; `print` it for the report.

    Attributes:
        steps: the six, in order.
        title: of the page.
    """

    steps: list[Step]
    title: str = "Diagnosis"

    @property
    def findings(self) -> list[Finding]:
        """Of all steps."""
        return [finding for step in self.steps for finding in step.findings]

    @property
    def codes(self) -> set[str]:
        """Of the findings that are errors or warnings."""
        return {finding.code for finding in self.findings if finding.severity != "note"}

    @property
    def healthy(self) -> bool:
        """Whether there is no error and no warning."""
        return not self.codes

    def __str__(self) -> str:
        lines = []
        for number, step in enumerate(self.steps, 1):
            lines.append(f"{number}. {step.title}: {step.verdict}")
            lines += [f"   {text}" for text in step.evidence]
            if step.table:
                lines += [f"   {line}" for line in columns(step.table, step.text_columns).splitlines()]
            for finding in step.findings:
                lines.append(f"   {finding.severity.upper()} {finding.code}: {finding.sentence}")
                lines.append(f"     evidence: {finding.evidence}")
                lines.append(f"     advice: {finding.advice}")
        lines.append(self._closing())
        return "\n".join(lines)

    __repr__ = __str__

    def _closing(self) -> str:
        if self.healthy:
            return "nothing wrong was found"
        first = next(f for severity in ("error", "warning") for f in self.findings if f.severity == severity)
        more = len(self.codes) - 1
        return f"begin with {first.code}: {first.sentence}" + (f" ({more} more to look at)" if more else "")

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write one self-contained page where `path` ends in .html, else a folder: diagnosis.txt and a PNG a
        step.

        Raises:
            ImportError: matplotlib is missing.
        """
        from ..pictures import save

        target = Path(path)
        if target.suffix == ".html":
            self._page().save(target)
            return
        target.mkdir(parents=True, exist_ok=True)
        for number, step in enumerate(self.steps, 1):
            if step.draw is not None:
                save(step.draw(), target / f"step{number}.png")
        write_atomically(target / "diagnosis.txt", f"{self}\n")

    def _page(self) -> Any:
        from ...report.page import Page  # late, since reports use analyses

        page = Page(self.title, self._closing())
        for number, step in enumerate(self.steps, 1):
            page.section(f"{number}. {step.title}")
            said, *evidence = step.evidence or [""]
            page.verdict(step.verdict, step.verdict.replace(" ", "-"), said)
            for finding in step.findings:
                page.verdict(finding.severity, _KINDS[finding.severity], finding.sentence)
                page.text(f"Evidence: {finding.evidence}.")
                page.text(f"What to do: {finding.advice}.")
            for text in evidence:
                page.text(text)
            if step.table:
                page.table(step.table[1:], step.table[0], step.text_columns)
            if step.draw is not None:
                page.figure(step.draw(), step.title)
        return page


_KINDS = {"error": "wrong", "warning": "look", "note": "note"}
