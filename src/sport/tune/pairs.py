"""Preference pairs out of trajectories, and why candidates give none.

The best candidate of a step is paired with each other one (paper, section 3.4). A step without a
verdict gives nothing (D2); nor does a winner that failed, or a candidate that does the same (D3).
Candidates do the same if their codes are equal but for layout, comments and quotes, or if nearly
all tokens of their codes agree and so does what came of them: a long code with one other word in it
is truly different where that word changed the result (D4).
"""

from __future__ import annotations

import ast
import io
import tokenize
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import lru_cache

from rapidfuzz.distance import Indel

from sport.tune.config import PairConfig
from sport.types import Candidate, Outcome, PreferencePair, Step, Trajectory

KEPT = "kept"
"""The fate of a candidate that gives a pair."""

_LAYOUT = {tokenize.NL, tokenize.NEWLINE, tokenize.ENCODING, tokenize.ENDMARKER}


def build_pairs(
    trajectories: Sequence[Trajectory], config: PairConfig | None = None
) -> tuple[list[PreferencePair], Counter[str]]:
    """Builds the preference pairs of some trajectories.

    Args:
        trajectories: What was explored.
        config: Which pairs to keep.

    Returns:
        The pairs, in the order of the trajectories, steps and candidates; and how many candidates
        had each fate. Its keys are ``kept``, ``no verdict``, ``winner failed``, ``unparsed``,
        ``equal``, ``too similar``, ``small margin``, ``step is full`` and ``task is full``; the
        counts add up to the number of candidates that are not their step's best.
    """
    config = config or PairConfig()
    pairs: list[PreferencePair] = []
    reasons: Counter[str] = Counter()
    for trajectory in trajectories:
        for step, found in zip(trajectory.steps, fates(trajectory, config), strict=True):
            reasons.update(found.values())
            pairs += [
                PreferencePair(
                    task_id=trajectory.task.id,
                    round=trajectory.round,
                    step=step.index,
                    chosen=step.verdict.best,
                    rejected=other,
                )
                for other, fate in found.items()
                if fate == KEPT and step.verdict.best is not None
            ]
    return pairs, reasons


def fates(trajectory: Trajectory, config: PairConfig) -> list[dict[int, str]]:
    """What becomes of every candidate of a trajectory that is not its step's best.

    Args:
        trajectory: What was explored.
        config: Which pairs to keep.

    Returns:
        By step, the fate of each candidate by its index; its words are those of
        :func:`build_pairs`.
    """
    found: list[dict[int, str]] = []
    room = config.max_per_task
    for step in trajectory.steps:
        fate = _step_fates(step, config)
        kept = [i for i, word in fate.items() if word == KEPT]
        if room is not None:
            fate |= dict.fromkeys(kept[room:], "task is full")
            room -= len(kept[:room])
        found.append(fate)
    return found


def _step_fates(step: Step, config: PairConfig) -> dict[int, str]:
    best = step.verdict.best
    others = [i for i in range(len(step.candidates)) if i != best]
    if best is None:
        return dict.fromkeys(others, "no verdict")
    fate = {i: _objection(step, best, i, config) or KEPT for i in others}
    kept = [i for i in others if fate[i] == KEPT]
    if config.max_per_step is not None:
        clearest = sorted(kept, key=lambda i: (-_margin(step, best, i), i))
        fate |= dict.fromkeys(clearest[config.max_per_step :], "step is full")
    return fate


def _objection(step: Step, best: int, other: int, config: PairConfig) -> str | None:
    """Why this candidate gives no pair; ``None`` if it gives one."""
    chosen, rejected = step.candidates[best], step.candidates[other]
    if chosen.action.code is None or rejected.action.code is None:
        return "unparsed"
    if not chosen.ok:
        return "winner failed"
    mine, its = code_tokens(chosen.action.code), code_tokens(rejected.action.code)
    if mine == its:
        return "equal"
    similar = Indel.normalized_similarity(mine, its) > config.max_similarity
    if similar and _effect(chosen.outcome) == _effect(rejected.outcome):
        return "too similar"
    if step.verdict.scores:
        margin = _margin(step, best, other)
        # Candidates of equal score differ by the drawing of lots alone: no preference.
        if margin <= 0 or margin < config.min_margin:
            return "small margin"
    return None


def is_undecided(step: Step) -> bool:
    """Whether another action scored as high as the best one, and something else came of it.

    Which of them is called the best was then drawn by lot: no tuner may learn from it.
    """
    best, scores = step.verdict.best, step.verdict.scores
    if best is None or not scores:
        return False
    chosen = _effect(step.candidates[best].outcome)
    return any(
        score == scores[best] and _effect(candidate.outcome) != chosen
        for candidate, score in zip(step.candidates, scores, strict=True)
    )


def _effect(outcome: Outcome | None) -> object:
    """What came of a code: how it ended, what it called, and what the model saw or answered."""
    if outcome is None:
        return None
    calls = [(call.name, call.arguments) for call in outcome.tool_calls]
    error = outcome.error.type if outcome.error else None
    return outcome.status, error, calls, outcome.stdout, outcome.value, outcome.final_answer


def _margin(step: Step, best: int, other: int) -> float:
    scores = step.verdict.scores
    return scores[best] - scores[other] if scores else 0.0


@lru_cache(maxsize=4096)
def code_tokens(code: str) -> tuple[str, ...]:
    """The tokens of a code, without comments and layout; words where it is not Python."""
    try:
        return tuple(_python_tokens(ast.unparse(ast.parse(code))))
    except (tokenize.TokenError, SyntaxError, ValueError, RecursionError):
        return tuple(code.split())


def _python_tokens(code: str) -> Iterator[str]:
    for token in tokenize.generate_tokens(io.StringIO(code).readline):
        if token.type in (tokenize.INDENT, tokenize.DEDENT):
            yield tokenize.tok_name[token.type]
        elif token.type not in _LAYOUT:
            yield token.string


def candidates_of(trajectory: Trajectory, pair: PreferencePair) -> tuple[Candidate, Candidate]:
    """The chosen and the rejected candidate of a pair."""
    step = trajectory.steps[pair.step]
    return step.candidates[pair.chosen], step.candidates[pair.rejected]


def owners_of(trajectories: Sequence[Trajectory]) -> dict[tuple[str, int], Trajectory]:
    """The trajectories by task and round, as pairs name them.

    Raises:
        ValueError: A task has several trajectories in one round.
    """
    owners = {(t.task.id, t.round): t for t in trajectories}
    if len(owners) < len(trajectories):
        raise ValueError("a task has several trajectories in one round: tune on one of them")
    return owners
