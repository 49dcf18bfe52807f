"""How actions are written by agents that call tools by JSON, and by one that has no tools.

An agent differs from the code agent only in what its model writes. What it writes is read into the
code that does it: ``{"tool": "ocr", "arguments": {…}}`` becomes ``print(ocr(…))``. So every agent
runs in the same sandbox, with the same tools, and leaves the same trajectories.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from sport.types import END_OF_ACTION, Action

Read = Callable[[Action], Action]
"""Reads a sampled action's text anew."""

JSON_HINT = (
    'Write `Thought: …`, then `Action:` and one JSON object {"tool": "name", "arguments": {…}}, '
    f"then {END_OF_ACTION}"
)
_OPEN, _CLOSE = "<tool_call>", "</tool_call>"
_CALL = re.compile(rf"{_OPEN}\s*(.*?)\s*(?:{_CLOSE}|\Z)", re.S)
_DECODER = json.JSONDecoder()


def read_json(action: Action) -> Action:
    """Reads ``Thought: … Action: {"tool": …, "arguments": {…}}``; one tool at a time (Lego)."""
    body = action.text.partition(END_OF_ACTION)[0]
    # A thought may hold braces of its own.
    marked = re.search(r"\bAction:\s*(?=\{)", body)
    start = marked.end() if marked else body.find("{")
    thought = re.sub(r"\bAction:\s*\Z", "", body[:start] if start >= 0 else body)
    thought = thought.strip().removeprefix("Thought:").strip()
    if start < 0:
        return _unread(action, thought, f"There is no JSON object. {JSON_HINT}.")
    try:
        data, end = _DECODER.raw_decode(body, start)
    except json.JSONDecodeError as error:
        return _unread(action, thought, f"This is not JSON: {error.msg}. {JSON_HINT}.")
    # What a model writes after its call, it has made up: it never reaches the history.
    action = action.model_copy(update={"text": body[:end] + END_OF_ACTION})
    return _called(action, thought, [data], "tool", JSON_HINT)


def read_tool_calls(action: Action) -> Action:
    """Reads calls as chat templates write them: ``<tool_call>{"name": …}</tool_call>``.

    A server's own function calling is put into this form where its answer is read. A turn without
    a call is the answer, as in any plain loop of tool calls.
    """
    body = action.text.partition(END_OF_ACTION)[0]
    calls = _CALL.findall(body)
    thought = body.partition(_OPEN)[0].strip()
    if not calls:
        return read_answer(action)
    try:
        data = [json.loads(call) for call in calls]
    except json.JSONDecodeError as error:
        return _unread(action, thought, f"A tool call is not JSON: {error.msg}.")
    return _called(action, thought, data, "name", f"A call is {_OPEN}{{…}}{_CLOSE}")


def read_answer(action: Action) -> Action:
    """Takes the whole text as the final answer."""
    answer = action.text.partition(END_OF_ACTION)[0].strip()
    if action.finish == "length" or not answer:
        return _unread(action, "", "There is no answer, or it was cut off. Answer in short.")
    return _with(action, "", f"final_answer({answer!r})", None)


def write_json(thought: str, name: str, arguments: Mapping[str, Any]) -> str:
    """A call as :func:`read_json` reads it."""
    call = json.dumps({"tool": name, "arguments": dict(arguments)}, ensure_ascii=False)
    return f"Thought: {thought}\nAction: {call}{END_OF_ACTION}"


def write_tool_call(thought: str, name: str, arguments: Mapping[str, Any]) -> str:
    """A call as :func:`read_tool_calls` reads it."""
    call = json.dumps({"name": name, "arguments": dict(arguments)}, ensure_ascii=False)
    return f"{thought}\n{_OPEN}{call}{_CLOSE}{END_OF_ACTION}".lstrip("\n")


def write_code(thought: str, name: str, arguments: Mapping[str, Any]) -> str:
    """A call as the code agent writes it."""
    code = call_code(name, arguments)
    return f"Thought: {thought}\nCode:\n```py\n{code}\n```{END_OF_ACTION}"


def call_code(name: str, arguments: Mapping[str, Any]) -> str:
    """The code of a call: its result is printed, unless it ends the task."""
    if all(key.isidentifier() for key in arguments):
        inside = ", ".join(f"{key}={value!r}" for key, value in arguments.items())
    else:
        inside = f"**{dict(arguments)!r}"
    call = f"{name}({inside})"
    return call if name == "final_answer" else f"print({call})"


def _called(
    action: Action, thought: str, calls: Sequence[Any], key: Literal["tool", "name"], hint: str
) -> Action:
    codes = []
    for call in calls:
        if not isinstance(call, dict) or not isinstance(call.get(key), str):
            return _unread(action, thought, f'A call names its tool as "{key}". {hint}.')
        name, arguments = call[key], call.get("arguments", {})
        if not name.isidentifier() or not isinstance(arguments, dict):
            return _unread(action, thought, f"{name[:60]!r} is no call of a tool. {hint}.")
        codes.append(call_code(name, arguments))
    return _with(action, thought, "\n".join(codes), None)


def _unread(action: Action, thought: str, error: str) -> Action:
    return _with(action, thought, None, error)


def _with(action: Action, thought: str, code: str | None, error: str | None) -> Action:
    return action.model_copy(update={"thought": thought, "code": code, "error": error})
