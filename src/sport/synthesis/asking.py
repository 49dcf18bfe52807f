"""Asking a model for something that can be used: one re-ask, every answer kept, none paid twice."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

import orjson
from pydantic import JsonValue

from sport.policy.base import ContextFull
from sport.policy.messages import read_prompt
from sport.remote.client import ChatClient
from sport.remote.faults import RequestRefused
from sport.remote.ledger import Ledger
from sport.remote.wire import to_wire
from sport.synthesis.journal import Journal
from sport.types import File, Message, derive_seed
from sport.untrusted import clip

T = TypeVar("T")

PROMPTS = Path(__file__).parent / "prompts"
"""Folder of the prompts of synthesis."""

RE_ASKS = 1
"""How often an answer that cannot be used is answered with what is wrong with it."""

REFUSED = 5
"""Requests in a row that a server does not take after which the run stops: then it is not they."""

_FIELD = re.compile(r"\{(\w+)\}")


class Unusable(ValueError):
    """A model's answer cannot be used. The message tells the model what to mend."""


class Unanswered(RuntimeError):
    """Nothing that can be used was answered.

    Attributes:
        reason: One of a few kinds, which are counted: ``refused``, ``no answer``, ``prompt too
            long`` or ``unusable answer``.
    """

    def __init__(self, reason: str, detail: str) -> None:
        """Takes the kind, and what was seen."""
        super().__init__(f"{reason}: {detail}")
        self.reason = reason


class Ask(Protocol):
    """A way to ask a model."""

    def __call__(
        self, messages: Sequence[Message], read: Callable[[str], T], label: str
    ) -> Awaitable[T]:
        """Asks, and reads the answer.

        Args:
            messages: What is asked.
            read: Turns the model's text into a value; raises :class:`Unusable` where it cannot.
            label: What it is asked for: equal questions with different labels are asked apart.

        Raises:
            Unanswered: Nothing that can be used was answered.
            RemoteError: The server refuses for good, or is down.
            BudgetSpent: The budget is.
        """
        ...


class Asker:
    """Asks one model on one server; its answers go through a journal. An :class:`Ask`."""

    def __init__(
        self,
        client: ChatClient,
        journal: Journal,
        ledger: Ledger,
        *,
        temperature: float,
        max_new_tokens: int,
        concurrency: int,
        seed: int = 0,
    ) -> None:
        """Takes how to ask.

        Args:
            client: Knows the server and the model; entered by the caller.
            journal: Where answers are kept, and looked for first.
            ledger: Is written after each answer, and says when the budget is spent.
            temperature: Of the answers.
            max_new_tokens: Longest answer, in tokens.
            concurrency: Questions under way at a time: only so many hold their pictures in memory.
            seed: The recipe's.
        """
        self._client, self._journal, self._ledger, self._seed = client, journal, ledger, seed
        self._options: dict[str, Any] = {"temperature": temperature, "max_tokens": max_new_tokens}
        self._answered, self._refused = False, 0
        self._places = asyncio.Semaphore(concurrency)

    async def __call__(
        self, messages: Sequence[Message], read: Callable[[str], T], label: str
    ) -> T:
        """See :class:`Ask`."""
        async with self._places:
            return await self._asked(tuple(messages), read, label)

    async def _asked(self, chat: tuple[Message, ...], read: Callable[[str], T], label: str) -> T:
        for attempt in range(1 + RE_ASKS):
            text = await self._answer(chat, f"{label}, attempt {attempt + 1}")
            try:
                return read(text)
            except Unusable as error:
                problem = str(error)
                again = Message(role="user", text=f"This cannot be used: {error}. Answer again.")
                chat = (*chat, Message(role="assistant", text=clip(text)), again)
        self._client.meter.fault("unusable answer")
        raise Unanswered("unusable answer", problem)

    async def _answer(self, chat: tuple[Message, ...], label: str) -> str:
        key = f"{label}: {self._client.model} {_digest(chat)}"
        if key in self._journal:
            return _kept(self._journal[key])
        self._ledger.check()
        seed = derive_seed(self._seed, label) % 2**31
        try:
            found = await self._client.choices(to_wire(chat), 1, **self._options, seed=seed)
        except ContextFull as full:
            raise Unanswered("prompt too long", str(full)) from None
        except RequestRefused as error:
            self._refused += 1
            if not self._answered or self._refused >= REFUSED:
                raise
            raise self._nothing(key, "refused", str(error)) from None
        if found.missing:
            why = found.missing[0]
            reason = "refused" if "refusal" in why else "no answer"
            if found.seen:  # Paid for, and asked once more it might be answered: other tasks.
                raise self._nothing(key, reason, why)
            raise Unanswered(reason, why)
        self._answered, self._refused = True, 0
        text = found.had[0].text
        self._journal.keep(key, text)
        self._ledger.flush()
        return text

    def _nothing(self, key: str, reason: str, detail: str) -> Unanswered:
        """Keeps that a question has no answer."""
        self._journal.keep(key, {"unanswered": reason, "detail": detail})
        self._ledger.flush()
        return Unanswered(reason, detail)


def _kept(value: JsonValue) -> str:
    """The answer that a journal has, or that there was none."""
    if isinstance(value, dict):
        raise Unanswered(str(value["unanswered"]), str(value["detail"]))
    return str(value)


def _digest(chat: Sequence[Message]) -> str:
    """Which question it is, pictures included by their content."""
    told = [[m.role, m.text, *(i.sha256 for i in m.images)] for m in chat]
    return hashlib.sha256(orjson.dumps(told)).hexdigest()[:24]


def messages_of(
    prompt: str, values: Mapping[str, str], images: Sequence[File] = ()
) -> tuple[Message, ...]:
    """The messages of a prompt of synthesis, its ``{fields}`` filled in.

    Args:
        prompt: Name of a file in :data:`PROMPTS`.
        values: What stands for each field; braces of other names stay as they are.
        images: Pictures of the user's turn.
    """
    return tuple(
        Message(
            role=role,
            # One pass, so that a query with "{tools}" in it stays what it is.
            text=_FIELD.sub(lambda m: values.get(m[1], m[0]), template),
            images=tuple(images) if role == "user" else (),
        )
        for role, template in read_prompt(PROMPTS / f"{prompt}.md")
    )
