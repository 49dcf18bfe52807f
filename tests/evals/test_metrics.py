import json

import pytest

from sport.evals.metrics import alignment, gains, metric_row, score, summarise
from sport.types import (
    Action,
    Candidate,
    CodeError,
    FinalAnswer,
    Gold,
    Observation,
    Outcome,
    Step,
    Task,
    ToolCall,
    Trajectory,
    Verdict,
)


def task(answer=7.5, tools=("ocr", "ask_search_agent"), kind="cost"):
    return Task(id="t", query="?", kind=kind, gold=Gold(answer=answer, tools=tools))


def candidate(*tools, answer=None, status="ok"):
    outcome = Outcome(
        status=status,
        error=CodeError(type="NameError", message="x") if status == "error" else None,
        tool_calls=tuple(ToolCall(name=t, arguments={}, result="x") for t in tools),
        final_answer=None if answer is None else FinalAnswer(value=answer),
    )
    return Candidate(
        action=Action(text="", code="x"), outcome=outcome, observation=Observation(text="")
    )


def unparsed():
    action = Action(text="?", error="no code")
    return Candidate(action=action, outcome=None, observation=Observation(text="no code"))


def trajectory(*winners, end="finished"):
    steps = tuple(
        Step(index=i, candidates=(w,), verdict=Verdict(best=0, reason=""), chosen=0)
        for i, w in enumerate(winners)
    )
    return Trajectory(task=task().blind(), opening=(), steps=steps, end=end)


def answer_of(value, gold):
    return score(task(answer=gold), trajectory(candidate(answer=value))).answer


@pytest.mark.parametrize(
    ("called", "gold", "share"),
    [
        (["ocr", "ask"], ["ocr", "ask"], 1.0),
        (["ask", "ocr"], ["ocr", "ask"], 0.5),
        (["ocr", "ocr", "ask"], ["ocr", "ask"], 2 / 3),
        ([], ["ocr"], 0.0),
        (["ocr"], [], 0.0),
        (["ocr", "final_answer"], ["ocr"], 1.0),
        ([], [], 1.0),
        (["final_answer"], [], 1.0),
    ],
)
def test_tool_acc_is_an_order_preserving_alignment(called, gold, share):
    assert alignment(called, gold) == pytest.approx(share)


def test_a_trajectory_is_scored_on_its_winners():
    got = score(task(), trajectory(candidate("ocr"), unparsed(), candidate(answer=7.5)))
    assert (got.answer, got.tool_acc, got.steps) == (True, 0.5, 3)
    assert got.code_exec == pytest.approx(2 / 3)
    assert got.finished and got.kind == "cost"


def test_a_failed_step_and_a_step_without_a_winner_did_not_execute():
    run = trajectory(candidate("ocr", status="error"))
    lost = run.steps[0].model_copy(update={"chosen": None, "index": 1})
    run = run.model_copy(update={"steps": (*run.steps, lost), "end": "failed"})
    got = score(task(), run)
    assert (got.answer, got.code_exec, got.finished) == (False, 0.0, False)
    assert score(task(), trajectory(end="context_full")).code_exec == 0.0


@pytest.mark.parametrize(
    ("value", "gold", "right"),
    [
        (7.5, 7.5, True),
        (7.51, 7.5, True),
        (7.52, 7.5, False),
        ("7.5", 7.5, True),
        ("$7.50", 7.5, True),
        ("The total is 7.5 dollars.", 7.5, True),
        ("3 at 2.5 make 7.5", 7.5, False),
        ("1,234.5", 1234.5, True),
        ("1,2", 1.2, False),
        ("−4", -4, True),
        (True, 1, False),
        (1, True, False),
        (True, True, True),
        (float("inf"), 7.5, False),
        (10**400, 7.5, False),
        (None, 7.5, False),
        ([7.5], 7.5, False),
        ([1, "Two "], ["1", "two"], True),
        ({"a": 1}, {"a": 1.001}, True),
        ({"a": 1}, {"b": 1}, False),
        ("  Red Fox\n", "red fox", True),
        ("blue fox", "red fox", False),
        (7, "seven", False),
        (3.5, "$3.50", True),
        ("12 cm", "12cm", True),
    ],
)
def test_answers_are_compared_as_what_they_are(value, gold, right):
    assert answer_of(value, gold) is right


def test_what_cannot_be_scored_is_none_and_not_zero():
    plain = Task(id="t", query="?")
    got = score(plain, trajectory(candidate(answer=1)))
    assert got.answer is None and got.tool_acc is None
    summary = summarise([got])
    assert summary.ans_acc is None and summary.ans_acc_ci is None and summary.code_exec == 1.0


def test_no_answer_is_a_wrong_answer():
    assert score(task(), trajectory(candidate("ocr"), end="max_steps")).answer is False


def test_another_tasks_trajectory_is_refused():
    with pytest.raises(ValueError, match="'t', not of 'other'"):
        score(task().model_copy(update={"id": "other"}), trajectory())


def test_summary_counts_by_kind_and_reports_intervals():
    right = score(task(), trajectory(candidate("ocr", "ask_search_agent"), candidate(answer=7.5)))
    wrong = score(task(kind="count"), trajectory(candidate("ocr"), unparsed(), end="max_errors"))
    got = summarise([right] * 3 + [wrong])
    assert (got.n, got.right, got.answerable, got.ans_acc) == (4, 3, 4, 0.75)
    assert got.finished == 0.75 and got.tool_acc == 0.875 and got.code_exec == 0.875
    assert got.ans_acc_ci[0] < 0.75 < got.ans_acc_ci[1]
    assert got.by_kind["cost"].ans_acc == 1.0 and got.by_kind["count"].ans_acc == 0.0
    assert summarise([]).n == 0


def test_a_metric_row_is_json_and_has_the_promised_keys():
    scores = [score(task(), trajectory(candidate(answer=a))) for a in (7.5, 1)]
    gain = gains(scores, [scores[0]] * 2)
    row = metric_row(
        summarise(scores), round=1, benchmark="pocket", split="test", agent="code",
        policy="pocket+r1", samples=1, verifier="", seed=0, seconds=2.0, gain=gain,
    )  # fmt: skip
    assert json.loads(json.dumps(row)) == row
    promised = (
        "round benchmark split control agent policy samples verifier seed n tool_acc code_exec "
        "ans_acc tool_acc_ci code_exec_ci ans_acc_ci finished seconds by_kind"
    )
    assert set(promised.split()) <= set(row)
    assert row["gain"]["ans_acc"]["diff"] == 0.5 and row["gain"]["ans_acc"]["p"] == 1.0


def test_gains_refuse_different_sets():
    with pytest.raises(ValueError, match="1 scores against 0"):
        gains([score(task(), trajectory())], [])
