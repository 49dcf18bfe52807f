"""The paper's table with measured rows in it: which runs, which lines, which differences.

A line is an agent with a controller, measured one way. Its figures on GTA and on GAIA come from two
runs, and stand in one line where agent, controller and way are the same. Best-of-n is another way
than a single sample, so it is always a line of its own (D6).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sport.evals.base import Score
from sport.evals.metrics import Gain, gains
from sport.evals.published import published_rows
from sport.evals.statistics import wilson
from sport.evals.table import Row, label
from sport.jsonl import read_lines
from sport.store import Run

COLUMNS = {
    "tool_acc": "ToolAcc",
    "code_exec": "CodeExec",
    "ans_acc": "AnsAcc",
    "l1": "L1",
    "l2": "L2",
    "l3": "L3",
    "gaia": "GAIA",
}
"""Columns of the paper's table: three on GTA, four on GAIA."""

_OF = {"gta": ("tool_acc", "code_exec", "ans_acc"), "pocket": ("tool_acc", "code_exec", "ans_acc")}


@dataclass(frozen=True)
class Cell:
    """A figure, as a fraction, or as it was printed.

    Attributes:
        value: The fraction.
        interval: Its 95 % interval.
        right: Successes, where it is a share of ``n``.
        n: Of how many.
        printed: A published figure, verbatim.
    """

    value: float | None = None
    interval: tuple[float, float] | None = None
    right: int | None = None
    n: int | None = None
    printed: str = ""

    def text(self) -> str:
        """Such as ``60.26 (94/156) [52.42, 67.60]``; a dash where nothing was measured."""
        if self.printed or self.value is None:
            return self.printed or "–"
        share = "" if self.right is None else f" ({self.right}/{self.n})"
        ends = (
            f" [{self.interval[0] * 100:.2f}, {self.interval[1] * 100:.2f}]"
            if self.interval
            else ""
        )
        return f"{self.value * 100:.2f}{share}{ends}"


@dataclass
class Line:
    """One line of the table.

    ``whose`` tells controllers of one name apart: the model, its adapter, the run that tuned it.
    """

    source: str
    agent: str
    controller: str
    way: str = ""
    whose: tuple[str, ...] = ()
    cells: dict[str, Cell] = field(default_factory=dict)

    @property
    def key(self) -> tuple[str, str, str, tuple[str, ...]]:
        """What lines are told apart by."""
        return self.agent, self.controller, self.way, self.whose

    @property
    def published(self) -> bool:
        """Whether it was published, and not measured here."""
        return self.source == "published"


@dataclass(frozen=True)
class Evaluation:
    """One measurement of a run, with its scores.

    Attributes:
        run: The run's folder.
        row: Its row of ``metrics.jsonl``.
        scores: One a task, in order; empty where the run has kept none.
        whose: The controller: model, adapter, the run that tuned it, and its tools.
    """

    run: Path
    row: Row
    scores: Sequence[Score]
    whose: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """What it is, for people."""
        row = self.row
        return f"{row['benchmark']}: {row['agent']} · {row['policy']}{_dotted(way_of(row))}"


@dataclass(frozen=True)
class Difference:
    """How two evaluations of the same tasks differ."""

    before: Evaluation
    after: Evaluation
    gains: Mapping[str, Gain]


def evaluations(folders: Sequence[Path]) -> list[Evaluation]:
    """The measurements of runs, in order: all of an evaluation, those that count of a training."""
    return [found for folder in folders for found in _of_run(Run.open(folder))]


def _of_run(run: Run) -> Iterator[Evaluation]:
    for row in run.metrics():
        if row["split"] == "dev" or row.get("probe"):
            continue
        best = f"best-of-{row['samples']}" if row["samples"] > 1 else None
        file = run.evaluation_file(row["round"], row["split"], row["control"] or best)
        if row.get("reformatted"):
            file = file.with_suffix(".reformatted.jsonl")
        scores = [
            Score.model_validate({k: v for k, v in json.loads(line).items() if k in _FIELDS})
            for line in read_lines(file.with_suffix(".scores.jsonl"))
        ]
        yield Evaluation(run.path, row, scores, _whose(run, row))


def _whose(run: Run, row: Row) -> tuple[str, ...]:
    policy = run.recipe.policy
    own = str(run.path) if row["round"] else ""
    return (policy.model, policy.adapter or "", own, *run.recipe.tools)


