"""Which of two trajectories on the same task is better, for tasks that have no answer to check.

Both are shown blind, as two candidates of one step, and in both orders: a preference counts only
if it survives the swap. The figure is a verifier's opinion, and is to be reported as that.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from sport.evals.statistics import wilson
from sport.types import (
    Action,
    Candidate,
    CodeError,
    Observation,
    Outcome,
    Record,
    Trajectory,
    derive_seed,
)
from sport.verify.base import Verifier

Opinion = Literal["after", "before", "tie", "none"]


class Preference(Record):
    """How often a verifier prefers the trajectories after tuning to those before.

    Attributes:
        n: Number of tasks.
        wins: The later trajectory is preferred, in both orders.
        losses: The earlier one is.
        ties: The preference turned with the order, or the trajectories did the same.
        undecided: No verdict in one of the orders.
        share: wins / (wins + losses); ``None`` where there are none of either.
        lo: Lower end of its 95 % Wilson interval.
        hi: Upper end.
        verifier: Who judged.
    """

    n: int
    wins: int
    losses: int
    ties: int
    undecided: int
    share: float | None
    lo: float
    hi: float
    verifier: str


async def prefer(
    before: Sequence[Trajectory], after: Sequence[Trajectory], verifier: Verifier, seed: int
) -> Preference:
    """Has a verifier compare trajectories on the same tasks.

    Args:
        before: One trajectory a task.
        after: The same tasks, in any order.
        verifier: Who judges; it sees no gold and not which is which.
        seed: The recipe's seed.

    Raises:
        ValueError: If the tasks are not the same.
    """
    later = {t.task.id: t for t in after}
    if len(later) != len(after) or {t.task.id for t in before} != set(later):
        raise ValueError("prefer: give one trajectory for each of the same tasks, before and after")
    opinions = [await _opinion(t, later[t.task.id], verifier, seed) for t in before]
    wins, losses = opinions.count("after"), opinions.count("before")
    lo, hi = wilson(wins, wins + losses)
    return Preference(
        n=len(opinions),
        wins=wins,
        losses=losses,
        ties=opinions.count("tie"),
        undecided=opinions.count("none"),
        share=wins / (wins + losses) if wins + losses else None,
        lo=lo,
        hi=hi,
        verifier=verifier.name,
    )


async def _opinion(before: Trajectory, after: Trajectory, verifier: Verifier, seed: int) -> Opinion:
    old, new = as_candidate(before), as_candidate(after)
    if old.action.text == new.action.text and old.observation == new.observation:
        return "tie"
    task = before.task.blind()
    own = derive_seed(seed, "prefer", task.id)
    first = await verifier.judge(task, (), (old, new), own)
    second = await verifier.judge(task, (), (new, old), own)
    if first.best is None or second.best is None:
        return "none"
    if first.best == second.best:
        return "tie"
    return "after" if first.best == 1 else "before"


def as_candidate(trajectory: Trajectory) -> Candidate:
    """A whole trajectory as one candidate: its winners' texts, codes and outcomes, in order.

    It ran if it ended with an answer; a failed step on the way is part of its story, its code
    is not.
    """
    winners = [s.winner for s in trajectory.steps if s.winner is not None]
    good = [w for w in winners if w.ok]
    finished = trajectory.end == "finished"
    outcomes = [w.outcome for w in good if w.outcome is not None]
    outcome = Outcome(
        status="ok" if finished else "error",
        stdout="".join(o.stdout for o in outcomes),
        final_answer=trajectory.final_answer,
        tool_calls=tuple(c for o in outcomes for c in o.tool_calls),
        error=None if finished else CodeError(type="NoAnswer", message=trajectory.end),
    )
    return Candidate(
        action=Action(
            text="\n".join(w.action.text for w in winners),
            thought="\n".join(w.action.thought for w in winners),
            code="\n".join(w.action.code or "" for w in good),
        ),
        outcome=outcome,
        observation=Observation(text="\n".join(w.observation.text for w in winners)),
    )
