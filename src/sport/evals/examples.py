"""Steps worth looking at: chosen against rejected, and answers that were wrong."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from sport.tune.config import PairConfig
from sport.tune.pairs import build_pairs, candidates_of
from sport.types import Candidate, PreferencePair, Step, Task, Trajectory

_TEXT = 1200  # characters of code or observation that a card shows


@dataclass(frozen=True)
class Card:
    """One action as a report shows it: all text, shortened, still to be escaped."""

    thought: str
    code: str
    observation: str
    score: float | None


@dataclass(frozen=True)
class Contrast:
    """A preference pair with what led to it.

    Attributes:
        task: The task.
        before: The winners of the steps before.
        step: Index of the step, from 0.
        chosen: The preferred action.
        rejected: The other one.
        reason: The verdict's reason.
        verifier: Who judged.
    """

    task: Task
    before: tuple[Card, ...]
    step: int
    chosen: Card
    rejected: Card
    reason: str
    verifier: str


@dataclass(frozen=True)
class Failure:
    """An evaluated trajectory that went wrong."""

    task: Task
    steps: tuple[Card, ...]
    answer: str
    gold: str
    end: str


def contrasts(
    trajectories: Iterable[Trajectory], config: PairConfig, limit: int = 8
) -> list[Contrast]:
    """Pairs to show: each kind of task in turn, first and later steps, in the order explored.

    Args:
        trajectories: A round's.
        config: Which pairs the run keeps.
        limit: How many to show.
    """
    found: dict[tuple[str, int], list[tuple[Trajectory, PreferencePair]]] = {}
    for trajectory in trajectories:
        for pair in build_pairs([trajectory], config)[0]:
            drawer = found.setdefault((trajectory.task.kind, min(pair.step, 2)), [])
            if len(drawer) < limit and all(t is not trajectory for t, _ in drawer):
                drawer.append((trajectory, pair))
    return [_contrast(t, p) for t, p in _in_turn(found, limit)]


def _in_turn(
    drawers: Mapping[tuple[str, int], list[tuple[Trajectory, PreferencePair]]], limit: int
) -> Iterator[tuple[Trajectory, PreferencePair]]:
    # Alternating first and later steps, so that a few examples show both tools and answers.
    kinds = sorted({kind for kind, _ in drawers})
    taken = 0
    for depth in range(limit):
        for i, kind in enumerate(kinds):
            for step in ((i + depth) % 2, 1 - (i + depth) % 2, 2):
                drawer = drawers.get((kind, step), [])
                if len(drawer) > depth // 2 and taken < limit:
                    taken += 1
                    yield drawer[depth // 2]
                    break


def _contrast(trajectory: Trajectory, pair: PreferencePair) -> Contrast:
    step = trajectory.steps[pair.step]
    chosen, rejected = candidates_of(trajectory, pair)
    return Contrast(
        task=trajectory.task,
        before=tuple(card(s.winner) for s in trajectory.steps[: pair.step] if s.winner),
        step=pair.step,
        chosen=card(chosen, _score(step, pair.chosen)),
        rejected=card(rejected, _score(step, pair.rejected)),
        reason=step.verdict.reason,
        verifier=step.verdict.verifier or trajectory.verifier,
    )


def failures(evaluated: Iterable[tuple[Task, Trajectory]], limit: int = 4) -> list[Failure]:
    """Wrong answers to show, of different kinds first.

    Args:
        evaluated: Tasks, with gold, that were answered wrong, each with what was done about it.
        limit: How many to show.
    """
    first: dict[str, list[Failure]] = {}
    for task, trajectory in evaluated:
        drawer = first.setdefault(task.kind, [])
        if len(drawer) < limit:
            drawer.append(_failure(task, trajectory))
    rounds = (drawer[i] for i in range(limit) for drawer in first.values() if len(drawer) > i)
    return [failure for failure, _ in zip(rounds, range(limit), strict=False)]


def _failure(task: Task, trajectory: Trajectory) -> Failure:
    given = trajectory.final_answer
    return Failure(
        task=task,
        steps=tuple(card(s.winner) for s in trajectory.steps if s.winner),
        answer="none" if given is None else _short(str(given.value), 200),
        gold="" if task.gold is None else str(task.gold.answer),
        end=trajectory.end,
    )


def card(candidate: Candidate, score: float | None = None) -> Card:
    """A candidate, shortened for a report."""
    action = candidate.action
    return Card(
        thought=_short(action.thought, 300),
        code=_short(action.text if action.code is None else action.code),
        observation=_short(candidate.observation.text),
        score=score,
    )


def _score(step: Step, index: int) -> float | None:
    return step.verdict.scores[index] if step.verdict.scores else None


def _short(text: str, limit: int = _TEXT) -> str:
    return text if len(text) <= limit else f"{text[:limit]}… ({len(text) - limit:,} more)"
