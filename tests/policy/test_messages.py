from dataclasses import dataclass
from pathlib import Path

import pytest

from sport.policy.messages import NO_OUTPUT, history, observe, opening
from sport.policy.parse import parse_action
from sport.types import (
    Candidate,
    CodeError,
    File,
    FinalAnswer,
    Outcome,
    Step,
    Task,
    Verdict,
)

IMAGES = tuple(
    File(name=f"image_{i}.png", sha256=f"{i}" * 64, media_type="image/png") for i in "01"
)
TASK = Task(id="t", query="What is {tools}?", files=IMAGES)


@dataclass
class Described:
    signature: str
    description: str


OCR = Described("ocr(image_path: str) -> str", "Reads text.\nLine by line.")
ACTION = parse_action("Thought: a\nCode:\n```py\nprint(1)\n```<end_action>")


def step(index: int, chosen: int | None, images: tuple[File, ...] = ()) -> Step:
    outcome = Outcome(stdout="1\n")
    candidate = Candidate(
        action=ACTION, outcome=outcome, observation=observe(ACTION, outcome, images)
    )
    return Step(
        index=index,
        candidates=(candidate,),
        verdict=Verdict(best=chosen, reason=""),
        chosen=chosen,
    )


def test_compact_is_the_files_and_the_query_alone() -> None:
    (message,) = opening(TASK, "compact")
    assert message.role == "user"
    assert message.text == "Files: image_0.png, image_1.png\nWhat is {tools}?"
    assert message.images == IMAGES


def test_code_agent_lists_tools_and_steps() -> None:
    system, user = opening(TASK, "code_agent", [OCR], max_steps=5)
    assert (system.role, system.images) == ("system", ())
    assert "ocr(image_path: str) -> str\n    Reads text.\n    Line by line." in system.text
    assert "at most 5 steps" in system.text
    assert "{" not in system.text
    assert user.images == IMAGES


def test_d7_images_keep_their_order() -> None:
    swapped = TASK.model_copy(update={"files": IMAGES[::-1]})
    assert opening(swapped, "compact")[0].images == IMAGES[::-1]


def test_own_prompt_file_and_its_errors(tmp_path: Path) -> None:
    own = tmp_path / "mine.md"
    own.write_text("<!-- user -->\nSolve: {query}\n")
    assert opening(TASK, str(own))[0].text == "Solve: What is {tools}?"
    own2 = tmp_path / "bad.md"
    own2.write_text("Solve: {query}\n")
    with pytest.raises(ValueError, match="bad.md.*<!-- user -->"):
        opening(TASK, str(own2))
    with pytest.raises(ValueError, match="code_agent, compact"):
        opening(TASK, "nope")


def test_history_repeats_the_winners_text_and_shows_its_images() -> None:
    start = opening(TASK, "compact")
    messages = history(start, [step(0, 0, IMAGES[:1]), step(1, 0)])
    assert [m.role for m in messages] == ["user", "assistant", "user", "assistant", "user"]
    assert messages[1].text == ACTION.text
    assert messages[2].text == "Observation:\n1"
    assert messages[2].images == IMAGES[:1]


def test_history_ends_at_a_step_without_a_winner() -> None:
    start = opening(TASK, "compact")
    assert history(start, [step(0, None), step(1, 0)]) == start


@pytest.mark.parametrize(
    ("outcome", "text"),
    [
        (Outcome(), NO_OUTPUT),
        (Outcome(stdout="a\nb\n"), "a\nb"),
        (Outcome(stdout="a\n", value="3"), "a\nLast value: 3"),
        (Outcome(stdout="a", truncated=True), "a\n(output cut: print less)"),
        (Outcome(final_answer=FinalAnswer(value=[1, 2])), "Final answer: [1, 2]"),
        (
            Outcome(
                status="error",
                stdout="seen\n",
                error=CodeError(type="KeyError", message="'rice'", line=3),
            ),
            "seen\nKeyError: 'rice' (line 3)",
        ),
        (
            Outcome(status="error", error=CodeError(type="AssertionError", message="", line=2)),
            "AssertionError (line 2)",
        ),
        (Outcome(notes=("other threads ended",)), "other threads ended"),
    ],
)
def test_observation(outcome: Outcome, text: str) -> None:
    assert observe(ACTION, outcome).text == text


@pytest.mark.parametrize("status", ["timeout", "memory", "disk", "died", "error"])
def test_every_bad_end_is_said(status: str) -> None:
    outcome = Outcome.model_validate({"status": status})
    assert observe(ACTION, outcome).text not in ("", NO_OUTPUT)


def test_an_unparsed_action_sees_its_parse_error() -> None:
    action = parse_action("no code")
    assert observe(action, None).text == action.error
