"""Sentences as vectors by a server that speaks the OpenAI embeddings API (vLLM, TEI, Ollama)."""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sport.concurrency import all_of, run_to_end
from sport.library.records import LibraryError
from sport.policy.base import ContextFull
from sport.remote.client import LONGEST_PAUSE_S
from sport.remote.config import ServerSettings
from sport.remote.faults import Fault, RemoteError
from sport.remote.keys import Key
from sport.remote.ledger import Ledger, Meter
from sport.remote.transport import Transport

_BATCH = 32
"""Texts of one request: what TEI takes at most by default."""

_PROBE = "a picture"


class EmbeddingServer:
    """A model behind a server.

    What the server answers is checked before it is used: one vector for each text, all of one
    length, of finite numbers. They are scaled to length 1.

    Attributes:
        name: The model's name with its dimension; names that differ in nothing but signs are one.
        dimension: Length of a vector.
    """

    def __init__(self, server: ServerSettings, model: str, ledger: Ledger | None = None) -> None:
        """Asks for one vector, to learn its length.

        Args:
            server: Where and how to ask.
            model: Name of the model, where the server has no other name for it.
            ledger: Where the requests are booked, in the role ``embedder``.

        Raises:
            RemoteError: The key is not there, or the server gives no vector.
        """
        self._server = server
        self._model = server.model or model
        self._key = Key.read(server.key_env)
        self._meter = Meter(ledger or Ledger(), "embedder", self._model, server.price)
        self._jitter = random.Random()
        self.dimension = 0
        self.dimension = self.embed([_PROBE]).shape[1]
        safe = re.sub(r"[^A-Za-z0-9]+", "-", self._model).strip("-")
        self.name = f"{safe}-{self.dimension}"

    def embed(self, texts: Sequence[str], request: bool = False) -> NDArray[np.float32]:
        """See :meth:`sport.library.embed.Embedder.embed`; also inside of a running event loop.

        Raises:
            RemoteError: The server refuses, or gives nothing of use in all attempts.
            LibraryError: A text is too long for the model.
        """
        try:
            return run_to_end(self._embed(texts))
        except ContextFull as error:
            longest = max(map(len, texts))
            raise LibraryError(
                f"A text of up to {longest} characters is too long for {self._model}: {error}. "
                "Shorten the captions, or start the server so that it truncates."
            ) from None

    async def _embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        server = self._server
        transport = Transport(server.url, self._key, server.attempt_timeout_s, server.key_env)
        places = asyncio.Semaphore(server.concurrency)

        async def batch(part: Sequence[str]) -> NDArray[np.float32]:
            async with places:
                return await self._insist(transport, part)

        await transport.open()
        try:
            parts = [texts[start : start + _BATCH] for start in range(0, len(texts), _BATCH)]
            found = await all_of([batch(part) for part in parts])
        finally:
            await transport.close()
        return np.concatenate(found) if found else np.empty((0, self.dimension), np.float32)

    async def _insist(self, transport: Transport, texts: Sequence[str]) -> NDArray[np.float32]:
        """One batch, in as many attempts as the settings give."""
        reason, wait_s = "", 0.0
        try:
            async with asyncio.timeout(self._server.total_timeout_s):
                for attempt in range(self._server.attempts):
                    await asyncio.sleep(wait_s)
                    try:
                        return await self._attempt(transport, texts)
                    except Fault as fault:
                        self._meter.fault(fault.kind)
                        reason = str(fault)
                        wait_s = self._pause(attempt) if fault.wait_s is None else fault.wait_s
        except TimeoutError:
            reason = f"{reason or 'no answer'} (gave up after {self._server.total_timeout_s:g} s)"
        raise RemoteError(
            f"{self._server.url} gave no vectors of {self._model}: {reason}. What was embedded is "
            "kept; start the same command again when the server is well."
        )

    async def _attempt(self, transport: Transport, texts: Sequence[str]) -> NDArray[np.float32]:
        body = {
            **self._server.extra,
            "model": self._model,
            "input": list(texts),
            "encoding_format": "float",
        }
        self._meter.request()
        answer = await transport.post(
            "/embeddings", {k: v for k, v in body.items() if k not in self._server.omit}
        )
        self._meter.tokens(_tokens(answer))
        return _vectors(answer, len(texts), self.dimension)

    def _pause(self, attempt: int) -> float:
        longest = min(LONGEST_PAUSE_S, self._server.backoff_s * 2.0**attempt)
        return longest * self._jitter.uniform(0.5, 1.0)


def _vectors(answer: Any, count: int, dimension: int) -> NDArray[np.float32]:
    """The vectors of an answer, in the order of the texts and of length 1.

    Args:
        answer: What the server said.
        count: How many texts it was given.
        dimension: Length of the vectors before; 0 if there were none.

    Raises:
        Fault: They are not what they should be.
    """
    rows = answer.get("data") if isinstance(answer, Mapping) else None
    if not isinstance(rows, list) or not all(isinstance(row, Mapping) for row in rows):
        raise Fault("no embeddings", str(answer)[:200])
    if sorted((row.get("index") for row in rows), key=str) != sorted(range(count), key=str):
        raise Fault("other embeddings", f"{len(rows)} vectors for {count} texts, or numbered oddly")
    ordered = [row.get("embedding") for row in sorted(rows, key=lambda row: row["index"])]
    length = dimension or (len(ordered[0]) if isinstance(ordered[0], list) else 0)
    if not length or not all(_is_vector(vector, length) for vector in ordered):
        raise Fault("no vectors", f"an embedding is no list of {length or 'some'} numbers")
    with np.errstate(over="ignore"):  # What is too large for it is infinite, and told below.
        vectors = np.array(ordered, dtype=np.float32)
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    if not np.isfinite(lengths).all() or not lengths.all():
        raise Fault("no vectors", "an embedding is zero or not finite")
    unit: NDArray[np.float32] = vectors / lengths
    return unit


def _is_vector(value: Any, length: int) -> bool:
    return (
        isinstance(value, list)
        and len(value) == length
        and all(type(number) in (int, float) for number in value)
    )


def _tokens(answer: Any) -> tuple[int, int] | None:
    usage = answer.get("usage") if isinstance(answer, Mapping) else None
    read = usage.get("prompt_tokens") if isinstance(usage, Mapping) else None
    return (read, 0) if isinstance(read, int) else None
