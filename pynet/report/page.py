"""The shell of every HTML page that pynet writes: one file, no network, no script.

Text is escaped here and nowhere else. Figures are inline SVG whose ink is the page's text colour, so that
they can be read in light and in dark mode; photographs are PNG data. The page fits a phone: nothing but a
wide table scrolls sideways, and that within its own frame.
"""

from __future__ import annotations

import base64
import html
import io
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ..io.atomic import write_atomically

# What figures draw text and axes with; replaced by the page's colour.
INK = "#010203"
BLUE, ORANGE, GREEN, RED, PURPLE = "#3f7fd0", "#e07b39", "#3a9a63", "#d2494f", "#8c68b8"
COLOURS = (BLUE, ORANGE, GREEN, RED, PURPLE, "#b08a2e", "#2f9fae", "#c2589a")


class Page:
    """An HTML page, written from top to bottom.

    Args:
        title: of the page and its headline. subtitle: a line below.
    """

    def __init__(self, title: str, subtitle: str = "") -> None:
        self.title, self._parts = title, [f"<h1>{html.escape(title)}</h1>"]
        if subtitle:
            self._parts.append(f'<p class="subtitle">{html.escape(subtitle)}</p>')

    def section(self, title: str) -> None:
        """Begin a section."""
        self._parts.append(f"<h2>{html.escape(title)}</h2>")

    def text(self, text: str) -> None:
        """A paragraph."""
        self._parts.append(f"<p>{html.escape(text)}</p>")

    def code(self, text: str) -> None:
        """A line to be copied."""
        self._parts.append(f"<pre>{html.escape(text)}</pre>")

    def numbers(self, figures: Mapping[str, str]) -> None:
        """The few figures that matter most, large."""
        cells = (
            f"<div><b>{html.escape(value)}</b><span>{html.escape(name)}</span></div>"
            for name, value in figures.items()
        )
        self._parts.append(f'<div class="numbers">{"".join(cells)}</div>')

    def table(self, rows: Iterable[Sequence[Any]], head: Sequence[str] = (), text_columns: int = 1) -> None:
        """A table; the first `text_columns` columns hold text, the others numbers, set to the right."""

        def row(cells: Sequence[Any], tag: str) -> str:
            made = (
                f"<{tag}{'' if place < text_columns else ' class=number'}>{html.escape(str(cell))}</{tag}>"
                for place, cell in enumerate(cells)
            )
            return f"<tr>{''.join(made)}</tr>"

        header = f"<thead>{row(head, 'th')}</thead>" if head else ""
        body = "".join(row(cells, "td") for cells in rows)
        self._parts.append(f'<div class="scroll"><table>{header}<tbody>{body}</tbody></table></div>')

    def verdict(self, verdict: str, kind: str, sentence: str) -> None:
        """A badge and what it is about; `kind` is "good", "look" or "wrong"."""
        self._parts.append(
            f'<p><b class="badge {kind}">{html.escape(verdict)}</b> {html.escape(sentence)}</p>'
        )

    def figure(self, figures: Any, description: str) -> None:
        """A matplotlib Figure, or a list of them, which stand side by side where there is room.

        Args:
            figures: made by `new_figure` or `new_panel`.
            description: what is seen, as caption and for those who cannot see it.
        """
        said = html.escape(description)
        made = figures if isinstance(figures, list) else [figures]
        drawn = "".join(svg(figure, f"{len(self._parts)}-{place}") for place, figure in enumerate(made))
        self._parts.append(
            f'<figure role="img" aria-label="{said}"><div class="panels">{drawn}</div>'
            f"<figcaption>{said}</figcaption></figure>"
        )

    def images(self, images: Iterable[tuple[np.ndarray, str]], side: int = 96) -> None:
        """Small images with captions: uint8 (H, W, 3) or (H, W), enlarged to `side` CSS pixels."""
        made = (
            f'<figure><img alt="{html.escape(caption)}" width="{side}" src="{png(pixels)}">'
            f"<figcaption>{html.escape(caption)}</figcaption></figure>"
            for pixels, caption in images
        )
        self._parts.append(f'<div class="images" style="--side: {side}px">{"".join(made)}</div>')

    def __str__(self) -> str:
        head = f"<title>{html.escape(self.title)}</title><style>{_STYLE}</style>"
        return (
            '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            f'<link rel="icon" href="data:,">{head}</head>\n<body>\n'
            + "\n".join(self._parts)
            + "\n</body></html>\n"
        )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the page, atomically."""
        write_atomically(path, str(self))


def new_figure(width: float, height: float) -> Any:
    """An empty matplotlib Figure in inches, with a transparent background and the page's ink.

    Raises:
        ImportError: matplotlib is missing.
    """
    try:
        from matplotlib.figure import Figure  # not pyplot: no window system, no global state
    except ImportError:
        raise ImportError("figures need matplotlib; install it with `pip install pynet-nn[viz]`") from None
    return Figure(figsize=(width, height), layout="constrained", facecolor="none")


def new_panel(width: float, height: float) -> tuple[Any, Any]:
    """A Figure in inches and its one panel, empty."""
    figure = new_figure(width, height)
    panel = figure.subplots()
    tidy(panel)
    return figure, panel


def tidy(panel: Any) -> None:
    """The look of every panel."""
    panel.set_facecolor("none")
    panel.grid(True, color="#808080", alpha=0.25, linewidth=0.7)
    panel.set_axisbelow(True)
    panel.tick_params(colors=INK, labelsize=9)
    for label in (panel.title, panel.xaxis.label, panel.yaxis.label):
        label.set_color(INK)
    for side, spine in panel.spines.items():
        spine.set_color(INK)
        spine.set_visible(side in ("left", "bottom"))


def legend(panel: Any) -> None:
    """A legend without a frame, where there is something to name."""
    if panel.get_legend_handles_labels()[1]:
        panel.legend(frameon=False, fontsize=9, labelcolor=INK)


def svg(figure: Any, name: str) -> str:
    """The Figure as SVG text to stand in a page; `name` keeps the ids of several apart."""
    from matplotlib import rc_context

    stream = io.StringIO()
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": f"figure {name}", "font.family": "sans-serif"}):
        figure.savefig(stream, format="svg", transparent=True, metadata={"Date": None})
    text = stream.getvalue()
    text = text[text.index("<svg") :].replace(INK, "currentColor")
    # The names of matplotlib's groups are the same in every figure: keep what is referred to, which the salt
    # tells apart.
    used = set(re.findall(r"#([\w.-]+)", text))
    return re.sub(r' id="([^"]+)"', lambda found: found[0] if found[1] in used else "", text)


def png(pixels: np.ndarray) -> str:
    """An image as a data URI: uint8 (H, W, 3) or (H, W).

    Raises:
        ImportError: matplotlib is missing.
    """
    try:
        from matplotlib.image import imsave
    except ImportError:
        raise ImportError("figures need matplotlib; install it with `pip install pynet-nn[viz]`") from None
    stream = io.BytesIO()
    colour = pixels if pixels.ndim == 3 else np.repeat(pixels[:, :, None], 3, axis=2)
    imsave(stream, np.ascontiguousarray(colour), format="png")
    return f"data:image/png;base64,{base64.b64encode(stream.getvalue()).decode()}"


_STYLE = """
:root { color-scheme: light dark; --paper: #fff; --ink: #1b1f24; --faint: #656d76; --line: #d5dae0; --box:
#f4f6f8 } @media (prefers-color-scheme: dark) {
  :root { --paper: #14171b; --ink: #e4e8ec; --faint: #9aa4af; --line: #333b44; --box: #1d2228 }
}
* { box-sizing: border-box }
body { margin: 0 auto; padding: 1rem; max-width: 62rem; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, sans-serif; overflow-wrap: anywhere }
h1 { font-size: 1.6rem; line-height: 1.2; margin: .5rem 0 }
h2 { font-size: 1.2rem; margin: 2.2rem 0 .6rem; padding-top: .8rem; border-top: 1px solid var(--line) }
.subtitle, figcaption { color: var(--faint) }
figcaption { font-size: .85rem }
figure { margin: 1rem 0 }
.panels { display: flex; flex-wrap: wrap; gap: .4rem }
.panels svg { flex: 0 1 auto; max-width: 100%; height: auto }
pre { background: var(--box); padding: .7rem; border-radius: .4rem; white-space: pre-wrap; font-size: .9rem }
.numbers { display: flex; flex-wrap: wrap; gap: .6rem }
.numbers div { background: var(--box); border-radius: .5rem; padding: .6rem .9rem; flex: 1 1 8rem }
.numbers b { display: block; font-size: 1.35rem; line-height: 1.3 }
.numbers span { color: var(--faint); font-size: .85rem }
.scroll { overflow-x: auto }
table { border-collapse: collapse; font-size: .92rem }
th, td { overflow-wrap: normal; text-align: left; padding: .25rem .9rem .25rem 0; border-bottom: 1px solid
var(--line);
vertical-align: top } .number { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums }
.images { display: grid; gap: .7rem; grid-template-columns: repeat(auto-fill, minmax(var(--side), 1fr)) }
.images figure { margin: 0 }
.images img { image-rendering: pixelated; display: block; width: var(--side); height: auto; border-radius:
.2rem } .badge { font-size: .8rem; padding: .1rem .55rem; border-radius: .6rem; color: #fff; background: #666
} .good { background: #23763f } .look { background: #9a5b00 } .wrong { background: #b3261e }
@media print { body { max-width: none } h2, figure { break-inside: avoid } }
"""
