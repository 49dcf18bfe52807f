"""The OpenAI chat format: messages to requests, answers to choices."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

from sport.remote.faults import Fault
from sport.types import File, Message


@dataclass(frozen=True)
class Choice:
    """One text that a model wrote.

    Attributes:
        text: The text, without the stop sequence that ended it.
        finish: ``length`` if it ran out of tokens.
        stop: The stop sequence that ended it, where the server names it; ``""`` where it says that
            none did, ``None`` where it does not say.
    """

    text: str
    finish: Literal["stop", "length"] = "stop"
    stop: str | None = None


@dataclass(frozen=True)
class Reply:
    """What one request gave.

    Attributes:
        choices: The texts that can be used.
        faults: A kind for each one that cannot: ``empty`` or ``refusal``.
        tokens: Tokens read and written; ``None`` where the server does not say.
    """

    choices: tuple[Choice, ...]
    faults: tuple[str, ...] = ()
    tokens: tuple[int, int] | None = None


def to_wire(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """Messages as requests hold them; images are data URIs, before the text of their turn."""
    return [{"role": m.role, "content": _content(m)} for m in messages]


def _content(message: Message) -> str | list[dict[str, Any]]:
    if not message.images:
        return message.text
    images = [{"type": "image_url", "image_url": {"url": data_uri(i)}} for i in message.images]
    return [*images, {"type": "text", "text": message.text}]


def data_uri(image: File) -> str:
    """An image's bytes, as they entered the run, as a data URI."""
    return _data_uri(str(image.path), image.media_type)


@lru_cache(maxsize=128)
def _data_uri(path: str, media_type: str) -> str:
    with open(path, "rb") as file:
        return f"data:{media_type};base64,{base64.b64encode(file.read()).decode()}"


def read_reply(answer: Any) -> Reply:
    """Reads an answer.

    Raises:
        Fault: It is no chat completion.
    """
    if not isinstance(answer, Mapping) or not isinstance(answer.get("choices"), list):
        raise Fault("no completion", str(answer)[:200])
    choices: list[Choice] = []
    faults: list[str] = []
    for data in answer["choices"]:
        found = _choice(data) if isinstance(data, Mapping) else "empty"
        if isinstance(found, Choice):
            choices.append(found)
        else:
            faults.append(found)
    return Reply(tuple(choices), tuple(faults), _tokens(answer.get("usage")))


def _choice(data: Mapping[str, Any]) -> Choice | str:
    """A choice, or the kind of its fault."""
    message = data.get("message")
    message = message if isinstance(message, Mapping) else {}
    if message.get("refusal") or data.get("finish_reason") == "content_filter":
        return "refusal"
    text = _text(message.get("content")) + "".join(_calls(message.get("tool_calls")))
    if not text.strip():
        return "empty"
    stop = data.get("stop_reason", ...)
    named = None if stop is ... else stop if isinstance(stop, str) else ""
    return Choice(text, "length" if data.get("finish_reason") == "length" else "stop", named)


def _text(content: Any) -> str:
    if isinstance(content, list):
        parts = [p.get("text") for p in content if isinstance(p, Mapping)]
        return "".join(p for p in parts if isinstance(p, str))
    return content if isinstance(content, str) else ""


def _calls(calls: Any) -> Iterator[str]:
    """A server's tool calls as the text that chat templates write for them."""
    for call in calls if isinstance(calls, list) else ():
        function = call.get("function") if isinstance(call, Mapping) else None
        if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
            continue
        arguments = function.get("arguments") or "{}"
        if not isinstance(arguments, str):
            arguments = json.dumps(arguments)
        name = json.dumps(function["name"])
        yield f'\n<tool_call>{{"name": {name}, "arguments": {arguments}}}</tool_call>'


def _tokens(usage: Any) -> tuple[int, int] | None:
    if not isinstance(usage, Mapping):
        return None
    read, written = usage.get("prompt_tokens"), usage.get("completion_tokens")
    if not isinstance(read, int) or not isinstance(written, int):
        return None
    return read, written
