"""What a judging model reads of a step, and the form in which it is to answer."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from sport.policy.messages import load_prompt
from sport.types import Candidate, File, Message, Step, Task

PROMPT = Path(__file__).parent / "prompts" / "judge.md"
"""The prompt that is shipped."""

Mode = Literal["best", "ranking", "scores"]
"""What is asked for."""

_FIELD = re.compile(r"\{(query|files|steps|candidates|n|form)\}")
_FORMS = {
    "best": (
        "Which candidate is the best? Answer with JSON alone: "
        '{{"reason": "one or two sentences", "best": 1 to {n}, or null if none is acceptable}}'
    ),
    "ranking": (
        "Rank the candidates from the best to the worst. Answer with JSON alone: "
        '{{"reason": "one or two sentences", "ranking": all numbers from 1 to {n}, the best first}}'
    ),
    "scores": (
        "Score every candidate from 0 (useless) to 10 (perfect). Answer with JSON alone: "
        '{{"reason": "one or two sentences", "scores": {n} numbers, in the order shown}}'
    ),
}


def check_prompt(prompt: Path) -> None:
    """Asserts that a prompt shows what is to be judged.

    Raises:
        ValueError: It is missing, or lacks a part of it.
    """
    text = "".join(template for _, template in load_prompt(str(prompt)))
    lacking = [f for f in ("{candidates}", "{form}") if f not in text]
    if lacking:
        raise ValueError(f"{prompt}: the prompt must contain {' and '.join(lacking)}")


def judging_messages(
    task: Task,
    steps: Sequence[Step],
    candidates: Sequence[Candidate],
    mode: Mode,
    *,
    images: bool = True,
    prompt: Path = PROMPT,
) -> tuple[Message, ...]:
    """The chat that asks for a verdict; candidates are numbered from 1, in the order given.

    Args:
        task: The task, without gold.
        steps: The steps before.
        candidates: What is compared, in the order in which it is to be shown.
        mode: What is asked for.
        images: Whether the pictures of the task, and those that candidates produced, are shown;
            without them their names are, and the captions of those that have one.
        prompt: A file with a system and a user part.
    """
    n = len(candidates)
    values = {
        "query": task.query,
        "files": files_text(task.files, captions=not images),
        "steps": "\n\n".join(step_text(s) for s in steps if s.winner) or "none",
        "candidates": "\n\n".join(_candidate(i, c) for i, c in enumerate(candidates, 1)),
        "n": str(n),
        "form": _FORMS[mode].format(n=n),
    }
    shown: list[File] = [*task.images] if images else []
    if images:
        shown += [file for c in candidates for file in c.observation.images]
    return tuple(
        Message(
            role=role,
            text=_FIELD.sub(lambda m: values[m[1]], template),
            images=tuple(shown) if role == "user" else (),
        )
        for role, template in load_prompt(str(prompt))
    )


def schema(mode: Mode, n: int) -> dict[str, Any]:
    """The answer's form as a JSON schema, for servers that can be held to one."""
    number = {"type": "integer", "minimum": 1, "maximum": n}
    kinds: dict[str, dict[str, Any]] = {
        "best": {"anyOf": [number, {"type": "null"}]},
        "ranking": {"type": "array", "items": number, "minItems": n, "maxItems": n},
        "scores": {"type": "array", "items": {"type": "number"}, "minItems": n, "maxItems": n},
    }
    return {
        "type": "json_schema",
        "json_schema": {
            "name": "verdict",
            "schema": {
                "type": "object",
                "properties": {"reason": {"type": "string"}, mode: kinds[mode]},
                "required": ["reason", mode],
                "additionalProperties": False,
            },
        },
    }


def step_text(step: Step) -> str:
    """A step as its winner took it."""
    winner = step.winner
    assert winner is not None
    return f"Step {step.index + 1}\n{_body(winner)}"


def files_text(files: Sequence[File], captions: bool) -> str:
    """The names of a task's files, each with its caption where captions are wanted."""
    if not captions or not any(f.caption for f in files):
        return ", ".join(f.name for f in files) or "none"
    return "".join(f"\n- {f.name}" + (f": {f.caption}" if f.caption else "") for f in files)


def _candidate(number: int, candidate: Candidate) -> str:
    files = candidate.outcome.files if candidate.outcome else ()
    produced = f"\nFiles written: {', '.join(f.path for f in files)}" if files else ""
    return f"=== Candidate {number} ===\n{_body(candidate)}{produced}"


def _body(candidate: Candidate) -> str:
    action = candidate.action
    code = action.code if action.code is not None else action.text
    pictures = ", ".join(f.name for f in candidate.observation.images)
    seen = candidate.observation.text + (f"\nPictures: {pictures}" if pictures else "")
    return f"Thought: {action.thought}\nCode:\n{code}\nResult:\n{seen}"
