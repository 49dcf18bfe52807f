"""The pictures of `docs/evidence.md`, made from the results of `pocket_gain.py`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.figure import Figure
from pocket_tables import PAGE, Results, arm_names, change

FOLDER = PAGE.with_suffix("")
_INK, _SOFT, _MAIN = "#1c2128", "#7f8792", "#2f6fde"


def write_pictures(results: Results, folder: Path = FOLDER) -> None:
    """Draws the gains of all arms, and the gain by the accuracy of the verdicts."""
    folder.mkdir(exist_ok=True)
    with rc_context({"font.size": 10, "text.color": _INK, "axes.edgecolor": _INK}):
        draw_arms(results).savefig(folder / "arms.png", dpi=150, facecolor="white")
        draw_accuracy(results).savefig(folder / "accuracy.png", dpi=150, facecolor="white")


def draw_arms(results: Results) -> Figure:
    """AnsAcc gained over the start, an arm a line, with paired intervals and single seeds."""
    shown = [a for a in arm_names(results) if "picture" not in a and a != "round 0"]
    figure = Figure(figsize=(8, 0.34 * len(shown) + 1.1), layout="constrained")
    axes = figure.add_subplot()
    for place, arm in enumerate(reversed(shown)):
        middle, low, high = change(results, "round 0", arm)
        ours = arm.startswith("round")
        colour, mark = (_MAIN, "o") if ours else (_SOFT, "D")
        axes.errorbar(
            [middle], [place], xerr=[[middle - low], [high - middle]],
            color=colour, marker=mark, capsize=3,
        )  # fmt: skip
        seeds = _seeds(results, arm)
        axes.plot(seeds, [place] * len(seeds), "|", color=_INK, markersize=9, alpha=0.7)
    axes.set_yticks(range(len(shown)), list(reversed(shown)))
    axes.axvline(0, color=_INK, linewidth=0.8)
    axes.set_xlabel("AnsAcc over round 0, points (95 % interval; a stroke a seed)")
    _plain(axes)
    return figure


def draw_accuracy(results: Results) -> Figure:
    """AnsAcc gained over the start by how often the verdicts are right."""
    levels = [(60, "oracle-60"), (70, "oracle-70"), (80, "oracle-80"), (90, "oracle-90")]
    levels.append((100, "oracle"))
    known = [(x, change(results, "round 0", a)) for x, a in levels if a in arm_names(results)]
    figure = Figure(figsize=(6, 3.6), layout="constrained")
    axes = figure.add_subplot()
    xs, middles = [x for x, _ in known], [c.diff for _, c in known]
    errors = [[c.diff - c.lo for _, c in known], [c.hi - c.diff for _, c in known]]
    axes.errorbar(xs, middles, yerr=errors, color=_MAIN, marker="o", capsize=3, label="oracle")
    for name, arm, style in (("rubric", "round 1", "--"), ("verdicts by lot", "random", ":")):
        axes.axhline(change(results, "round 0", arm).diff, color=_INK, linestyle=style, label=name)
    axes.set_xlabel("verdicts right where there is a choice, %")
    axes.set_ylabel("AnsAcc over round 0, points")
    axes.legend(frameon=False)
    _plain(axes)
    return figure


def _seeds(results: Results, arm: str) -> Sequence[float]:
    seeds = results["seeds"]
    return [100 * (s["arms"][arm]["ans_acc"] - s["arms"]["round 0"]["ans_acc"]) for s in seeds]


def _plain(axes: Any) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color=_INK, alpha=0.12, linewidth=0.8)
    axes.set_axisbelow(True)
