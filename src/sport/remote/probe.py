"""What a server can do, found out by asking it: before any money is spent."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from typing import Any

from PIL import Image

from sport.policy.base import ContextFull
from sport.remote.client import ChatClient
from sport.remote.faults import Fault, RemoteError
from sport.remote.wire import read_reply

_ASKED = 2


@dataclass(frozen=True)
class Finding:
    """One thing that was found out.

    Attributes:
        good: Whether runs can do with it.
        text: What was found, and the mend where there is one.
    """

    good: bool
    text: str


async def probe(client: ChatClient, images: bool) -> list[Finding]:
    """Sends two or three requests of a few tokens, each once.

    Args:
        client: Of the server; it is opened and closed here.
        images: Whether pictures will be sent.
    """
    async with client:
        findings = await _text(client)
        if findings[0].good and images:
            findings.append(await _picture(client))
    return findings


async def _text(client: ChatClient) -> list[Finding]:
    """Whether it answers, how many choices it gives, and whether it says its tokens."""
    try:
        reply = read_reply(await _ask(client, "Say yes.", _ASKED))
    except (Fault, RemoteError, ContextFull) as error:
        return [Finding(False, f"does not answer: {error}")]
    given = len(reply.choices) + len(reply.faults)
    return [
        Finding(True, f"answers as {client.model}"),
        Finding(
            True,
            "gives several choices a request"
            if given >= _ASKED
            else "ignores n: every candidate takes a request of its own, prompt included",
        ),
        Finding(
            reply.tokens is not None,
            "says how many tokens an answer took"
            if reply.tokens is not None
            else "does not say how many tokens an answer took: a budget of tokens or money "
            "cannot be kept; use budget.hours",
        ),
    ]


async def _picture(client: ChatClient) -> Finding:
    buffer = io.BytesIO()
    Image.new("RGB", (64, 64), "teal").save(buffer, "PNG")
    uri = f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
    content = [
        {"type": "image_url", "image_url": {"url": uri}},
        {"type": "text", "text": "Which colour is this?"},
    ]
    try:
        await _ask(client, content, 1)
    except (Fault, RemoteError, ContextFull) as error:
        return Finding(
            False,
            f"takes no pictures: {error} Serve a vision-language model, or, for a verifier, set "
            "images = false.",
        )
    return Finding(True, "takes pictures")


async def _ask(client: ChatClient, content: Any, n: int) -> Any:
    messages = [{"role": "user", "content": content}]
    return await client.once(messages, n, max_tokens=16, temperature=1.0)
