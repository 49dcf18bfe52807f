"""What an evaluation says: its row of figures, and the blind preference where nothing else can."""

from __future__ import annotations

import asyncio
from typing import Any

from sport.assemble import make_verifier
from sport.evals.metrics import gains, metric_row, summarise
from sport.sources import Source
from sport.store import Run
from sport.verify.preference import prefer

AGENT = "code"
"""The kind of agent that the loop drives: thought, code, observation (paper, section 3.1)."""


def measure(
    run: Run, source: Source, split: str, round: int, control: str | None, seconds: float
) -> dict[str, Any]:
    """The row of an evaluation whose trajectories are in the run."""
    tasks = run.tasks(split)
    after = list(run.evaluation(round, split, control))
    before = list(run.evaluation(0, split)) if round > 0 else []
    scores = [source.score(t, a) for t, a in zip(tasks, after, strict=True)]
    gain = None
    if before:
        gain = gains([source.score(t, b) for t, b in zip(tasks, before, strict=True)], scores)
    row = metric_row(
        summarise(scores, run.recipe.seed),
        round=round,
        benchmark=source.benchmark,
        split=split,
        agent=AGENT,
        policy=after[0].policy,
        samples=1,
        verifier="",
        seed=run.recipe.seed,
        seconds=seconds,
        control=control,
        gain=gain,
    )
    if before and any(task.gold is None for task in tasks):
        # Without answers, a verifier's opinion is all there is; the row says whose it is.
        judge = make_verifier("rubric", {})
        opinion = asyncio.run(prefer(before, after, judge, run.recipe.seed))
        row["preference"] = opinion.model_dump(mode="json")
    return row
