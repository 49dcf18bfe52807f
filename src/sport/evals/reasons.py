"""Why a wrong answer is wrong, by rules: where to look first, not a judgement of the model."""

from __future__ import annotations

from sport.evals.base import Score
from sport.types import Trajectory

REASONS = {
    "no action": "the server gave none, or the context was full: the agent did not decide this",
    "gave up": "it ended without an answer",
    "format": "actions could not be read, or the right answer stands in another form",
    "code error": "its code failed",
    "wrong tool": "it called a tool that the task does not need, or left one out",
    "wrong argument": "the tools were right and their arguments were not",
    "scorer": "another scorer of the same benchmark takes the answer",
    "wrong conclusion": "the calls were right and what was made of them was not",
}
"""The reasons, in words."""


def reason(score: Score, trajectory: Trajectory) -> str:
    """Why an answer is wrong; empty where it is right or cannot be scored.

    The first rule that holds decides: no answer (because the controller gave no action, because
    nothing could be read, because code failed, or else because it gave up), an answer that another
    scorer takes, one that holds the
    right answer in another form, a foreign tool, a failed step, a missing tool, other arguments.
    """
    if score.answer is not False:
        return ""
    if trajectory.final_answer is None and trajectory.end in ("unavailable", "context_full"):
        return "no action"
    winners = [step.winner for step in trajectory.steps]
    unread = sum(winner is not None and winner.outcome is None for winner in winners)
    failed = sum(winner is None or not winner.ok for winner in winners) - unread
    if trajectory.final_answer is None:
        if unread and unread >= failed:
            return "format"
        return "code error" if failed and trajectory.end != "max_steps" else "gave up"
    if any(score.others.values()):
        return "scorer"
    if score.near:
        return "format"
    if score.foreign:
        return "wrong tool"
    if failed or unread:
        return "code error" if failed else "format"
    if score.missing:
        return "wrong tool"
    return "wrong argument" if score.exact is False else "wrong conclusion"
