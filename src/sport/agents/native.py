"""A server's own function calling, for the agent ``toolcall``.

The prompt and the history of that agent are texts as chat templates write them. For a server they
are taken apart again: the functions of the prompt become ``tools``, the calls of the assistant's
turns ``tool_calls``, and observations the messages of role ``tool`` that answer them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

from sport.remote.wire import to_wire
from sport.types import END_OF_ACTION, Message

_TOOLS = re.compile(r"<tools>\n(.*?)\n</tools>", re.S)
_CALL = re.compile(r"<tool_call>\s*(.*?)\s*</tool_call>", re.S)
_OBSERVATION = "Observation:\n"
PROMPT = "You answer the user's question with the help of functions."


def native_wire(messages: Sequence[Message]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """A chat of the agent ``toolcall`` as a request with function calling.

    Returns:
        The messages, and the further keys of the request.
    """
    tools: list[Any] = []
    wired: list[dict[str, Any]] = []
    waiting: list[str] = []
    for message in messages:
        if message.role == "system":
            found = _TOOLS.search(message.text)
            tools = [json.loads(line) for line in (found[1] if found else "").split("\n\n") if line]
            wired.append({"role": "system", "content": PROMPT})
        elif message.role == "assistant":
            turn = _assistant(message.text, len(wired))
            waiting = [call["id"] for call in turn.get("tool_calls", ())]
            wired.append(turn)
        elif waiting:
            wired += _results(message, waiting)
            waiting = []
        else:
            wired += to_wire([message])
    return wired, {"tools": tools} if tools else {}


def _assistant(text: str, place: int) -> dict[str, Any]:
    body = text.partition(END_OF_ACTION)[0]
    calls = []
    for i, found in enumerate(_CALL.findall(body)):
        try:
            data = json.loads(found)
            function = {"name": data["name"], "arguments": json.dumps(data.get("arguments", {}))}
        except (ValueError, TypeError, KeyError, AttributeError):
            return {"role": "assistant", "content": body}  # what could not be read goes as it is
        calls.append({"id": f"call_{place}_{i}", "type": "function", "function": function})
    thought = body.partition("<tool_call>")[0].strip()
    turn: dict[str, Any] = {"role": "assistant", "content": thought}
    return {**turn, "tool_calls": calls} if calls else turn


def _results(message: Message, calls: Sequence[str]) -> Iterator[dict[str, Any]]:
    """The observation as the result of the first call; the others of the turn point to it."""
    text = message.text.removeprefix(_OBSERVATION)
    for i, call in enumerate(calls):
        content = text if i == 0 else "(given with the first result)"
        yield {"role": "tool", "tool_call_id": call, "content": content}
    if message.images:
        yield from to_wire([message.model_copy(update={"text": "The pictures of the result."})])
