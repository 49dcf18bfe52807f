"""One attempt of one request: bare aiohttp and orjson, the cheapest client that was measured.

``benchmarks/client.py`` prints what this costs beside the ``openai`` package.
"""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import orjson

from sport.remote.faults import RETRIED, Fault, refused, wait_of
from sport.remote.keys import Key

MAX_BYTES = 64 * 2**20
"""Longest answer that is read."""


class Transport:
    """Sends JSON to one server. It is opened and closed by :meth:`open` and :meth:`close`."""

    def __init__(self, url: str, key: Key, timeout_s: float, key_env: str | None = None) -> None:
        """Takes the server's base address, its key, and the wall time of an attempt."""
        self._url = url
        self._key = key
        self._key_env = key_env
        self._timeout = aiohttp.ClientTimeout(total=timeout_s, sock_connect=min(30.0, timeout_s))
        self._session: aiohttp.ClientSession | None = None

    async def open(self) -> None:
        """Connects lazily, with as many connections as there are requests under way."""
        # The callers bound the requests; a second bound here would only queue them unseen.
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ttl_dns_cache=300),
            timeout=self._timeout,
            headers={"Content-Type": "application/json", **self._key.headers()},
        )

    async def close(self) -> None:
        """Closes all connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def post(self, path: str, body: Any) -> Any:
        """The JSON that the server answers; see :meth:`tell` for what is raised."""
        return _parse(*await self.tell("POST", path, orjson.dumps(body)))

    async def get(self, path: str) -> Any:
        """The JSON that the server answers; see :meth:`tell` for what is raised."""
        return _parse(*await self.tell("GET", path))

    async def tell(self, method: str, path: str, data: bytes | None = None) -> tuple[bytes, str]:
        """One attempt, whatever its answer looks like: content and media type.

        Raises:
            Fault: It failed in a way that another attempt may not.
            RemoteError: The server refuses for good.
            ContextFull: The server says that the prompt is too long.
        """
        assert self._session is not None, "the transport is not open"
        url = f"{self._url}{path}"
        try:
            # A redirect could carry the key elsewhere; the user is told of it instead.
            async with self._session.request(
                method, url, data=data, allow_redirects=False
            ) as answer:
                content = await _read(answer)
        except TimeoutError:
            raise Fault("timeout", f"no answer within {self._timeout.total:g} s") from None
        except (aiohttp.ClientError, ConnectionError, asyncio.IncompleteReadError) as error:
            detail = self._key.hide(str(error) or type(error).__name__)
            raise Fault("connection", detail) from None
        if answer.status in RETRIED or answer.status >= 500:
            wait_s = wait_of(answer.headers.get("Retry-After"))
            raise Fault(f"HTTP {answer.status}", self._shown(content), wait_s)
        if not 200 <= answer.status < 300:
            raise refused(answer.status, url, self._shown(content), self._key_env)
        return content, answer.content_type

    def _shown(self, content: bytes) -> str:
        return self._key.hide(content[:4000].decode("utf-8", "replace"))


async def _read(answer: aiohttp.ClientResponse) -> bytes:
    chunks: list[bytes] = []
    size = 0
    async for chunk in answer.content.iter_any():
        chunks.append(chunk)
        size += len(chunk)
        if size > MAX_BYTES:
            raise Fault("too large", f"the answer is longer than {MAX_BYTES} bytes")
    return b"".join(chunks)


def _parse(content: bytes, content_type: str) -> Any:
    if not content_type.endswith("json"):
        raise Fault("content type", content_type)
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError as error:
        try:
            content.decode("utf-8")
        except UnicodeDecodeError:
            raise Fault("not UTF-8") from None
        raise Fault("not JSON", error.msg) from None
