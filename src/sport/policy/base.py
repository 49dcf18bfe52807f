"""What a controller is: something that samples actions from messages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from sport.types import Action, Message, Record


class ContextFull(Exception):
    """A prompt leaves no room for an action: its trajectory ends, and nothing is truncated."""


class SamplingPlan(Record):
    """How the n candidates of a step are sampled (paper, section 4.1).

    Attributes:
        temperatures: One a candidate; 0 is greedy. Its length is n.
        top_p: Nucleus mass, for candidates with a temperature above 0.
        max_new_tokens: Bound on the length of an action.
    """

    temperatures: tuple[float, ...] = (0.7, 1.2, 1.2, 1.2, 1.2)
    top_p: float = 0.8
    max_new_tokens: int = 512

    @property
    def n(self) -> int:
        """Number of candidates a step."""
        return len(self.temperatures)


class Request(Record):
    """One step of one trajectory: sample ``plan.n`` actions after ``messages``.

    Attributes:
        messages: The opening and the history; the last turn is the user's.
        seeds: One a candidate. A candidate's tokens depend on its own seed, not on its
            neighbours in the batch.
        plan: Temperatures and bounds.
    """

    messages: tuple[Message, ...]
    seeds: tuple[int, ...]
    plan: SamplingPlan


class Missing(Record):
    """A candidate that could not be had; says why."""

    reason: str


Sample = Sequence[Action | Missing] | ContextFull
"""What a request gives: its candidates, or that its prompt is too long for the model."""


class Policy(Protocol):
    """A controller: samples actions.

    Attributes:
        name: Versioned name, such as ``pocket+r1``; written into every trajectory.
    """

    name: str

    async def sample(self, requests: Sequence[Request]) -> Sequence[Sample]:
        """Samples ``plan.n`` actions for each request, in the order of the requests.

        A request whose prompt is too long for the model gets a :class:`ContextFull` in its place,
        and a candidate that a server did not give a :class:`Missing`.
        """
        ...
