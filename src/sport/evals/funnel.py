"""What became of everything that was sampled: tasks, steps, candidates, verdicts, pairs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from sport.tune.config import PairConfig
from sport.tune.pairs import build_pairs
from sport.types import Candidate, Trajectory


@dataclass
class Funnel:
    """Counts of one round of exploring.

    Attributes:
        tasks: Tasks explored.
        steps: Steps taken.
        candidates: Candidates sampled.
        judged: Steps with a verdict.
        pairs: Preference pairs.
        ends: How trajectories ended.
        statuses: What came of the candidates: ``ok``, ``unparsed``, the sandbox's status, or
            ``missing`` where a server did not give them.
        errors: Exceptions by class, the most frequent first.
        abstained: Why steps have no verdict: abstentions, and failures of the verifier (D2).
        dropped: Why candidates gave no pair.
        tier: What the sandbox promised.
    """

    tasks: int = 0
    steps: int = 0
    candidates: int = 0
    judged: int = 0
    pairs: int = 0
    ends: Counter[str] = field(default_factory=Counter)
    statuses: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    abstained: Counter[str] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)
    tier: set[str] = field(default_factory=set)


def count(trajectories: Iterable[Trajectory], config: PairConfig) -> Funnel:
    """Counts a round's trajectories, one at a time.

    Args:
        trajectories: The round's.
        config: Which pairs the run keeps.
    """
    funnel = Funnel()
    for trajectory in trajectories:
        funnel.tasks += 1
        funnel.ends[trajectory.end] += 1
        funnel.tier.add(trajectory.tier)
        for step in trajectory.steps:
            funnel.steps += 1
            funnel.candidates += len(step.candidates)
            funnel.judged += step.verdict.best is not None
            if step.verdict.best is None:
                funnel.abstained[_why(step.verdict.reason)] += 1
            if step.missing:
                funnel.statuses["missing"] += len(step.missing)
            for candidate in step.candidates:
                _count_candidate(funnel, candidate)
        _, reasons = build_pairs([trajectory], config)
        funnel.pairs += reasons.pop("kept", 0)
        funnel.dropped.update(reasons)
    return funnel


def _why(reason: str) -> str:
    """The kind of a reason for which a step has no verdict."""
    if reason.startswith("no verdict"):
        return "verifier failed"
    return "votes differ" if reason.startswith("votes differ") else "nothing acceptable"


def _count_candidate(funnel: Funnel, candidate: Candidate) -> None:
    outcome = candidate.outcome
    funnel.statuses["unparsed" if outcome is None else outcome.status] += 1
    if outcome is not None and outcome.error is not None:
        funnel.errors[outcome.error.type] += 1
