"""A small run made by hand: two rounds and a control over three test tasks, one explored task."""

import io

from PIL import Image

from sport.evals.metrics import gains, metric_row, score, summarise
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

HOSTILE = (
    "<script>alert(1)</script><img src=x onerror=alert(2)>\"'></pre></style>{{ 7 * 7 }}"
    "<svg onload=alert(3)>\u202egnp.exe\x00"
)


def candidate(code, *, text="", answer=None, error=None, score=None):
    outcome = Outcome(
        status="error" if error else "ok",
        error=error and CodeError(type=error, message=text),
        tool_calls=(ToolCall(name="ocr", arguments={}, result="tea 2"),) if "ocr" in code else (),
        final_answer=None if answer is None else FinalAnswer(value=answer),
    )
    action = Action(text=code, thought=f"thought {text}", code=code)
    return Candidate(action=action, outcome=outcome, observation=Observation(text=f"saw {text}"))


def explored(task, text=""):
    """One step with a verdict, and one where the verifier failed."""
    unparsed = Candidate(
        action=Action(text=text, error="?"), outcome=None, observation=Observation(text=text)
    )
    first = Step(
        index=0,
        candidates=(
            candidate(f"print(ocr('image_0.png'))  # {text}", text=text),
            candidate("print(boxes)", error="NameError"),
            candidate(f"final_answer('{text[:3]}')", text=text, answer=text),
            unparsed,
        ),
        verdict=Verdict(
            best=0, reason=f"it reads {text}", scores=(3.0, -9.0, 1.0, -9.0), verifier="rubric"
        ),
        chosen=0,
    )
    second = Step(
        index=1,
        candidates=(candidate("final_answer(4)", answer=4), candidate("final_answer(5)", answer=5)),
        verdict=Verdict(best=None, reason="no verdict after 2 attempts: garbage", attempts=2),
        chosen=0,
    )
    return Trajectory(
        task=task.blind(), opening=(), steps=(first, second), end="finished", round=1,
        verifier="rubric", tier="strong",
    )  # fmt: skip


def single(task, answer):
    step = Step(
        index=0,
        candidates=(candidate("final_answer(0)", answer=answer),),
        verdict=Verdict(best=None, reason=""),
        chosen=0,
    )
    return Trajectory(task=task.blind(), opening=(), steps=(step,), end="finished")


def fill(run, text="", kind="cost"):
    """Two rounds and a control over three test tasks, and one explored task."""
    buffer = io.BytesIO()
    Image.new("RGB", (900, 500), "teal").save(buffer, "PNG")
    picture = run.blobs.put(buffer.getvalue(), "image_0.png", "image/png")
    task = Task(
        id=f"t{text}", query=f"How much? {text}", files=(picture,), kind=f"{kind}{text}",
        gold=Gold(answer=4, tools=("ocr",)),
    )  # fmt: skip
    run.add_tasks([task], round=1)
    run.append(run.path / "trajectories.jsonl", [explored(task, text)])
    tests = [task.model_copy(update={"id": f"test{i}{text}"}) for i in range(3)]
    run.add_tasks(tests, "test")
    first = None
    for number, control, answers in ((0, None, (4, 5, 6)), (1, "random", (4, 5, 5)), (1, None, (4, 4, text or 5))):  # fmt: skip  # noqa: E501
        done = [single(t, a) for t, a in zip(tests, answers, strict=True)]
        run.append(run.evaluation_file(number, "test", control), done)
        scores = [score(t, d) for t, d in zip(tests, done, strict=True)]
        first = first or scores
        run.add_metrics(
            metric_row(
                summarise(scores), round=number, benchmark="pocket", split="test", agent="code",
                policy=f"pocket+r{number}", samples=1, verifier="", seed=0, seconds=1.0,
                control=control, gain=gains(first, scores) if number else None,
            )
        )  # fmt: skip
    return tests
