"""The report of a run: one page that needs no network, and a picture of the learning curve.

Everything in it that a model or a dataset wrote is untrusted: the template escapes all text, the
page allows no script and loads nothing.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from sport.config import Recipe
from sport.evals.curve import curve_png, curve_svg
from sport.evals.examples import Contrast, Failure, contrasts, failures
from sport.evals.funnel import Funnel, count
from sport.evals.metrics import score
from sport.evals.statistics import wilson
from sport.evals.table import METRICS, Row, change, groups, label, percent, picture_use, preference
from sport.evals.table import terminal_table as terminal_table
from sport.evals.verdicts import VerdictStats, verdict_stats
from sport.remote.ledger import Account, Usage, of_models
from sport.types import Gold, Task, Trajectory
from sport.verify.relabel import VerifierReport, verifier_accuracy

_TEMPLATES = Environment(
    loader=PackageLoader("sport.evals"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_TEMPLATES.filters["preference_of"] = preference
# Control and direction characters could make a page show something else than what was written.
_HIDDEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2066-\u2069\ufeff]")


class Reportable(Protocol):
    """What a report needs of a run (:class:`sport.store.Run`)."""

    path: Path
    recipe: Recipe

    def metrics(self) -> list[dict[str, Any]]:
        """The evaluation rows."""
        ...

    def rounds(self) -> list[int]:
        """The rounds."""
        ...

    def tasks(self, split: str = "train", round: int | None = None) -> list[Task]:
        """Tasks with gold."""
        ...

    def trajectories(self, round: int | None = None) -> Iterator[Trajectory]:
        """What exploring gave."""
        ...

    def pair_report(self, round: int) -> dict[str, Any] | None:
        """Figures on the preference pairs of a round."""
        ...

    def usage(self) -> dict[Account, Usage]:
        """What servers were asked and what it cost."""
        ...

    def evaluation(
        self, round: int, split: str = "test", control: str | None = None
    ) -> Iterator[Trajectory]:
        """The trajectories of an evaluation."""
        ...


@dataclass
class Round:
    """What a report says of one round of exploring."""

    number: int
    funnel: Funnel
    agreement: VerifierReport
    verdicts: VerdictStats
    pairs: dict[str, Any] | None = None
    examples: list[Contrast] = field(default_factory=list)


@dataclass
class Endings:
    """How the last evaluation went wrong.

    A row is (kind, tasks, wrong answers, trajectories that did not finish, failed steps).
    """

    title: str
    rows: list[tuple[str, int, int, int, int]]
    examples: list[Failure]


def write_report(run: Reportable) -> Path:
    """Writes ``report.html`` and ``report.png`` into the run's folder.

    Args:
        run: The run; it is only read.

    Returns:
        The page. Both files appear whole or not at all; the picture only where there is a row.
    """
    rows = run.metrics()
    sections = groups(rows)
    main = next(iter(sections.values()), [])
    if main:
        _write(run.path / "report.png", curve_png(main))
    explored = [_round(run, number) for number in _explored(run)]
    page = _TEMPLATES.get_template("report.html").render(
        run=run,
        recipe=run.recipe,
        sections=sections,
        main=main,
        tiles=_tiles(main),
        curve=Markup(curve_svg(main)) if main else "",
        rounds=explored,
        endings=_endings(run, main),
        usage=list(of_models(run.usage())),
        tiers=sorted({tier for r in explored for tier in r.funnel.tier}),
        kinds=sorted({kind for row in main for kind in row["by_kind"]}),
        metrics=METRICS,
        picture_use=picture_use(rows),
        label=label,
        percent=percent,
        change=change,
        preference=preference,
        shown=shown,
        wilson=wilson,
    )
    target = run.path / "report.html"
    _write(target, page.encode("utf-8", "replace"))
    return target


def shown(text: str) -> str:
    """Text with its control and direction characters made visible."""
    return _HIDDEN.sub(lambda m: f"\\u{ord(m[0]):04x}", text.replace("\r\n", "\n"))


def _write(path: Path, content: bytes) -> None:
    part = path.with_name(f"{path.name}.part")
    part.write_bytes(content)
    os.replace(part, path)


def _tiles(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """The headline: each metric of the last round beside the first."""
    method = [r for r in rows if not r["control"] and r["samples"] == 1]
    if not method:
        return []
    first, last = method[0], method[-1]
    return [
        {
            "name": name,
            "now": percent(last[key]),
            "ci": percent(last[key], last.get(f"{key}_ci")).partition(" ")[2],
            "before": percent(first[key]),
            "change": change(last, key),
        }
        for key, name in METRICS
        if last[key] is not None
    ]


def _explored(run: Reportable) -> list[int]:
    return sorted({t.round for t in run.trajectories()})


def _round(run: Reportable, number: int) -> Round:
    golds: dict[str, Gold] = {t.id: t.gold for t in run.tasks() if t.gold is not None}
    return Round(
        number=number,
        funnel=count(run.trajectories(number), run.recipe.pairs),
        agreement=verifier_accuracy(run.trajectories(number), golds),
        pairs=run.pair_report(number),
        verdicts=verdict_stats(run.trajectories(number)),
        examples=contrasts(run.trajectories(number), run.recipe.pairs),
    )


def _endings(run: Reportable, rows: Sequence[Row]) -> Endings | None:
    method = [r for r in rows if not r["control"] and r["samples"] == 1]
    if not method:
        return None
    row = method[-1]
    tasks = run.tasks(row["split"])
    done = list(run.evaluation(row["round"], row["split"]))
    if len(tasks) != len(done):
        return None  # the evaluation is still being written
    scores = [score(t, d) for t, d in zip(tasks, done, strict=True)]
    counts: dict[str, list[int]] = {}
    for got in scores:
        tally = counts.setdefault(got.kind, [0, 0, 0, 0])
        failed = round((1 - got.code_exec) * got.steps)
        for i, n in enumerate((1, got.answer is False, not got.finished, failed)):
            tally[i] += int(n)
    wrong = {t.id for t, got in zip(tasks, scores, strict=True) if got.answer is False}
    return Endings(
        title=f"{row['split']}, {label(row)}",
        rows=[(kind, n, w, u, f) for kind, (n, w, u, f) in sorted(counts.items())],
        examples=failures(tasks, done, wrong),
    )
