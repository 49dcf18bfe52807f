"""What the model reads: the opening of a chat, its history, and observations.

Prompts are data: files in ``prompts/`` (or a user's own) with a ``<!-- user -->`` part and, before
it, a ``<!-- system -->`` part where there is one. ``{files}``, ``{query}``, ``{tools}`` and
``{max_steps}`` are filled in.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Literal, Protocol

from sport.types import Action, File, Message, Observation, Outcome, Step, Task

PROMPTS = Path(__file__).parent / "prompts"
"""Folder of the prompts that are shipped."""

NO_OUTPUT = "(no output: print what you need to see)"
_ENDS = {
    "timeout": "Stopped: the code took longer than its time limit. Do less in one step.",
    "memory": "Stopped: the code needed more memory than its limit. Work on less data at once.",
    "disk": "Stopped: the code wrote more than the disk limit. Write less.",
    "died": "Stopped: the Python process died. Do not end it or call what crashes it.",
    "error": "The code failed.",
}
_PART = re.compile(r"^<!-- (system|user) -->\n", re.M)
_FIELD = re.compile(r"\{(files|query|tools|max_steps)\}")


class ToolText(Protocol):
    """What a prompt tells of a tool."""

    @property
    def signature(self) -> str:
        """Such as ``ocr(image_path: str) -> str``."""
        ...

    @property
    def description(self) -> str:
        """What it does."""
        ...


def opening(
    task: Task, prompt_name: str, tools: Iterable[ToolText] = (), max_steps: int = 8
) -> tuple[Message, ...]:
    """The messages that open the chat; the images go into the first user turn, in their order.

    Args:
        task: The task.
        prompt_name: ``code_agent``, ``compact``, or the path of a user's own prompt file.
        tools: The tools that a prompt may list.
        max_steps: The number of steps that a prompt may name.
    """
    values = {
        "files": ", ".join(f.name for f in task.files) or "none",
        "query": task.query,
        "tools": "\n\n".join(tool_text(t) for t in tools),
        "max_steps": str(max_steps),
    }
    return tuple(
        Message(
            role=role,
            # One pass, so that a query with "{tools}" in it stays what it is.
            text=_FIELD.sub(lambda m: values[m[1]], template),
            images=task.images if role == "user" else (),
        )
        for role, template in load_prompt(prompt_name)
    )


@lru_cache(maxsize=16)
def load_prompt(name: str) -> tuple[tuple[Literal["system", "user"], str], ...]:
    """The parts of a prompt file: (role, template).

    Raises:
        ValueError: The file is missing, or has no user part with ``{query}``.
    """
    path = Path(name) if name.endswith(".md") else PROMPTS / f"{name}.md"
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in PROMPTS.glob("*.md")))
        raise ValueError(
            f"prompt {name!r} is not there: use one of {known}, or the path of a .md file"
        )
    parts = read_prompt(path)
    if "{query}" not in parts[-1][1]:
        raise ValueError(f"{path}: the user part must contain {{query}}")
    return parts


def read_prompt(path: Path) -> tuple[tuple[Literal["system", "user"], str], ...]:
    """The parts of a prompt file that is there: (role, template).

    Raises:
        ValueError: It has other parts than a system part and a user part.
    """
    pieces = _PART.split(path.read_text(encoding="utf-8"))
    roles, texts = pieces[1::2], pieces[2::2]
    if pieces[0].strip() or roles not in (["user"], ["system", "user"]):
        raise ValueError(
            f"{path}: a prompt has an optional part headed by the line `<!-- system -->`, "
            f"then one headed by `<!-- user -->`; found {roles or 'none'}"
        )
    return tuple(
        ("system" if r == "system" else "user", t.strip("\n"))
        for r, t in zip(roles, texts, strict=True)
    )


def history(opening: Sequence[Message], steps: Sequence[Step]) -> tuple[Message, ...]:
    """The chat up to the next action: each winner's text verbatim, then its observation.

    A step without a winner ends it.
    """
    messages = list(opening)
    for step in steps:
        winner = step.winner
        if winner is None:
            break
        seen = winner.observation
        messages.append(Message(role="assistant", text=winner.action.text))
        messages.append(Message(role="user", text=f"Observation:\n{seen.text}", images=seen.images))
    return tuple(messages)


def observe(action: Action, outcome: Outcome | None, images: tuple[File, ...] = ()) -> Observation:
    """What the model sees of an outcome.

    Args:
        action: The action; where it could not be parsed, its error is what the model sees.
        outcome: What the sandbox saw; ``None`` if nothing ran.
        images: Pictures that the candidate produced and that are to be shown.
    """
    if outcome is None:
        return Observation(text=action.error or "The action could not be had.")
    lines = [outcome.stdout.rstrip("\n")] if outcome.stdout.strip() else []
    if outcome.truncated:
        lines.append("(output cut: print less)")
    if outcome.value is not None:
        lines.append(f"Last value: {outcome.value}")
    if outcome.final_answer is not None:
        lines.append(f"Final answer: {outcome.final_answer.value}")
    if outcome.status != "ok":
        lines.append(_failure(outcome))
    lines.extend(outcome.notes)
    return Observation(text="\n".join(lines) or NO_OUTPUT, images=images)


def _failure(outcome: Outcome) -> str:
    error = outcome.error
    if error is None:
        return _ENDS[outcome.status]
    where = f" (line {error.line})" if error.line is not None else ""
    what = f"{error.type}: {error.message}" if error.message else error.type
    return what + where


def tool_text(tool: ToolText) -> str:
    """A tool as prompts list it: its signature, and what it does."""
    description = "\n".join(f"    {line}".rstrip() for line in tool.description.splitlines())
    return f"{tool.signature}\n{description}"
