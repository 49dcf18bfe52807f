"""The learning curve: each metric over the rounds, with intervals, and the controls beside it."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from typing import Any

from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from sport.evals.table import METRICS, Row, label

INK = "#010203"
"""Stands for the page's text colour in a picture that is put into a page."""

_METHOD = "#2f6fde"
_CONTROLS = {"random": "#c26f1a", "shuffled": "#b5589b", "sft": "#26875d", "oracle": "#8a63d2"}
_OTHER = "#7f8792"


def curve_svg(rows: Sequence[Row]) -> str:
    """The curve as SVG to be put into a page; its ink follows the page's text colour."""
    return svg_of(_draw(rows, INK), "curve")


def svg_of(figure: Figure, name: str) -> str:
    """A figure as SVG to be put into a page that allows no styles but its own.

    Args:
        figure: Drawn with :data:`INK` where the page's text colour is meant.
        name: Unique in the page.
    """
    buffer = io.StringIO()
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": name, "svg.id": name}):
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    svg = re.sub(r"^.*?(?=<svg)", "", buffer.getvalue(), flags=re.S)
    svg = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", svg, flags=re.S)
    return re.sub(r' style="([^"]*)"', _attributes, svg).replace(INK, "currentColor")


def _attributes(style: re.Match[str]) -> str:
    """A style as attributes, which a content security policy does not forbid."""
    given = dict(part.strip().split(": ", 1) for part in style[1].split(";") if ": " in part)
    if font := re.match(r"(?:(bold|\d{3}) )?([\d.]+px) ", given.pop("font", "")):
        given |= {"font-size": font[2], **({"font-weight": font[1]} if font[1] else {})}
    return "".join(f' {name}="{value}"' for name, value in given.items())


def curve_png(rows: Sequence[Row]) -> bytes:
    """The curve as PNG on white."""
    buffer = io.BytesIO()
    _draw(rows, "#1c2128").savefig(buffer, format="png", dpi=160, facecolor="white")
    return buffer.getvalue()


def _draw(rows: Sequence[Row], ink: str) -> Figure:
    shown = [m for m in METRICS if any(r[m[0]] is not None for r in rows)]
    style: dict[Any, Any] = {
        "font.family": "sans-serif", "font.size": 10, "text.color": ink, "axes.labelcolor": ink,
        "axes.edgecolor": ink, "xtick.color": ink, "ytick.color": ink, "axes.titlesize": 11,
        "axes.titleweight": "bold", "figure.constrained_layout.w_pad": 0.12,
        "figure.constrained_layout.h_pad": 0.1, "axes.titlelocation": "left",
        "text.parse_math": False,
    }  # fmt: skip
    with rc_context(style):
        figure = Figure(figsize=(9.6, 3.4), layout="constrained")
        for i, (key, name) in enumerate(shown):
            axes = figure.add_subplot(1, len(shown), i + 1)
            _panel(axes, rows, key, name, ink)
        handles, labels = figure.axes[0].get_legend_handles_labels() if shown else ([], [])
        figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False)
    return figure


def _panel(axes: Any, rows: Sequence[Row], key: str, name: str, ink: str) -> None:
    method = [r for r in rows if not r["control"] and r["samples"] == 1 and r[key] is not None]
    others = [r for r in rows if (r["control"] or r["samples"] > 1) and r[key] is not None]
    axes.set_title(f"{name}, %")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color=ink, alpha=0.12, linewidth=0.8)
    axes.set_axisbelow(True)
    _series(axes, method, key, 0.0, color=_METHOD, marker="o", label="SPORT", linewidth=2)
    for row in method:
        axes.annotate(
            f"{row[key] * 100:.1f}", (row["round"], row[key] * 100), xytext=(7, -12),
            textcoords="offset points", fontsize=9, color=ink,
        )  # fmt: skip
    for i, row in enumerate(others):
        colour = _CONTROLS.get((row["control"] or "").partition("-")[0], _OTHER)
        name = label(row).partition(" · ")[2]
        offset = -0.08 - 0.07 * i
        _series(axes, [row], key, offset, color=colour, marker="D", label=name, linewidth=0)
    axes.set_xlabel("round")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    last = max(r["round"] for r in rows)
    axes.set_xlim(-0.25, last + 0.45)
    axes.margins(y=0.15)


def _series(axes: Any, rows: Sequence[Row], key: str, offset: float, **style: Any) -> None:
    if not rows:
        return
    values = [r[key] * 100 for r in rows]
    ends = [r.get(f"{key}_ci") or (r[key], r[key]) for r in rows]
    below = [max(0.0, v - lo * 100) for v, (lo, _) in zip(values, ends, strict=True)]
    above = [max(0.0, hi * 100 - v) for v, (_, hi) in zip(values, ends, strict=True)]
    axes.errorbar(
        [r["round"] + offset for r in rows], values, yerr=[below, above],
        markersize=5, capsize=3, elinewidth=1.2, **style,
    )  # fmt: skip
