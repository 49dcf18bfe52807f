"""How a verifier chose, whatever was right: by the place where candidates were shown, and by vote.

Candidates are shown in random order, so a verifier that looks at what they did names each place
equally often. One that prefers a place shows it here (position bias, D5).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import combinations

from sport.evals.statistics import wilson
from sport.types import Trajectory, Verdict, Vote


@dataclass
class Place:
    """One place in the order shown.

    Attributes:
        shown: Votes that named a candidate and had this place.
        won: How many of them named the candidate at this place.
        by_lot: How many would have, had they not looked.
    """

    shown: int = 0
    won: int = 0
    by_lot: float = 0.0

    @property
    def share(self) -> float:
        """Share of the votes that this place won."""
        return self.won / self.shown

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % Wilson interval of the share."""
        return wilson(self.won, self.shown)


@dataclass
class VerdictStats:
    """Counts over the verdicts of a round.

    Attributes:
        places: By place, the first shown first.
        pairs: Pairs of votes on the same step.
        agreeing: Pairs that name the same candidate, or both none.
        asked_again: Verdicts for which a verifier was asked more than once.
    """

    places: list[Place] = field(default_factory=list)
    pairs: int = 0
    agreeing: int = 0
    asked_again: int = 0

    @property
    def agreement(self) -> float | None:
        """Share of the pairs of votes that agree; ``None`` where single votes are taken."""
        return self.agreeing / self.pairs if self.pairs else None


def verdict_stats(trajectories: Iterable[Trajectory]) -> VerdictStats:
    """Counts places and votes."""
    stats = VerdictStats()
    for verdict in (s.verdict for t in trajectories for s in t.steps):
        stats.asked_again += verdict.attempts > 1
        for vote in _votes(verdict):
            _count(stats, vote)
        for a, b in combinations(verdict.votes, 2):
            stats.pairs += 1
            stats.agreeing += a.best == b.best
    return stats


def _votes(verdict: Verdict) -> Iterator[Vote]:
    yield from verdict.votes or (Vote(best=verdict.best, order=verdict.order),)


def _count(stats: VerdictStats, vote: Vote) -> None:
    n = len(vote.order)
    if vote.best is None or n < 2:
        return
    while len(stats.places) < n:
        stats.places.append(Place())
    for place, candidate in zip(stats.places, vote.order, strict=False):
        place.shown += 1
        place.won += candidate == vote.best
        place.by_lot += 1 / n
