"""What a verifier is: it names the best candidate of a step, or abstains."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from sport.types import Candidate, Step, Task, Verdict


class VerdictError(RuntimeError):
    """A verifier gave no verdict that can be used; says what it gave instead."""


class Verifier(Protocol):
    """Judges the candidates of one step (paper, section 3.3).

    Attributes:
        name: Written into every verdict and trajectory.
    """

    name: str

    async def judge(
        self, task: Task, steps: Sequence[Step], candidates: Sequence[Candidate], seed: int
    ) -> Verdict:
        """Names the best candidate.

        Args:
            task: The task, without gold.
            steps: The steps before this one.
            candidates: What is to be compared; at least one.
            seed: Decides the order in which candidates are shown, and breaks ties.

        Returns:
            A verdict whose ``best`` is an index into ``candidates``, or ``None`` with the reason
            where no choice could be had. Never a default choice (D2).
        """
        ...
