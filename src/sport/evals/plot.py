"""The lines of a table as points with their intervals, one panel a column."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from typing import Any

from matplotlib import rc_context
from matplotlib.figure import Figure

from sport.evals.compare import COLUMNS, Line

_INK = "#010203"  # stands for the page's text colour
_MEASURED, _PUBLISHED = "#2f6fde", "#7f8792"
_SHOWN = ("ans_acc", "tool_acc", "code_exec", "gaia")


def plot_svg(rows: Sequence[Line]) -> str:
    """The plot as SVG, to be put into a page; empty where there is nothing to draw."""
    keys = [k for k in _SHOWN if any(_value(row, k) is not None for row in rows)]
    if not keys:
        return ""
    buffer = io.StringIO()
    style: dict[Any, Any] = {
        "svg.fonttype": "none", "svg.hashsalt": "sport", "svg.id": "table", "text.color": _INK,
        "axes.edgecolor": _INK, "xtick.color": _INK, "ytick.color": _INK, "font.size": 9,
        "text.parse_math": False,
    }  # fmt: skip
    with rc_context(style):
        figure = Figure(figsize=(10.4, 0.9 + 0.26 * len(rows)), layout="constrained")
        axes = figure.subplots(1, len(keys), sharey=True, squeeze=False)[0]
        for panel, key in zip(axes, keys, strict=True):
            _panel(panel, rows, key)
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    svg = re.sub(r"^.*?(?=<svg)", "", buffer.getvalue(), flags=re.S)
    return svg.replace(_INK, "currentColor")


def _panel(axes: Any, rows: Sequence[Line], key: str) -> None:
    axes.set_title(f"{COLUMNS[key]}, %", loc="left", fontsize=10, fontweight="bold")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="x", color=_INK, alpha=0.12, linewidth=0.8)
    axes.set_xlim(0, 100)
    names = [_name(row) for row in rows]
    axes.set_yticks(range(len(rows)), names)
    axes.invert_yaxis()
    for place, row in enumerate(rows):
        value = _value(row, key)
        if value is None:
            continue
        lo, hi = row.cells[key].interval or (value / 100, value / 100)
        axes.errorbar(
            [value], [place], xerr=[[max(0.0, value - lo * 100)], [max(0.0, hi * 100 - value)]],
            color=_PUBLISHED if row.published else _MEASURED, marker="o", markersize=5,
            markerfacecolor="none" if row.published else _MEASURED, capsize=3, elinewidth=1.2,
        )  # fmt: skip


def _name(row: Line) -> str:
    way = f", {row.way}" if row.way and not row.published else ""
    text = f"{row.agent} · {row.controller}{way}"
    return text if len(text) <= 52 else f"{text[:51]}…"


def _value(row: Line, key: str) -> float | None:
    cell = row.cells.get(key)
    if cell is None:
        return None
    if cell.value is not None:
        return cell.value * 100
    try:
        return float(cell.printed)
    except ValueError:
        return None
