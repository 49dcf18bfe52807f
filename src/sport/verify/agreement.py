"""Agreement between those who judge: a person, the run's verifier, and others.

Steps are drawn by lot and shown blind: candidates in shuffled order, without a verdict. Candidates
with the same code count as one, so that naming its twin is no disagreement.
"""

from __future__ import annotations

import heapq
import random
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from sport.evals.statistics import wilson
from sport.tune.pairs import code_tokens
from sport.types import Candidate, Record, Step, Task, Trajectory, derive_seed
from sport.verify.base import Verifier

_DRAWS = 2000

Choice = int | None
"""Index of a candidate, or ``None``: none is acceptable."""


class Ballot(Record):
    """A step to be judged.

    Attributes:
        round: The round of its trajectory.
        task: The task, without gold.
        before: The steps before it.
        step: The step, with the verdict of the run's verifier.
        order: The order in which its candidates are shown.
    """

    round: int
    task: Task
    before: tuple[Step, ...]
    step: Step
    order: tuple[int, ...]

    @property
    def key(self) -> str:
        """Names it within the run."""
        return f"{self.round}/{self.task.id}/{self.step.index}"

    @property
    def shown(self) -> list[Candidate]:
        """The candidates in the order in which they are shown."""
        return [self.step.candidates[i] for i in self.order]

    def place(self, choice: Choice) -> Choice:
        """A choice as it is compared: the first place shown that holds the same code.

        Places are drawn by lot, so by chance two agree about once in as many places. By their
        indices candidates may differ in kind, as in their temperature, and chance would be more.
        """
        if choice is None:
            return None
        codes = [_code(c) for c in self.shown]
        return codes.index(_code(self.step.candidates[choice]))


def draw(trajectories: Iterable[Trajectory], count: int, seed: int) -> list[Ballot]:
    """Draws steps that offer a choice: at least two different candidates.

    Args:
        trajectories: What was explored.
        count: How many steps; all of them where there are fewer.
        seed: Decides which, and the order of steps and candidates.
    """
    ballots = (b for t in trajectories for b in _ballots(t, seed))
    return heapq.nsmallest(count, ballots, key=lambda b: derive_seed(seed, "draw", b.key))


def _ballots(trajectory: Trajectory, seed: int) -> Iterable[Ballot]:
    for i, step in enumerate(trajectory.steps):
        if len({_code(c) for c in step.candidates}) < 2:
            continue
        order = list(range(len(step.candidates)))
        own = derive_seed(seed, trajectory.round, trajectory.task.id, i)
        random.Random(own).shuffle(order)
        yield Ballot(
            round=trajectory.round,
            task=trajectory.task.blind(),
            before=trajectory.steps[:i],
            step=step,
            order=tuple(order),
        )


def _code(candidate: Candidate) -> tuple[str, ...]:
    code = candidate.action.code
    return code_tokens(code) if code is not None else (candidate.action.text,)


async def judged(ballots: Sequence[Ballot], verifier: Verifier, seed: int) -> dict[str, Choice]:
    """A verifier's choices on ballots, by their keys."""
    choices: dict[str, Choice] = {}
    for ballot in ballots:
        own = derive_seed(seed, "agree", ballot.key)
        verdict = await verifier.judge(ballot.task, ballot.before, ballot.step.candidates, own)
        choices[ballot.key] = verdict.best
    return choices


class Agreement(Record):
    """How two agree.

    Attributes:
        first: One of them.
        second: The other.
        both: Steps on which both named a candidate.
        same: Steps of these on which they named the same.
        interval: 95 % Wilson interval of the share.
        kappa: Cohen's kappa over all steps that both judged, naming none being an answer of its
            own; ``None`` where both always gave one and the same answer.
        kappa_interval: Its 95 % bootstrap interval over steps.
        abstained: Steps on which one of them, or both, named none.
    """

    first: str
    second: str
    both: int
    same: int
    interval: tuple[float, float]
    kappa: float | None
    kappa_interval: tuple[float, float] | None
    abstained: int

    @property
    def share(self) -> float | None:
        """Share of the steps on which both named a candidate and named the same."""
        return self.same / self.both if self.both else None


def compare(
    ballots: Sequence[Ballot],
    first: tuple[str, Mapping[str, Choice]],
    second: tuple[str, Mapping[str, Choice]],
    seed: int = 0,
) -> Agreement:
    """Compares two who judged the same ballots; ballots that one of them left out do not count."""
    answers = [
        (b.place(first[1][b.key]), b.place(second[1][b.key]))
        for b in ballots
        if b.key in first[1] and b.key in second[1]
    ]
    named = [(a, b) for a, b in answers if a is not None and b is not None]
    same = sum(a == b for a, b in named)
    value, interval = cohen_kappa(answers, seed)
    return Agreement(
        first=first[0],
        second=second[0],
        both=len(named),
        same=same,
        interval=wilson(same, len(named)),
        kappa=value,
        kappa_interval=interval,
        abstained=len(answers) - len(named),
    )


def cohen_kappa(
    answers: Sequence[tuple[Choice, Choice]], seed: int = 0
) -> tuple[float | None, tuple[float, float] | None]:
    """Cohen's kappa (1960) of pairs of answers, with its 95 % percentile bootstrap interval.

    Args:
        answers: One pair a step.
        seed: Of the resampling.

    Returns:
        (observed − chance) / (1 − chance), chance being what the two's own frequencies give; and
        the interval. ``None`` where chance is 1.
    """
    value = _kappa(answers)
    if value is None:
        return None, None
    rng = np.random.default_rng(seed)
    draws = rng.integers(0, len(answers), (_DRAWS, len(answers)))
    found = [k for row in draws if (k := _kappa([answers[i] for i in row])) is not None]
    lo, hi = np.quantile(found, (0.025, 0.975))
    return value, (float(lo), float(hi))


def _kappa(answers: Sequence[tuple[Choice, Choice]]) -> float | None:
    n = len(answers)
    if n == 0:
        return None
    observed = sum(a == b for a, b in answers) / n
    first, second = Counter(a for a, _ in answers), Counter(b for _, b in answers)
    chance = sum(first[answer] * second[answer] for answer in first) / n**2
    return None if chance == 1 else (observed - chance) / (1 - chance)
