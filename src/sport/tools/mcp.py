"""Tools of MCP servers: started here and spoken to over pipes, or over streamable HTTP.

A server's session lives on a loop in a thread of its own, so that tools can be called from any
thread. A server that has died is started again at the next call; the call that it died in fails,
since it may have been made.
"""

from __future__ import annotations

import atexit
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sport.tools.config import McpSettings
from sport.tools.mcp_session import McpError, Session, list_tools

if TYPE_CHECKING:
    from mcp import Client
    from mcp_types import CallToolResult
    from mcp_types import Tool as Listed


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
        self._session: Session | None = None

    def tools(self) -> list[Listed]:
        """The tools that it lists.

        Raises:
            McpError: It does not start, or does not answer.
        """
        return self._connected().run(list_tools, self._settings.start_s)

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

    def _connected(self) -> Session:
        with self._lock:
            if self._session is not None and not self._session.lives():
                self._session.close()
                self._session = None
            if self._session is None:
                self._session = Session(self.name, self._settings, self._root)
                self._session.start()
            return self._session


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
