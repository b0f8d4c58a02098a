"""What a diagnosis says: findings in steps, as text, as a page and as pictures."""

from __future__ import annotations

import base64
import html
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...io.atomic import write_atomically
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
        title: what it looks at. evidence: what was measured, in sentences. table: the same in columns, or "".
        findings: what is wrong.
        open: "left out" where the step was not taken, "unclear" where it could not say, else "".
        draw: the function of a path that draws its picture, or None.
    """

    title: str
    evidence: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    open: str = ""
    table: str = ""
    draw: Callable[[Any], None] | None = field(default=None, repr=False)

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
            lines += [f"   {text}" for text in [*step.evidence, *step.table.splitlines()]]
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
        target = Path(path)
        if target.suffix == ".html":
            with tempfile.TemporaryDirectory() as folder:
                write_atomically(target, self._page(self._pictures(Path(folder))))
        else:
            target.mkdir(parents=True, exist_ok=True)
            self._pictures(target)
            write_atomically(target / "diagnosis.txt", f"{self}\n")

    def _pictures(self, folder: Path) -> dict[int, Path]:
        made = {}
        for number, step in enumerate(self.steps, 1):
            if step.draw is not None:
                made[number] = folder / f"step{number}.png"
                step.draw(made[number])
        return made

    def _page(self, pictures: dict[int, Path]) -> str:
        parts = [f"<p><strong>{html.escape(self._closing())}</strong></p>"]
        for number, step in enumerate(self.steps, 1):
            kind = step.verdict.replace(" ", "-")
            parts.append(f'<h2>{number}. {html.escape(step.title)} <b class="{kind}">{step.verdict}</b></h2>')
            for finding in step.findings:
                sentence, evidence, advice = map(
                    html.escape, (finding.sentence, finding.evidence, finding.advice)
                )
                parts.append(
                    f'<section class="{finding.severity}"><p><strong>{sentence}</strong></p>'
                    f"<p>Evidence: {evidence}.</p><p>What to do: {advice}.</p></section>"
                )
            parts += [f"<p>{html.escape(text)}</p>" for text in step.evidence]
            if step.table:
                parts.append(f"<pre>{html.escape(step.table)}</pre>")
            if number in pictures:
                data = base64.b64encode(pictures[number].read_bytes()).decode()
                parts.append(f'<img alt="{html.escape(step.title)}" src="data:image/png;base64,{data}">')
        return _PAGE.replace("TITLE", html.escape(self.title)).replace("BODY", "\n".join(parts))


_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>TITLE</title><style>
:root { color-scheme: light dark; }
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 50rem; margin: auto; padding: 1rem; }
img { max-width: 100%; background: white; }
pre { overflow-x: auto; font-size: .8rem; }
section { border-left: 4px solid #888; padding-left: 1rem; }
.error { border-color: #b02020; } .warning { border-color: #d9662b; }
b { font-size: .9rem; padding: .1rem .5rem; border-radius: .5rem; color: white; background: #666; }
.good { background: #2a7d46; } .look { background: #a86400; } .wrong { background: #b02020; }
</style></head><body><h1>TITLE</h1>
BODY
</body></html>
"""
