"""Answers put into GAIA's form by the controller itself: a pass of its own, and a row of its own.

GAIA's scorer wants nothing but the answer. Published agents often let a model rewrite theirs last;
what that adds is reported apart, and never mixed into the plain row.
"""

from __future__ import annotations

from collections.abc import Sequence

from sport.policy.base import ContextFull, Policy, Request, SamplingPlan
from sport.types import (
    END_OF_ACTION,
    Action,
    FinalAnswer,
    Message,
    Trajectory,
    derive_seed,
)

TOGETHER = 32
"""Answers that a policy is asked for at once."""

PROMPT = """\
A question was answered. Write the answer in the form that is wanted, and nothing else: a number,
as few words as possible, or a list of them with commas between. No units and no $ or % signs unless
they are asked for, no articles, no abbreviations, digits for numbers. Do not change what the answer
says.

Question: {question}
Answer: {answer}

Write `FINAL ANSWER: ` and then the answer."""

_MARK = "FINAL ANSWER:"


async def put_into_form(
    trajectories: Sequence[Trajectory], policy: Policy, plan: SamplingPlan
) -> list[Trajectory]:
    """The trajectories with their answers put into form.

    One without an answer stays as it is, as does one whose new answer could not be had, which its
    ``detail`` says.
    """
    asked = [t for t in trajectories if t.final_answer is not None]
    samples = await policy.sample([_request(t, plan) for t in asked]) if asked else []
    new = {t.task.id: _text(sample) for t, sample in zip(asked, samples, strict=True)}
    return [_with_answer(t, new[t.task.id]) if t.task.id in new else t for t in trajectories]


def _request(trajectory: Trajectory, plan: SamplingPlan) -> Request:
    assert trajectory.final_answer is not None
    text = PROMPT.format(question=trajectory.task.query, answer=trajectory.final_answer.value)
    seed = derive_seed(trajectory.seed, trajectory.round, trajectory.task.id, "form")
    return Request(messages=(Message(role="user", text=text),), seeds=(seed,), plan=plan)


def _text(sample: object) -> str | None:
    if isinstance(sample, ContextFull) or not isinstance(sample, Sequence):
        return None
    action = sample[0]
    if not isinstance(action, Action):
        return None
    text = action.text.partition(END_OF_ACTION)[0]
    return text.rpartition(_MARK)[2].strip() or None


def _with_answer(trajectory: Trajectory, answer: str | None) -> Trajectory:
    if answer is None:
        return trajectory.model_copy(update={"detail": "The answer could not be put into form."})
    *before, last = trajectory.steps
    winner = last.winner
    assert winner is not None and winner.outcome is not None and last.chosen is not None
    outcome = winner.outcome.model_copy(update={"final_answer": FinalAnswer(value=answer)})
    candidates = list(last.candidates)
    candidates[last.chosen] = winner.model_copy(update={"outcome": outcome})
    step = last.model_copy(update={"candidates": tuple(candidates)})
    return trajectory.model_copy(update={"steps": (*before, step)})
