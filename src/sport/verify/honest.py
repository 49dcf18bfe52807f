"""Honest verdicts: no verdict is ever made up (D2), and order decides nothing (D5)."""

from __future__ import annotations

import random
from collections.abc import Sequence

from sport.types import Candidate, Step, Task, Verdict, derive_seed
from sport.verify.base import VerdictError, Verifier


class HonestVerifier:
    """Asks a verifier in shuffled order, again where its verdict is no verdict.

    A verdict counts as none if the inner verifier raises :class:`VerdictError`, names a candidate
    that does not exist, or gives scores of another number than the candidates. After the last
    attempt the verdict is ``best=None`` with the reasons, and nothing is trained on the step. Any
    other exception is a defect or an outage, not a verdict: it is raised.

    Args:
        inner: The verifier to ask.
        attempts: How often; at least 1. Each attempt shuffles anew.
    """

    def __init__(self, inner: Verifier, attempts: int = 2) -> None:
        if attempts < 1:
            raise ValueError(f"attempts={attempts}: a verifier must be asked at least once")
        self._inner, self._attempts = inner, attempts
        self.name = inner.name

    async def judge(
        self, task: Task, steps: Sequence[Step], candidates: Sequence[Candidate], seed: int
    ) -> Verdict:
        """The inner verdict in the caller's numbering; ``order`` is the order that it saw."""
        failures: list[str] = []
        for attempt in range(1, self._attempts + 1):
            order = list(range(len(candidates)))
            # A second answer to the same question would only repeat the first one's mistake.
            random.Random(derive_seed(seed, "order", attempt)).shuffle(order)
            # Lots drawn with the seed of the order would favour a place.
            lots = derive_seed(seed, "judge", attempt)
            try:
                shown = [candidates[i] for i in order]
                verdict = await self._inner.judge(task, steps, shown, lots)
                return self._restored(verdict, order, attempt)
            except VerdictError as error:
                failures.append(str(error))
        return Verdict(
            best=None,
            reason=f"no verdict after {self._attempts} attempts: " + "; ".join(failures),
            order=tuple(order),
            verifier=self.name,
            attempts=self._attempts,
        )

    def _restored(self, verdict: Verdict, order: Sequence[int], attempt: int) -> Verdict:
        n, best, scores = len(order), verdict.best, verdict.scores
        if best is not None and not 0 <= best < n:
            raise VerdictError(f"it named candidate {best} of {n}")
        if scores is not None and len(scores) != n:
            raise VerdictError(f"it gave {len(scores)} scores for {n} candidates")
        place = {shown: i for i, shown in enumerate(order)}
        return verdict.model_copy(
            update={
                "best": None if best is None else order[best],
                "scores": None if scores is None else tuple(scores[place[i]] for i in range(n)),
                "order": tuple(order),
                "verifier": verdict.verifier or self.name,
                "attempts": attempt,
            }
        )
