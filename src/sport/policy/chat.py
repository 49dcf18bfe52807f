"""A controller behind a server that speaks the OpenAI chat API."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

from sport.concurrency import all_of
from sport.policy.base import ContextFull, Missing, Request, Sample
from sport.policy.parse import parse_action
from sport.remote.adapters import ensure_loaded
from sport.remote.client import ChatClient
from sport.remote.wire import Choice, to_wire
from sport.types import END_OF_ACTION, Action, Message

Wire = Callable[[Sequence[Message]], tuple[list[dict[str, Any]], dict[str, Any]]]
"""Messages as requests hold them, and further keys of the request."""


class ChatPolicy:
    """Samples from a server.

    The candidates of one temperature are asked for in one request, so the paper's plan takes two a
    step; where a server ignores ``n``, they are asked for one by one.

    Attributes:
        name: Versioned name, written into every trajectory.
    """

    def __init__(
        self, client: ChatClient, name: str, adapter: Path | None = None, wire: Wire | None = None
    ) -> None:
        """Used as an asynchronous context, which holds the connections.

        Args:
            client: Asks the server.
            name: Versioned name.
            adapter: Folder of an adapter that is loaded into the server.
            wire: How messages are put into requests, where it is another way than the plain one.
        """
        self.name = name
        self._client = client
        self._adapter = adapter
        self._wire = wire or _plainly
        self._model = client.model

    async def __aenter__(self) -> Self:
        """Connects, and loads the adapter into the server.

        Raises:
            RemoteError: The server does not load it; says what to set.
        """
        await self._client.__aenter__()
        if self._adapter is not None:
            try:
                self._model = await ensure_loaded(self._client.transport, self._adapter)
            except BaseException:
                await self._client.transport.close()
                raise
        return self

    async def __aexit__(self, *error: Any) -> None:
        """Closes the connections."""
        await self._client.transport.close()

    async def sample(self, requests: Sequence[Request]) -> Sequence[Sample]:
        """Samples ``plan.n`` actions for each request; see :class:`sport.policy.base.Policy`.

        Raises:
            RemoteError: The server refuses for good, or is down.
        """
        return await all_of([self._one(request) for request in requests])

    async def _one(self, request: Request) -> Sample:
        plan = request.plan
        messages, keys = self._wire(request.messages)
        # In the order of the plan, which is the order of the candidates.
        temperatures = list(dict.fromkeys(plan.temperatures))
        try:
            asked = await all_of([self._at(t, request, messages, keys) for t in temperatures])
        except ContextFull as full:
            return full
        found = dict(zip(temperatures, map(iter, asked), strict=True))
        return [next(found[t]) for t in plan.temperatures]

    async def _at(
        self,
        temperature: float,
        request: Request,
        messages: list[dict[str, Any]],
        keys: dict[str, Any],
    ) -> list[Action | Missing]:
        """The candidates of one temperature; those that could not be had come last."""
        plan = request.plan
        options: dict[str, Any] = {
            "model": self._model,
            "max_tokens": plan.max_new_tokens,
            "temperature": temperature,
            "top_p": plan.top_p,
            "stop": [END_OF_ACTION],
            "seed": request.seeds[plan.temperatures.index(temperature)] % 2**31,
            **keys,
        }
        n = plan.temperatures.count(temperature)
        found = await self._client.choices(messages, n, **options)
        actions = [_action(choice, temperature) for choice in found.had]
        return [*actions, *(Missing(reason=reason) for reason in found.missing)]


def _plainly(messages: Sequence[Message]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    return to_wire(messages), {}


def _action(choice: Choice, temperature: float) -> Action:
    text, marker, _ = choice.text.partition(END_OF_ACTION)
    # Servers cut the stop sequence off; few say which it was. An action that ended by itself
    # without one is given its marker, as it will be read, and learnt from, as a whole action.
    ended = marker or (choice.finish == "stop" and choice.stop in (None, END_OF_ACTION))
    finish = "stop" if ended else choice.finish
    return parse_action(text + (END_OF_ACTION if ended else ""), finish, temperature)
