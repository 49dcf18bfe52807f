"""A session with an MCP server, on a loop in a thread of its own."""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from sport.remote.faults import RemoteError
from sport.remote.keys import Key
from sport.secrets import Secrets
from sport.tools.config import McpSettings
from sport.untrusted import clip, shown

if TYPE_CHECKING:
    from mcp import Client
    from mcp_types import Tool as Listed

T = TypeVar("T")

_SAID, _SAID_BYTES = 300, 4_096
_MOST_PAGES = 50
_STOP_S = 10.0
_PROBE_S = 5.0


class McpError(RuntimeError):
    """An MCP server cannot be used; says which one, what it said, and the mend."""


class Session:
    """A connection, from its start to its end.

    Attributes:
        broken: Whether it can be used no more.
    """

    def __init__(self, name: str, settings: McpSettings, root: Path) -> None:
        """Connects to nothing yet; see :class:`sport.tools.mcp.McpServer`."""
        self._name = name
        self._settings = settings
        self._root = root
        self._secrets = Secrets.of_environment([*settings.env, settings.key_env or ""])
        self._ready: Future[Client] = Future()
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        # What a server says on its standard error is kept out of the terminal, for its error.
        self._said = tempfile.TemporaryFile(mode="a+", encoding="utf-8", errors="replace")
        self._thread = threading.Thread(target=self._serve, name=f"sport-mcp-{name}", daemon=True)
        self._main: asyncio.Task[None] | None = None
        self.broken = False
        self._doubted = False

    def lives(self) -> bool:
        """Whether it can be used; after a call that failed it is asked whether it still answers.

        A slow call is no reason to end what other calls are under way, and a hung server is.
        """
        if self._doubted and not self.broken:
            self._doubted = False
            try:
                self.run(list_tools, _PROBE_S)
            except (McpError, TimeoutError):
                self.broken = True
        return not self.broken

    def start(self) -> None:
        """Connects.

        Raises:
            McpError: It cannot be reached, or does not answer in time.
        """
        self._thread.start()
        try:
            self._ready.result(self._settings.start_s)
        except (TimeoutError, FutureTimeout):
            self.close()
            raise McpError(
                f"{self._where()} did not answer within {self._settings.start_s:g} s"
                f"{self._last_words()}: look at its command or url, or raise start_s"
            ) from None
        except BaseException as error:
            self.close()
            if isinstance(error, McpError):
                raise
            raise McpError(
                f"{self._where()} cannot be reached: {self._reason(error)}{self._last_words()}"
            ) from None

    def run(self, work: Callable[[Client], Awaitable[T]], timeout_s: float) -> T:
        """What ``await work(client)`` gives.

        Raises:
            TimeoutError: It took longer than ``timeout_s``.
            McpError: The server refused, broke the protocol, or ended meanwhile.
        """
        asked = asyncio.run_coroutine_threadsafe(self._ask(work, timeout_s), self._loop)
        return asked.result()

    async def _ask(self, work: Callable[[Client], Awaitable[T]], timeout_s: float) -> T:
        from mcp import MCPError
        from mcp_types import CONNECTION_CLOSED, INVALID_PARAMS

        ended = asyncio.ensure_future(self._stop.wait())
        doing = asyncio.ensure_future(work(self._ready.result()))
        try:
            await asyncio.wait((doing, ended), timeout=timeout_s, return_when="FIRST_COMPLETED")
            if doing.done():
                return doing.result()
        except MCPError as error:
            if error.code == CONNECTION_CLOSED:
                self.broken = True
                raise self._ended() from None
            self._doubted = error.code != INVALID_PARAMS
            raise McpError(
                f"{self._where()} refused the call: {self._told(error.message)}"
            ) from None
        except Exception as error:
            self._doubted = True
            raise McpError(f"{self._where()} failed: {self._reason(error)}") from None
        finally:
            doing.cancel()
            ended.cancel()
        if self._stop.is_set():
            raise self._ended()
        self._doubted = True
        raise TimeoutError(f"{self._where()} did not answer within {timeout_s:g} s")

    def close(self) -> None:
        """Ends it, and the process that was started for it."""
        self.broken = True
        if self._loop.is_closed():
            return
        try:
            self._loop.call_soon_threadsafe(self._end)
        except RuntimeError:
            return  # it ended meanwhile
        if threading.current_thread() is not self._thread:
            self._thread.join(_STOP_S)

    def _end(self) -> None:
        self._stop.set()
        if self._main is not None and not self._ready.done():
            self._main.cancel()  # it waits for the server's first answer

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._main = self._loop.create_task(self._live())
        try:
            self._loop.run_until_complete(self._main)
        except BaseException as error:
            if not self._ready.done():
                self._ready.set_exception(_first(error))
        finally:
            self.broken = True
            self._stop.set()
            self._finish()

    def _finish(self) -> None:
        """Lets those that still ask see that it ended."""
        left = asyncio.all_tasks(self._loop)
        if left:
            self._loop.run_until_complete(asyncio.wait(left, timeout=1))
        self._loop.close()

    async def _live(self) -> None:
        from mcp import Client

        async with self._transport() as transport:
            async with Client(transport, mode="auto") as client:
                self._ready.set_result(client)
                await self._stop.wait()

    @asynccontextmanager
    async def _transport(self) -> AsyncIterator[Any]:
        import httpx2
        from mcp import StdioServerParameters, stdio_client
        from mcp.client.streamable_http import streamable_http_client

        settings = self._settings
        if settings.command is not None:
            command, *arguments = settings.command
            parameters = StdioServerParameters(
                command=_found(command, self._root),
                args=arguments,
                env=_environment(settings.env),
                cwd=self._root,
            )
            yield stdio_client(parameters, errlog=self._said)
            return
        assert settings.url is not None, "the settings were validated"
        headers = Key.read(settings.key_env).headers()
        # A tool may take long: how long is bounded where it is called.
        patient = httpx2.Timeout(self._settings.start_s, read=None)
        async with httpx2.AsyncClient(headers=headers, timeout=patient) as http:
            yield streamable_http_client(settings.url, http_client=http)

    def _ended(self) -> McpError:
        return McpError(f"{self._where()} ended during the call{self._last_words()}")

    def _reason(self, error: BaseException) -> str:
        error = _first(error)
        if isinstance(error, McpError | RemoteError):
            return str(error)
        return f"{type(error).__name__}: {self._told(str(error))}"

    def _told(self, text: str) -> str:
        """What a server says, in short, without secrets and without what drives a terminal."""
        return clip(shown(self._secrets.hide_in_error(" ".join(text.split()))), _SAID)

    def _where(self) -> str:
        way = self._settings.url or " ".join(self._settings.command or ())
        return f"the MCP server {self._name!r} ({clip(way, 100)})"

    def _last_words(self) -> str:
        fd = self._said.fileno()
        end = os.pread(fd, _SAID_BYTES, max(0, os.fstat(fd).st_size - _SAID_BYTES))
        lines = [line for line in end.decode(errors="replace").splitlines() if line.strip()]
        return f"; it said: {self._told(lines[-1])}" if lines else ""


async def list_tools(client: Client) -> list[Listed]:
    """All tools that a server lists, over its pages."""
    found: list[Listed] = []
    cursor: str | None = None
    for _ in range(_MOST_PAGES):
        page = await client.list_tools(cursor=cursor, cache_mode="bypass")
        found += page.tools
        cursor = page.next_cursor
        if cursor is None:
            break
    return found


def _found(command: str, root: Path) -> str:
    """A command as it is started: ``python`` is this one, and paths are relative to the recipe."""
    if command in ("python", "python3"):
        return sys.executable
    beside = Path(sys.executable).with_name(command)
    if "/" in command:
        return str(root / command)
    return str(beside) if beside.is_file() else command


def _environment(names: Sequence[str]) -> dict[str, str]:
    missing = [name for name in names if name not in os.environ]
    if missing:
        raise McpError(
            f"the variable {missing[0]} is not set: an MCP server of the recipe needs it"
        )
    return {name: os.environ[name] for name in names}


def _first(error: BaseException) -> BaseException:
    """The first cause of a group of errors."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
