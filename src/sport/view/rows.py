"""What the index holds of one trajectory."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from sport.evals.answers import same_answer
from sport.types import Candidate, Gold, Step, Trajectory
from sport.untrusted import clip
from sport.view.places import place_of

_TEXT = 20_000  # characters of each text that can be found


def key_of(trajectory: Trajectory, source: str) -> str:
    """Names a trajectory within its run, in addresses.

    Args:
        trajectory: The trajectory.
        source: Its file, relative to the run.
    """
    parts = (source, trajectory.round, trajectory.task.id)
    return hashlib.blake2b(repr(parts).encode("utf-8", "replace"), digest_size=8).hexdigest()


def row_of(trajectory: Trajectory, source: str, golds: Mapping[str, Gold]) -> dict[str, Any]:
    """The columns of a trajectory, but for where it lies in its file."""
    task, steps = trajectory.task, trajectory.steps
    given = trajectory.final_answer
    gold = golds.get(task.id)
    answer = None if gold is None else gold.answer
    right = None if answer is None else given is not None and same_answer(given.value, answer)
    # Of a single sample there is no verdict to abstain from.
    chosen_among = [s for s in steps if len(s.candidates) > 1]
    return {
        "key": key_of(trajectory, source),
        "source": source,
        "place": place_of(source, trajectory.round).name,
        "round": trajectory.round,
        "task": _storable(task.id),
        "kind": _storable(task.kind),
        "query": _storable(clip(task.query, 500)),
        "ending": trajectory.end,
        "steps": len(steps),
        "candidates": sum(len(s.candidates) for s in steps),
        "failed": sum(not c.ok for s in steps for c in s.candidates),
        "abstained": sum(s.verdict.best is None for s in chosen_among),
        "disagreed": sum(_disagree(s) for s in steps),
        "answer": "" if given is None else _storable(clip(str(given.value), 200)),
        "gold": None if answer is None else json.dumps(answer),
        "correct": None if right is None else int(right),
        "failed_steps": sum(not (s.winner and s.winner.ok) for s in steps),
    }


def _disagree(step: Step) -> bool:
    return len({vote.best for vote in step.verdict.votes}) > 1


def facets(trajectory: Trajectory) -> Iterator[tuple[str, str]]:
    """What a trajectory can be filtered by, besides its columns: ``(name, value)``."""
    for candidate in _candidates(trajectory):
        outcome = candidate.outcome
        if outcome is None:
            yield "error", "unparsed"
            continue
        if outcome.error is not None:
            yield "error", _storable(clip(outcome.error.type, 80))
        elif outcome.status != "ok":
            yield "error", outcome.status
        for call in outcome.tool_calls:
            yield "tool", _storable(clip(call.name, 80))


def words_of(trajectory: Trajectory) -> str:
    """The text in which a trajectory is found."""
    return "\n".join(_storable(text[:_TEXT]) for text in _texts(trajectory))


def _texts(trajectory: Trajectory) -> Iterator[str]:
    yield trajectory.task.id
    yield trajectory.task.query
    yield trajectory.task.kind
    for step in trajectory.steps:
        yield step.verdict.reason
    for candidate in _candidates(trajectory):
        yield candidate.action.text
        yield candidate.observation.text


def _candidates(trajectory: Trajectory) -> Iterator[Candidate]:
    return (c for step in trajectory.steps for c in step.candidates)


def _storable(text: str) -> str:
    return text.encode("utf-8", "replace").decode()
