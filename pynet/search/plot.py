"""The picture of a search: a panel a parameter, its values against the scores."""

from __future__ import annotations

import io
import math
import statistics
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .result import SearchResult

_DOT, _BEST, _FAULT = "#2f6db3", "#d9662b", "#999999"
_WIDE = 10.0  # largest over smallest from which an axis may be logarithmic


def draw(result: SearchResult, title: str) -> bytes:
    """Return a PNG. Dots are scores, paler where the budget was smaller; crosses on the lower edge are trials
    without a score.
    """
    try:
        from matplotlib.figure import Figure  # not pyplot: no window system, no global state
    except ImportError:
        raise ImportError("pictures need matplotlib; install it with `pip install pynet-nn[viz]`") from None
    best = result.best
    names = [
        name for name in best.parameters if len({str(r.parameters.get(name)) for r in result.trials}) > 1
    ]
    if not names:
        raise ValueError("plot: no parameter varies among the trials, there is nothing to draw")
    columns = min(len(names), 3)
    rows = -(-len(names) // columns)
    figure = Figure(figsize=(max(4.2 * columns, 5.2), 3.4 * rows + 0.5), dpi=120, layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False, sharey=True)
    for place, name in enumerate(names):
        _draw_parameter(panels[place // columns][place % columns], result, name)
    for panel in panels.flat[len(names) :]:
        panel.remove()
    for row in panels:
        row[0].set_ylabel("score" + (", log scale" if row[0].get_yscale() == "log" else ""))
    figure.suptitle(f"{title}: best {best.score:.5g}, trial {best.number}", fontweight="bold")
    stream = io.BytesIO()
    figure.savefig(stream, format="png")
    return stream.getvalue()


def _draw_parameter(panel: Any, result: SearchResult, name: str) -> None:
    scored = [record for record in result.trials if math.isfinite(record.score)]
    without = [record for record in result.trials if not math.isfinite(record.score)]
    place, labels = _places([record.parameters.get(name) for record in result.trials])
    budgets = sorted({record.budget or 0 for record in scored})
    panel.scatter(
        [place(record.parameters.get(name)) for record in scored],
        [record.score for record in scored],
        s=26, color=_DOT, linewidths=0,
        alpha=[0.2 + 0.7 * (1 + budgets.index(record.budget or 0)) / len(budgets) for record in scored],
    )  # fmt: skip
    panel.scatter(
        place(result.best.parameters.get(name)), result.best_score, s=130, marker="*", color=_BEST, zorder=3
    )
    panel.scatter(
        [place(record.parameters.get(name)) for record in without], [0.02] * len(without),
        s=26, marker="x", color=_FAULT, transform=panel.get_xaxis_transform(),
    )  # fmt: skip
    panel.set_xlabel(name)
    if labels:
        turned = sum(map(len, labels)) > 40
        panel.set_xticks(
            range(len(labels)), labels, rotation=30 if turned else 0, ha="right" if turned else "center"
        )
        panel.set_xlim(-0.5, len(labels) - 0.5)
    elif _spans([record.parameters[name] for record in result.trials]):
        panel.set_xscale("log")
    if result.mode == "min" and _spans([record.score for record in scored]):
        panel.set_yscale("log")
    panel.grid(True, color="#dddddd", linewidth=0.7)
    panel.set_axisbelow(True)
    for side in ("top", "right"):
        panel.spines[side].set_visible(False)


def _places(values: list[Any]) -> tuple[Any, list[str]]:
    """Where a value stands on the axis, and the labels of an axis of names, empty for one of numbers."""
    if all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in values):
        return lambda value: value, []
    labels = sorted({str(value) for value in values})
    return lambda value: labels.index(str(value)), labels


def _spans(values: list[float]) -> bool:
    """Whether the values are spread over magnitudes: wide, and their median nearer to the geometric middle of
    the range than to the arithmetic one.
    """
    low, high = min(values), max(values)
    if low <= 0 or high / low < _WIDE:
        return False
    return statistics.median(values) ** 2 < math.sqrt(low * high) * (low + high) / 2
