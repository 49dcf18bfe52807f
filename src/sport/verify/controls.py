"""Verifiers that are controls: what the loop gains must come from the verdicts, not from these."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

from sport.evals.answers import same_answer
from sport.evals.metrics import common_length
from sport.types import Candidate, Gold, Step, Task, ToolCall, Verdict, derive_seed
from sport.verify.evidence import is_empty

ACCEPTABLE = 4.0
"""From this score on the oracle accepts a candidate."""

_RIGHT, _ADVANCES, _EARLY, _IDLE, _WRONG, _FAILED = 10.0, 6.0, 4.0, 1.0, -5.0, -10.0


class RandomVerifier:
    """Names any candidate with equal probability, whatever it did."""

    name = "random"

    async def judge(
        self, task: Task, steps: Sequence[Step], candidates: Sequence[Candidate], seed: int
    ) -> Verdict:
        """Draws the verdict from ``seed`` alone."""
        best = random.Random(seed).randrange(len(candidates))
        return Verdict(best=best, reason="drawn by lot", verifier=self.name)


class OracleVerifier:
    """Judges by the gold answer and the gold chain of tools: an upper bound, never a method.

    The best candidate is one that gives the right answer after the whole chain; then one that
    takes the next tool of the chain with a result that is not empty; then one that gives the
    right answer too early. It abstains where none of the candidates does any of that.

    Args:
        golds: The gold of every task, by the task's id. Tasks come blind, so it is handed in.
    """

    name = "oracle"

    def __init__(self, golds: Mapping[str, Gold]) -> None:
        self._golds = golds

    def scores(
        self, task: Task, steps: Sequence[Step], candidates: Sequence[Candidate]
    ) -> tuple[float, ...]:
        """One score a candidate; :data:`ACCEPTABLE` and above is acceptable.

        Raises:
            KeyError: If the task has no gold.
            ValueError: If its gold names no answer.
        """
        if task.id not in self._golds:
            raise KeyError(f"the oracle has no gold for task {task.id!r}; hand it in as golds")
        gold = self._golds[task.id]
        if gold.answer is None:
            raise ValueError(f"the gold of task {task.id!r} has no answer; the oracle needs one")
        # What a failed step had begun is to be done again: nobody saw its results.
        past = [c.name for s in steps if s.winner and s.winner.ok for c in _useful(s.winner)]
        return tuple(_score(gold, past, c) for c in candidates)

    def acceptable(
        self, task: Task, steps: Sequence[Step], candidates: Sequence[Candidate]
    ) -> frozenset[int]:
        """The candidates that the oracle could name: all with the highest acceptable score."""
        return best_of(self.scores(task, steps, candidates))

    async def judge(
        self, task: Task, steps: Sequence[Step], candidates: Sequence[Candidate], seed: int
    ) -> Verdict:
        """Names one of the acceptable candidates, drawn by ``seed``."""
        scores = self.scores(task, steps, candidates)
        good = sorted(self.acceptable(task, steps, candidates))
        if not good:
            reason = "no candidate takes the next gold tool or answers right"
            return Verdict(best=None, reason=reason, scores=scores, verifier=self.name)
        best = random.Random(seed).choice(good)
        reason = _REASONS[scores[best]]
        return Verdict(best=best, reason=reason, scores=scores, verifier=self.name)


_REASONS = {
    _RIGHT: "the right answer, after the gold chain of tools",
    _ADVANCES: "takes the next tool of the gold chain",
    _EARLY: "the right answer, before the gold chain is complete",
}


def best_of(scores: Sequence[float]) -> frozenset[int]:
    """The candidates with the oracle's highest score, if it is acceptable; else none."""
    top = max(scores)
    return frozenset(i for i, s in enumerate(scores) if s == top >= ACCEPTABLE)


ERRORS = {
    _FAILED: "failed",
    _WRONG: "wrong answer",
    _IDLE: "no step forward",
    _EARLY: "right answer, too early",
    _ADVANCES: "one step forward where the answer was at hand",
}
"""What is wrong with a candidate that is not the best, by the oracle's score."""


class DegradedOracle:
    """An oracle that is right with a given probability: how good must a verifier be?

    Args:
        oracle: The oracle.
        accuracy: Probability, in [0, 1], that its verdict stands; else another candidate is
            named, with equal probability each.
    """

    def __init__(self, oracle: OracleVerifier, accuracy: float) -> None:
        if not 0 <= accuracy <= 1:
            raise ValueError(f"accuracy {accuracy} is not a probability; give 0 to 1")
        self._oracle, self._accuracy = oracle, accuracy
        self.name = f"oracle-{accuracy:g}"

    async def judge(
        self, task: Task, steps: Sequence[Step], candidates: Sequence[Candidate], seed: int
    ) -> Verdict:
        """The oracle's verdict, or another one by lot."""
        verdict = await self._oracle.judge(task, steps, candidates, seed)
        rng = random.Random(derive_seed(seed, "degraded"))
        good = self._oracle.acceptable(task, steps, candidates)
        others = [i for i in range(len(candidates)) if i not in good]
        if verdict.best is None or not others or rng.random() < self._accuracy:
            return verdict.model_copy(update={"verifier": self.name})
        return Verdict(best=rng.choice(others), reason="drawn by lot", verifier=self.name)


def _useful(candidate: Candidate) -> list[ToolCall]:
    calls = candidate.outcome.tool_calls if candidate.outcome else ()
    return [c for c in calls if c.error is None and not is_empty(c.result)]


def _score(gold: Gold, past: Sequence[str], candidate: Candidate) -> float:
    outcome = candidate.outcome
    if outcome is None or not candidate.ok:
        return _FAILED
    done = [*past, *(c.name for c in _useful(candidate))]
    if outcome.final_answer is not None:
        if not same_answer(outcome.final_answer.value, gold.answer):
            return _WRONG
        return _RIGHT if common_length(done, gold.tools) == len(gold.tools) else _EARLY
    advances = common_length(done, gold.tools) > common_length(past, gold.tools)
    return _ADVANCES if advances else _IDLE
