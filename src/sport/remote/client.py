"""A client of one chat model: n choices out of a server that fails, limits, and cannot count.

What is had is kept: after a short or broken answer only what is still lacking is asked for. What
cannot be had within the attempts and the time is missing, with the reasons, and is counted.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from sport.concurrency import all_of
from sport.remote.config import ServerSettings
from sport.remote.faults import Fault, RemoteError
from sport.remote.keys import Key
from sport.remote.ledger import Ledger, Meter
from sport.remote.transport import Transport
from sport.remote.wire import Choice, read_reply

LONGEST_PAUSE_S = 60.0
"""Bound on a pause that grows by itself; what a server asks for is obeyed whatever it is."""
_ONE_BY_ONE = 3
"""So many answers of one choice where several were asked for, and never more: ``n`` is ignored."""


@dataclass
class Choices:
    """What came of asking for n choices.

    Attributes:
        had: The choices.
        missing: One reason for each that could not be had.
        seen: How many choices were answered, of any use or none.
    """

    had: list[Choice] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    seen: int = 0


class ChatClient:
    """Asks one model on one server. Used as an asynchronous context: connections close with it.

    Attributes:
        model: What the server calls the model.
    """

    def __init__(
        self, server: ServerSettings, model: str, role: str, ledger: Ledger | None = None
    ) -> None:
        """Reads the key; connects when it is entered.

        Args:
            server: Where and how to ask.
            model: Name of the model, where the server has no other name for it.
            role: What its costs are booked as, such as ``policy``.
            ledger: Where they are booked.

        Raises:
            RemoteError: The key is not there.
        """
        self.model = server.model or model
        self._server = server
        self.transport = Transport(
            server.url, Key.read(server.key_env), server.attempt_timeout_s, server.key_env
        )
        self.meter = Meter(ledger or Ledger(), role, self.model, server.price)
        self._places = asyncio.Semaphore(server.concurrency)
        # Jitter spreads requests that failed together; nothing that is recorded depends on it.
        self._jitter = random.Random()
        self._several = 0
        self._singles = 0
        self._failed_in_a_row = 0

    async def __aenter__(self) -> Self:
        """Opens it in the running event loop."""
        self._places = asyncio.Semaphore(self._server.concurrency)
        await self.transport.open()
        return self

    async def __aexit__(self, *error: Any) -> None:
        """Closes all connections."""
        await self.transport.close()

    async def choices(
        self, messages: Sequence[Mapping[str, Any]], n: int, **options: Any
    ) -> Choices:
        """Asks for n choices.

        Args:
            messages: In the wire format.
            n: How many are wanted.
            options: Further keys of the request, such as ``temperature``.

        Returns:
            At most n choices, and a reason for each that is missing.

        Raises:
            RemoteError: The server refuses for good, or has not answered anything of late.
            ContextFull: The prompt is too long for the model.
        """
        body = self._body(messages, options)
        found = Choices()
        reasons: list[str] = []
        try:
            async with asyncio.timeout(self._server.total_timeout_s):
                await self._ask(body, n, found, reasons)
        except TimeoutError:
            reasons.append(f"gave up after {self._server.total_timeout_s:g} s")
        lacking = n - len(found.had) - len(found.missing)
        found.missing += ["; ".join(reasons[-3:])] * lacking
        self.meter.missing(len(found.missing))
        self._watch(found)
        return found

    async def once(self, messages: Sequence[Mapping[str, Any]], n: int, **options: Any) -> Any:
        """The server's answer to one attempt, as it is.

        Raises:
            Fault: It failed.
            RemoteError: The server refuses for good.
            ContextFull: The prompt is too long for the model.
        """
        self.meter.request()
        body = {**self._body(messages, options), "n": n}
        return await self.transport.post("/chat/completions", body)

    def _body(
        self, messages: Sequence[Mapping[str, Any]], options: Mapping[str, Any]
    ) -> dict[str, Any]:
        body = {**self._server.extra, "model": self.model, "messages": messages, **options}
        return {k: v for k, v in body.items() if k not in self._server.omit}

    async def _ask(self, body: dict[str, Any], n: int, found: Choices, reasons: list[str]) -> None:
        """Attempts, until nothing is lacking or they are used up."""
        for attempt in range(self._server.attempts):
            lacking = n - len(found.had)
            if lacking > 1 and self._ignores_n:
                await self._ask_apart(body, lacking, found)
                return
            try:
                reasons += await self._attempt(body, lacking, found)
                wait_s = 0.0
            except Fault as fault:
                self.meter.fault(fault.kind)
                reasons.append(str(fault))
                wait_s = fault.wait_s if fault.wait_s is not None else self._pause(attempt)
            if len(found.had) >= n or attempt + 1 == self._server.attempts:
                return
            await asyncio.sleep(wait_s)

    async def _ask_apart(self, body: dict[str, Any], n: int, found: Choices) -> None:
        """One request a choice, at once; each with a seed of its own."""
        parts = [Choices(seen=found.seen + i * self._server.attempts) for i in range(n)]
        reasons: list[list[str]] = [[] for _ in range(n)]
        asked = [self._ask(body, 1, part, why) for part, why in zip(parts, reasons, strict=True)]
        try:
            await all_of(asked)
        finally:
            # Also where time is up: what was had is kept.
            for part, why in zip(parts, reasons, strict=True):
                found.had += part.had
                if not part.had:
                    found.missing.append("; ".join(why[-3:]) or "time was up")

    async def _attempt(self, body: dict[str, Any], lacking: int, found: Choices) -> list[str]:
        """One request; adds what it gave, and returns what was wrong with the rest of it."""
        if "seed" in body:
            # The same seed again would give the same choices again.
            body = {**body, "seed": (body["seed"] + found.seen) % 2**31}
        async with self._places:
            self.meter.request()
            answer = await self.transport.post("/chat/completions", {**body, "n": lacking})
        reply = read_reply(answer)
        self.meter.tokens(reply.tokens)
        for kind in reply.faults:
            self.meter.fault(kind)
        given = len(reply.choices) + len(reply.faults)
        found.seen += given
        if lacking > 1:
            self._several += given > 1
            self._singles += given == 1
        found.had += reply.choices[:lacking]
        if given < lacking:
            self.meter.fault("fewer choices")
            return [*reply.faults, f"{given} choices where {lacking} were asked for"]
        return list(reply.faults)

    @property
    def _ignores_n(self) -> bool:
        """Whether the server gives one choice however many are asked for."""
        return not self._several and self._singles >= _ONE_BY_ONE

    def _pause(self, attempt: int) -> float:
        longest = min(LONGEST_PAUSE_S, self._server.backoff_s * 2.0**attempt)
        return longest * self._jitter.uniform(0.5, 1.0)

    def _watch(self, found: Choices) -> None:
        """Notices an outage: every task would otherwise be used up without a single candidate."""
        self._failed_in_a_row = 0 if found.had else self._failed_in_a_row + 1
        if self._failed_in_a_row >= self._server.outage:
            raise RemoteError(
                f"{self._server.url} is down: the last {self._failed_in_a_row} requests failed "
                f"for good ({found.missing[0]}). What was finished is kept; start the same command "
                "again when it is up."
            )
