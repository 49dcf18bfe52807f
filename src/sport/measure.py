"""What an evaluation says: its row of figures, and the blind preference where nothing else can."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sport.assemble import make_verifier
from sport.config import Recipe
from sport.evals.metrics import gains, metric_row, summarise
from sport.evals.reasons import reason
from sport.sources import Source
from sport.store import Run
from sport.verify.preference import prefer


@dataclass(frozen=True)
class Measurement:
    """Which policy is measured on what, and how.

    Attributes:
        split: The tasks.
        round: The round of the policy.
        control: The control that it is of, if any.
        samples: Candidates a step; more than one are chosen among by ``verifier`` (D6).
        verifier: Kind of that verifier; empty for a single sample.
        reformatted: Whether the answers were put into the benchmark's form.
    """

    split: str
    round: int
    control: str | None = None
    samples: int = 1
    verifier: str = ""
    reformatted: bool = False

    def file(self, run: Run) -> Path:
        """File of its trajectories."""
        best = f"best-of-{self.samples}" if self.samples > 1 else None
        file = run.evaluation_file(self.round, self.split, self.control or best)
        return file.with_suffix(".reformatted.jsonl") if self.reformatted else file

    def is_of(self, row: Mapping[str, Any]) -> bool:
        """Whether a row of ``metrics.jsonl`` is of this measurement."""
        keys = ("split", "round", "control", "samples")
        same = all(row[key] == getattr(self, key) for key in keys)
        return same and row.get("reformatted", False) == self.reformatted


def measure(run: Run, source: Source, what: Measurement, seconds: float) -> dict[str, Any]:
    """The row of an evaluation whose trajectories are in the run."""
    tasks = run.tasks(what.split)
    after = list(run.trajectories_in(what.file(run)))
    compared = what.round > 0 and what.split in source.splits
    before = list(run.evaluation(0, what.split)) if compared else []
    scores = [source.score(t, a) for t, a in zip(tasks, after, strict=True)]
    gain = None
    if before:
        gain = gains([source.score(t, b) for t, b in zip(tasks, before, strict=True)], scores)
    scores = [
        score.model_copy(update={"reason": reason(score, t)})
        for score, t in zip(scores, after, strict=True)
    ]
    run.write_scores(what.file(run), scores)
    row = metric_row(
        summarise(scores, run.recipe.seed),
        round=what.round,
        benchmark=source.benchmark,
        split=what.split,
        agent=run.recipe.agent,
        policy=after[0].policy,
        samples=what.samples,
        verifier=what.verifier,
        seed=run.recipe.seed,
        seconds=seconds,
        control=what.control,
        gain=gain,
    )
    row["ends"] = dict(Counter(t.end for t in after))
    row["wrong"] = dict(Counter(s.reason for s in scores if s.reason))
    row |= source.figures(scores)
    if run.recipe.benchmark is not None:
        row["protocol"] = protocol(run.recipe)
    if what.reformatted:
        row["reformatted"] = True
    if what.split in source.probes:
        row["probe"] = source.probes[what.split]
    if before and any(task.gold is None for task in tasks):
        # Without answers, a verifier's opinion is all there is; the row says whose it is.
        judge = make_verifier("rubric", {})
        opinion = asyncio.run(prefer(before, after, judge, run.recipe.seed))
        row["preference"] = opinion.model_dump(mode="json")
    return row


def protocol(recipe: Recipe) -> dict[str, Any]:
    """How an agent was evaluated on a benchmark, where that is not said by other keys of a row."""
    settings = recipe.benchmark
    assert settings is not None
    tools = f"replay ({settings.replay} names)" if settings.replay else ", ".join(recipe.tools)
    return {
        "tools": "" if recipe.agent == "no-tools" else tools,
        "pictures": settings.pictures,
        "step_by_step": settings.step_by_step,
        "limit": settings.limit,
        "like": settings.like,
        "max_steps": recipe.explore.max_steps,
    }
