"""The offline verifier: the paper's criteria as rules, without a model and without gold."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from sport.types import Candidate, Step, Task, Verdict
from sport.verify.criteria import CRITERIA
from sport.verify.looking import Remark
from sport.verify.view import Past, look_at, look_back

ACCEPTABLE = 0.0
"""A candidate must score above this to be named best: it gets somewhere and does no wrong."""

_UNPARSED, _FAILED = -20.0, -15.0


@dataclass(frozen=True)
class Judgement:
    """The score of one candidate and the remarks that make it up, weightiest first."""

    score: float
    remarks: tuple[Remark, ...]

    def why(self, sign: int, beside: Judgement | None = None) -> str:
        """The phrases that speak for (1) or against (-1) it, those shared with another left out."""
        shared = {phrase for _, phrase in beside.remarks} if beside else set()
        mine = [p for d, p in self.remarks if d * sign > 0]
        return "; ".join([p for p in mine if p not in shared] or mine)


class RubricVerifier:
    """Judges a step by rules that follow the paper's criteria (section 3.3).

    Coherent with what came before, the right tool, the best argument, nothing invented that no
    tool produced, new information, progress, no errors: each is a function in
    :mod:`sport.verify.criteria`. It sees no gold answer. It abstains where no candidate scores
    above :data:`ACCEPTABLE`. What it cannot see: a tool's result that is wrong, a slip in
    arithmetic that uses the right values and operation, an answer that misreads the query in a
    way its words do not give away.

    The order of candidates plays no part; ties are broken by the seed.
    """

    name = "rubric"

    async def judge(
        self, task: Task, steps: Sequence[Step], candidates: Sequence[Candidate], seed: int
    ) -> Verdict:
        """Names the candidate with the highest score."""
        past = look_back(task, steps, candidates)
        judgements = [examine(past, c) for c in candidates]
        scores = tuple(round(j.score, 3) for j in judgements)
        top = max(scores)
        ties = [i for i, s in enumerate(scores) if s == top]
        best = random.Random(seed).choice(ties)
        if top <= ACCEPTABLE:
            reason = f"no candidate is acceptable; the least bad one {_why_not(judgements[best])}"
            return Verdict(best=None, reason=reason, scores=scores, verifier=self.name)
        reason = _reason(judgements, best)
        return Verdict(best=best, reason=reason, scores=scores, verifier=self.name)


def examine(past: Past, candidate: Candidate) -> Judgement:
    """Scores one candidate; one that did not run is judged by that alone."""
    outcome = candidate.outcome
    if outcome is None:
        return Judgement(_UNPARSED, ((_UNPARSED, "cannot be read as an action"),))
    if outcome.status != "ok":
        what = outcome.error.type if outcome.error else outcome.status
        return Judgement(_FAILED, ((_FAILED, f"fails with {what}"),))
    view = look_at(past, candidate, outcome)
    remarks = [remark for criterion in CRITERIA if (remark := criterion(view))[1]]
    remarks.sort(key=lambda remark: -abs(remark[0]))
    return Judgement(sum(delta for delta, _ in remarks), tuple(remarks))


def _why_not(judgement: Judgement) -> str:
    return judgement.why(-1) or judgement.why(1) or "does nothing of use"


def _reason(judgements: Sequence[Judgement], best: int) -> str:
    winner = judgements[best]
    worse = [j for j in judgements if round(j.score, 3) < round(winner.score, 3)]
    if not worse:
        return f"it {winner.why(1)}; the others do as well"
    rival = max(worse, key=lambda j: j.score)
    against = rival.why(-1, winner) or rival.why(1, winner) or "less than that"
    return f"it {winner.why(1, rival)}; the next best {against}"
