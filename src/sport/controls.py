"""Controls of round 1: the same candidates, stages and start, but labels that should teach less.

What the loop gains must come from its verdicts. `random` has every step judged by lot, `shuffled`
(or `shuffled-2`, another shuffle) deals the verdicts that were given out anew among the steps,
`sft` imitates the chosen actions, `oracle` shows what perfect verdicts would give, and `oracle-80`
what verdicts would give that are right 80 times in 100.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from sport.assemble import golds, make_verifier
from sport.config import Control
from sport.pipeline import Pipeline
from sport.types import Task, Trajectory, derive_seed
from sport.verify.relabel import relabel, shuffle

ROUND = 1
"""The round whose candidates controls learn from: later ones depend on the method's own policy."""


def run_controls(pipeline: Pipeline) -> None:
    """Tunes and evaluates every control of the recipe; skips what has been done."""
    if pipeline.run.recipe.rounds >= ROUND:
        for control in pipeline.run.recipe.evaluation.controls:
            run_control(pipeline, control)


def run_control(pipeline: Pipeline, control: Control, evaluate: bool = True) -> None:
    """Tunes a control, and evaluates it."""
    tasks = pipeline.run.tasks(round=ROUND)
    if control.startswith("oracle") and not golds(tasks):
        pipeline.progress.say(f"control {control}: the tasks carry no answers, so it is left out")
        return
    trajectories = pipeline.explored(ROUND)
    start = pipeline.start()
    adapter = pipeline.tune(
        _relabelled(control, trajectories, tasks, pipeline), start, ROUND, control
    )
    if evaluate:
        pipeline.evaluate(adapter, ROUND, control)


def _relabelled(
    control: Control, trajectories: Sequence[Trajectory], tasks: Sequence[Task], pipeline: Pipeline
) -> Sequence[Trajectory]:
    kind, _, number = control.partition("-")
    seed = pipeline.run.recipe.seed
    if kind == "sft":
        return trajectories
    if kind == "shuffled":
        return shuffle(trajectories, derive_seed(seed, "shuffle", number))
    known = golds(tasks)
    judged = [t for t in trajectories if kind == "random" or t.task.id in known]
    accuracy = int(number) / 100 if number else 1.0
    return asyncio.run(relabel(judged, make_verifier(kind, known, accuracy), seed))
