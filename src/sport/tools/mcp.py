"""Tools of MCP servers: started here and spoken to over pipes, or over streamable HTTP.

A server's session lives on a loop in a thread of its own, so that tools can be called from any
thread. A server that has died is started again at the next call; the call that it died in fails,
since it may have been made.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import sys
import tempfile
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from sport.remote.faults import RemoteError
from sport.remote.keys import Key
from sport.tools.config import McpSettings
from sport.untrusted import clip, shown

if TYPE_CHECKING:
    from mcp import Client
    from mcp_types import CallToolResult
    from mcp_types import Tool as Listed

T = TypeVar("T")

_SAID = 300
_MOST_PAGES = 50
_STOP_S = 10.0
_PROBE_S = 5.0


class McpError(RuntimeError):
    """An MCP server cannot be used; says which one, what it said, and the mend."""


class McpServer:
    """One MCP server, as a recipe names it.

    Attributes:
        name: Its name in the recipe.
        local: Whether it sees the files of this machine.
    """

    def __init__(self, name: str, settings: McpSettings, root: Path) -> None:
        """Connects to nothing yet.

        Args:
            name: Its name in the recipe.
            settings: How to reach it.
            root: Folder that its command runs in.
        """
        self.name = name
        self.local = settings.command is not None
        self._settings = settings
        self._root = root
        self._lock = threading.Lock()
        self._session: _Session | None = None

    def tools(self) -> list[Listed]:
        """The tools that it lists.

        Raises:
            McpError: It does not start, or does not answer.
        """
        return self._connected().run(_list_tools, self._settings.start_s)

    def call(self, tool: str, arguments: Mapping[str, Any], timeout_s: float) -> CallToolResult:
        """Calls one of its tools.

        Raises:
            TimeoutError: It took too long.
            McpError: It refused the call, broke the protocol, or died meanwhile.
        """

        async def send(client: Client) -> CallToolResult:
            return await client.call_tool(tool, dict(arguments))

        return self._connected().run(send, timeout_s)

    def close(self) -> None:
        """Ends the session, and the process that was started for it."""
        with self._lock:
            session, self._session = self._session, None
        if session is not None:
            session.close()

    def _connected(self) -> _Session:
        with self._lock:
            if self._session is not None and not self._session.lives():
                self._session.close()
                self._session = None
            if self._session is None:
                self._session = _Session(self.name, self._settings, self._root)
                self._session.start()
            return self._session


class _Session:
    """A connection, from its start to its end."""

    def __init__(self, name: str, settings: McpSettings, root: Path) -> None:
        self._name = name
        self._settings = settings
        self._root = root
        self._ready: Future[Client] = Future()
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        # What a server says on its standard error is kept out of the terminal, for its error.
        self._said = tempfile.TemporaryFile(mode="w+", encoding="utf-8", errors="replace")
        self._thread = threading.Thread(target=self._serve, name=f"sport-mcp-{name}", daemon=True)
        self._main: asyncio.Task[None] | None = None
        self.broken = False
        self._doubted = False

    def lives(self) -> bool:
        """Whether it can be used; one that let a call time out is asked whether it still answers.

        A slow call is no reason to end what other calls are under way, and a hung server is.
        """
        if self._doubted and not self.broken:
            self._doubted = False
            try:
                self.run(_list_tools, _PROBE_S)
            except (McpError, TimeoutError):
                self.broken = True
        return not self.broken

    def start(self) -> None:
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
                f"{self._where()} cannot be reached: {_reason(error)}{self._last_words()}"
            ) from None

    def run(self, work: Callable[[Client], Awaitable[T]], timeout_s: float) -> T:
        """What ``await work(client)`` gives."""
        asked = asyncio.run_coroutine_threadsafe(self._ask(work, timeout_s), self._loop)
        return asked.result()

    async def _ask(self, work: Callable[[Client], Awaitable[T]], timeout_s: float) -> T:
        from mcp import MCPError
        from mcp_types import CONNECTION_CLOSED

        ended = asyncio.ensure_future(self._stop.wait())
        doing = asyncio.ensure_future(work(self._ready.result()))
        try:
            await asyncio.wait((doing, ended), timeout=timeout_s, return_when="FIRST_COMPLETED")
            if doing.done():
                return doing.result()
        except MCPError as error:
            if error.code == CONNECTION_CLOSED:
                self.broken = True
                raise McpError(
                    f"{self._where()} ended during the call{self._last_words()}"
                ) from None
            raise McpError(f"{self._where()} refused the call: {_text(error.message)}") from None
        except Exception as error:
            raise McpError(f"{self._where()} failed: {_reason(error)}") from None
        finally:
            doing.cancel()
            ended.cancel()
        if self._stop.is_set():
            raise self._ended()
        self._doubted = True
        raise TimeoutError(f"{self._where()} did not answer within {timeout_s:g} s")

    def close(self) -> None:
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

    def _where(self) -> str:
        way = self._settings.url or " ".join(self._settings.command or ())
        return f"the MCP server {self._name!r} ({clip(way, 100)})"

    def _last_words(self) -> str:
        self._said.seek(0)
        lines = [line for line in self._said.read().splitlines() if line.strip()]
        return f"; it said: {_text(lines[-1])}" if lines else ""


_servers: dict[tuple[str, McpSettings, Path], McpServer] = {}
_connecting = threading.Lock()


def connect(name: str, settings: McpSettings, root: Path) -> McpServer:
    """The server of these settings: one a process, which ends with the process.

    Raises:
        McpError: The package ``mcp`` is not installed.
    """
    try:
        import mcp  # noqa: F401
    except ModuleNotFoundError:
        raise McpError(
            "tools of MCP servers need the package mcp: pip install 'sport-agents[mcp]'"
        ) from None
    with _connecting:
        key = (name, settings, root)
        if key not in _servers:
            server = _servers[key] = McpServer(name, settings, root)
            atexit.register(server.close)
        return _servers[key]


async def _list_tools(client: Client) -> list[Listed]:
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


def _reason(error: BaseException) -> str:
    error = _first(error)
    if isinstance(error, McpError | RemoteError):
        return str(error)
    return f"{type(error).__name__}: {_text(str(error))}"


def _text(text: str) -> str:
    return clip(shown(" ".join(text.split())), _SAID)
