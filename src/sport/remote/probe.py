"""What a server can do, found out by asking it: before any money is spent."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from PIL import Image

from sport.policy.base import ContextFull
from sport.remote.client import ChatClient
from sport.remote.faults import Fault, RemoteError
from sport.remote.wire import read_reply

_ASKED = 2
_LOST = 2
"""Lost connections that are forgiven: some servers close theirs after an answer 500."""
_REFUSALS = (Fault, RemoteError, ContextFull)


@dataclass(frozen=True)
class Finding:
    """One thing that was found out.

    Attributes:
        good: Whether runs can do with it.
        text: What was found, and the mend where there is one.
    """

    good: bool
    text: str


@dataclass(frozen=True)
class Needs:
    """What a run asks of a server.

    Attributes:
        images: Whether pictures will be sent.
        keys: Further keys of its requests, such as ``stop``, with values of their kind.
        tokens: The longest prompt with its answer, roughly; 0 if nobody can tell.
    """

    images: bool = True
    keys: Mapping[str, Any] = field(default_factory=dict)
    tokens: int = 0


async def probe(client: ChatClient, needs: Needs) -> list[Finding]:
    """Sends a few requests of a few tokens, each once.

    Args:
        client: Of the server; it is opened and closed here.
        needs: What will be asked of it.
    """
    async with client:
        findings = await _text(client)
        if not findings[0].good:
            return findings
        if needs.keys:
            findings.append(await _keys(client, needs.keys))
        if needs.tokens:
            findings.append(await _context(client, needs.tokens))
        if needs.images:
            findings.append(await _picture(client))
    return findings


async def _text(client: ChatClient) -> list[Finding]:
    """Whether it answers, how many choices it gives, and whether it says its tokens."""
    try:
        reply = read_reply(await _ask(client, "Say yes.", _ASKED))
    except _REFUSALS as error:
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


async def _keys(client: ChatClient, keys: Mapping[str, Any]) -> Finding:
    """Whether it takes the keys that runs send; those that it does not are found one by one."""
    if await _why_not(client, keys) is None:
        return Finding(True, f"takes {', '.join(keys)}")
    refused = {k: why for k, v in keys.items() if (why := await _why_not(client, {k: v}))}
    if not refused:
        return Finding(
            False, f"does not take {', '.join(keys)} together: leave some out with omit = […]"
        )
    names = ", ".join(f'"{name}"' for name in refused)
    return Finding(
        False, f"does not take {names}: {next(iter(refused.values()))} Set omit = [{names}]."
    )


async def _why_not(client: ChatClient, keys: Mapping[str, Any]) -> str | None:
    try:
        await _ask(client, "Say yes.", 1, keys)
    except _REFUSALS as error:
        return str(error)
    return None


async def _context(client: ChatClient, tokens: int) -> Finding:
    """Whether the longest prompt fits, where the server tells its context."""
    try:
        listed = await client.transport.get("/models")
    except _REFUSALS:
        listed = {}
    models = listed.get("data") if isinstance(listed, dict) else None
    own = [m for m in models or () if isinstance(m, dict) and m.get("id") == client.model]
    length = own[0].get("max_model_len") if own else None
    if not isinstance(length, int):
        return Finding(
            True, f"does not say its context length; a prompt may take about {tokens:,} tokens"
        )
    if length >= tokens:
        return Finding(True, f"has a context of {length:,} tokens; about {tokens:,} are needed")
    return Finding(
        False,
        f"has a context of {length:,} tokens, and about {tokens:,} may be needed: trajectories "
        "will end as context_full. Serve it with more (vLLM: --max-model-len), or lower "
        "explore.max_steps, sampling.max_new_tokens or images.max_pixels.",
    )


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
    except _REFUSALS as error:
        return Finding(
            False,
            f"takes no pictures: {error} Serve a vision-language model, or, for a verifier, set "
            "images = false.",
        )
    return Finding(True, "takes pictures")


async def _ask(
    client: ChatClient, content: Any, n: int, keys: Mapping[str, Any] | None = None
) -> Any:
    messages = [{"role": "user", "content": content}]
    options = {"max_tokens": 16, "temperature": 1.0, **(keys or {})}
    for _ in range(_LOST):
        try:
            return await client.once(messages, n, **options)
        except Fault as fault:
            if fault.kind != "connection":
                raise
    return await client.once(messages, n, **options)