_FIELDS = frozenset(Score.model_fields)


def way_of(row: Row) -> str:
    """How a row was measured, where it is not the plain way."""
    protocol = row.get("protocol") or {}
    parts = [label(row).partition(" · ")[2]]
    parts += [f"round {row['round']}"] if row["round"] and row["control"] is None else []
    tools = protocol.get("tools", "")
    parts += ["recorded tools"] if tools.startswith("replay") else []
    parts += ["no pictures"] if protocol.get("pictures") is False else []
    parts += ["step by step"] if protocol.get("step_by_step") else []
    parts += [f"first {protocol['limit']}"] if protocol.get("limit") else []
    parts += [f"scorer {row['scorer']}"] if row.get("scorer", "sport") != "sport" else []
    lost = (row.get("ends") or {}).get("unavailable", 0)
    parts += [f"{lost} not served"] if lost else []
    parts += ["answers put into form"] if row.get("reformatted") else []
    return ", ".join(filter(None, parts))


def lines(found: Sequence[Evaluation], benchmarks: Sequence[str]) -> list[Line]:
    """The measured lines of some benchmarks; those of the same agent and way are one."""
    made: list[Line] = []
    for evaluation in found:
        row = evaluation.row
        if row["benchmark"] not in benchmarks:
            continue
        names = (row["agent"], row["policy"], way_of(row))
        line = Line("measured", *names, evaluation.whose, _cells(row))
        same = next(
            (m for m in made if m.key == line.key and not m.cells.keys() & line.cells), None
        )
        if same is None:
            made.append(line)
        else:
            same.cells |= line.cells
    return made


def published_lines() -> list[Line]:
    """The published lines, verbatim."""
    return [
        Line(
            "published",
            row.agent,
            row.controller,
            row.note,
            cells={key: Cell(printed=text) for key, text in row.figures.items()},
        )
        for row in published_rows()
    ]


def _cells(row: Row) -> dict[str, Cell]:
    if row["benchmark"] == "gaia":
        cells = {key.lower(): _share(level) for key, level in row["levels"].items()}
        right = sum(level["right"] for level in row["levels"].values())
        n = sum(level["n"] for level in row["levels"].values())
        return {**cells, "gaia": Cell(right / n if n else None, wilson(right, n), right, n)}
    cells = {
        key: Cell(row[key], _pair(row[f"{key}_ci"]))
        for key in ("tool_acc", "code_exec")
        if row[key] is not None
    }
    if "answers" in row:
        return {**cells, "ans_acc": _share(row["answers"][row["scorer"]])}
    if row["ans_acc"] is None:
        return cells
    n = row.get("answerable", row["n"])
    whole = {**row, "right": round(row["ans_acc"] * n), "n": n}
    return {**cells, "ans_acc": _share(whole)}


def _share(figures: Mapping[str, Any]) -> Cell:
    return Cell(figures["ans_acc"], _pair(figures["ans_acc_ci"]), figures["right"], figures["n"])


def _pair(interval: Any) -> tuple[float, float] | None:
    return None if interval is None else (interval[0], interval[1])


def differences(found: Sequence[Evaluation]) -> list[Difference]:
    """Every evaluation against the first one of the same tasks: paired, item by item."""
    made = []
    for i, after in enumerate(found):
        ids = [s.task for s in after.scores]
        alike = (b for b in found[:i] if ids and all(ids) and _comparable(b, after))
        before = next(alike, None)
        if before is not None:
            made.append(Difference(before, after, gains(before.scores, after.scores)))
    return made


def _comparable(one: Evaluation, other: Evaluation) -> bool:
    """Whether both scored the same tasks by the same rule."""
    keys = ("benchmark", "scorer")
    same = all(one.row.get(key) == other.row.get(key) for key in keys)
    return same and [s.task for s in one.scores] == [s.task for s in other.scores]


def wrong_items(evaluation: Evaluation) -> dict[str, list[str]]:
    """The tasks that were answered wrong, by reason; the most frequent reason first."""
    found: dict[str, list[str]] = {}
    for score in evaluation.scores:
        if score.reason:
            found.setdefault(score.reason, []).append(score.task)
    return dict(sorted(found.items(), key=lambda pair: (-len(pair[1]), pair[0])))


def _dotted(text: str) -> str:
    return f" · {text}" if text else ""
