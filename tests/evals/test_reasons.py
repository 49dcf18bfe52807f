"""Why wrong answers are wrong: each rule, by the smallest trajectory that it holds of."""

from typing import Any

import pytest

from sport.evals.base import Score
from sport.evals.reasons import REASONS, reason
from sport.types import (
    Action,
    Candidate,
    FinalAnswer,
    Observation,
    Outcome,
    Step,
    Task,
    Trajectory,
    Verdict,
)


def step(index: int, outcome: Outcome | None) -> Step:
    action = Action(text="", code=None if outcome is None else "x")
    candidate = Candidate(action=action, outcome=outcome, observation=Observation(text=""))
    verdict = Verdict(best=0, reason="")
    return Step(index=index, candidates=(candidate,), verdict=verdict, chosen=0)


def trajectory(*outcomes: Outcome | None, end: str = "finished") -> Trajectory:
    steps = tuple(step(i, outcome) for i, outcome in enumerate(outcomes))
    task = Task(id="t", query="?")
    return Trajectory(task=task, opening=(), steps=steps, end=end)  # type: ignore[arg-type]


RAN, FAILED = Outcome(), Outcome(status="error")
ANSWERED = Outcome(final_answer=FinalAnswer(value=1))


@pytest.mark.parametrize(
    ("told", "outcomes", "end", "why"),
    [
        ({"answer": True}, [ANSWERED], "finished", ""),
        ({"answer": None}, [ANSWERED], "finished", ""),
        ({}, [RAN], "max_steps", "gave up"),
        ({}, [], "context_full", "no action"),
        ({}, [FAILED], "max_errors", "code error"),
        ({}, [None], "max_errors", "format"),
        ({"others": {"mat": True}, "foreign": 1}, [ANSWERED], "finished", "scorer"),
        ({"others": {"mat": False}, "near": True}, [ANSWERED], "finished", "format"),
        ({"foreign": 1}, [FAILED, ANSWERED], "finished", "wrong tool"),
        ({"missing": 1}, [FAILED, ANSWERED], "finished", "code error"),
        ({"missing": 1}, [ANSWERED], "finished", "wrong tool"),
        ({"exact": False}, [ANSWERED], "finished", "wrong argument"),
        ({"exact": True}, [ANSWERED], "finished", "wrong conclusion"),
        ({}, [ANSWERED], "finished", "wrong conclusion"),
    ],
)
def test_the_first_rule_that_holds_decides(
    told: dict[str, Any], outcomes: list[Outcome | None], end: str, why: str
) -> None:
    fields: dict[str, Any] = {"answer": False, "tool_acc": 1.0, "code_exec": 1.0, "steps": 1}
    found = reason(Score(**{**fields, **told}), trajectory(*outcomes, end=end))
    assert found == why and (not why or why in REASONS)
