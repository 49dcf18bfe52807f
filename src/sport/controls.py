"""Controls of round 1: the same candidates, stages and start, but labels that should teach less.

What the loop gains must come from its verdicts. `random` has every step judged by lot, `shuffled`
flips the preferences, `sft` imitates the chosen actions, and `oracle` shows what perfect verdicts
would give.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from sport.assemble import golds, make_verifier
from sport.config import Control
from sport.pipeline import Pipeline
from sport.types import Task, Trajectory
from sport.verify.relabel import relabel

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
    if control == "oracle" and not golds(tasks):
        pipeline.progress.say("control oracle: the tasks carry no answers, so it is left out")
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
    if control not in ("random", "oracle"):
        return trajectories
    known = golds(tasks)
    judged = [t for t in trajectories if control == "random" or t.task.id in known]
    verifier = make_verifier(control, known)
    return asyncio.run(relabel(judged, verifier, pipeline.run.recipe.seed))
