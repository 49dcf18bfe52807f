"""The curves of tuning as lines to be drawn in a page."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sport.jsonl import read_lines

WIDTH, HEIGHT = 200, 60
"""Of a line's picture, in its own units."""

_SHOWN = (
    ("loss", "loss"),
    ("accuracy", "pairs ranked right"),
    ("margin", "reward margin"),
    ("chosen_drift", "log p of the chosen, change"),
    ("rejected_drift", "log p of the rejected, change"),
    ("grad_norm", "gradient norm"),
)
_MOST_POINTS = 300


@dataclass(frozen=True)
class Curve:
    """One figure over the steps of a tuning.

    Attributes:
        title: What it is.
        points: As SVG has them, within :data:`WIDTH` and :data:`HEIGHT`.
        first: Its first value.
        last: Its last value.
        low: Its smallest value.
        high: Its largest value.
    """

    title: str
    points: str
    first: float
    last: float
    low: float
    high: float


@dataclass(frozen=True)
class Tuning:
    """The curves of one stage of one tuning."""

    name: str
    steps: int
    curves: tuple[Curve, ...]


def tunings(run: Path) -> Iterator[Tuning]:
    """The curves of every tuning of a run.

    Args:
        run: The run's folder.
    """
    for file in sorted(run.glob("rounds/*/tuning*.jsonl"), key=_order):
        rows = [json.loads(line) for line in read_lines(file)]
        round, control = file.parent.name, file.stem.partition("-")[2]
        for stage in sorted({row.get("index", 0) for row in rows}):
            mine = [r for r in rows if r.get("index", 0) == stage and "loss" in r]
            if mine:
                kind = mine[0].get("stage", "tuning")
                name = f"round {round}{f' ({control})' if control else ''}: {kind}"
                yield Tuning(name, len(mine), tuple(_curves(mine)))


def _order(file: Path) -> tuple[int, str]:
    return int(file.parent.name), file.stem


def _curves(rows: Sequence[dict[str, Any]]) -> Iterator[Curve]:
    for key, title in _SHOWN:
        values = [float(r[key]) for r in rows if isinstance(r.get(key), int | float)]
        values = [v for v in values if math.isfinite(v)]
        if len(values) > 1:
            yield _curve(title, values)


def _curve(title: str, values: list[float]) -> Curve:
    low, high = min(values), max(values)
    every = math.ceil(len(values) / _MOST_POINTS)
    last = len(values) - 1
    points = " ".join(
        f"{i / last * WIDTH:.1f},{HEIGHT - (v - low) / ((high - low) or 1) * HEIGHT:.1f}"
        for i, v in enumerate(values)
        if i % every == 0 or i == last
    )
    return Curve(title, points, values[0], values[-1], low, high)
