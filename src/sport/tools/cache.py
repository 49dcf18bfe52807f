"""Results of deterministic tools, kept by content: a picture is read once per run."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import threading
from collections.abc import Iterable, Mapping
from concurrent.futures import Future
from pathlib import Path

from pydantic import JsonValue

from sport.tools.function import Tool
from sport.tools.paths import open_file
from sport.tools.values import decode, deliver, encode


class ToolCache:
    """Remembers what deterministic tools returned, by (tool, arguments, bytes of files).

    Safe to share among threads: equal calls that come at once are computed once. Failures are not
    kept.
    """

    def __init__(self, path: Path | None = None) -> None:
        """Keeps results in memory, and in the SQLite file ``path`` if one is given."""
        self._lock = threading.Lock()
        self._memory: dict[str, Future[str]] = {}
        self._database: sqlite3.Connection | None = None
        if path is not None:
            self._database = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
            self._database.execute("PRAGMA journal_mode=WAL")
            self._database.execute("PRAGMA synchronous=NORMAL")
            self._database.execute(
                "CREATE TABLE IF NOT EXISTS results (key TEXT PRIMARY KEY, result TEXT NOT NULL)"
            )

    def wrap(self, tools: Iterable[Tool]) -> dict[str, Tool]:
        """The tools by name; the deterministic ones answer from this cache where they can."""
        return {t.name: CachedTool(t, self) if t.deterministic else t for t in tools}

    def call(self, tool: Tool, workspace: Path, arguments: Mapping[str, JsonValue]) -> JsonValue:
        """As ``tool(workspace, arguments)``, computed at most once for equal calls."""
        key = _key(tool, workspace, arguments)
        with self._lock:
            future = self._memory.get(key)
            mine = future is None
            if future is None:
                future = self._memory[key] = Future()
        if mine:
            self._fill(future, key, tool, workspace, arguments)
        elif future.exception() is not None:
            return tool(workspace, arguments)  # another's attempt failed: it may have been chance
        return deliver(workspace, decode(json.loads(future.result())))

    def _fill(
        self,
        future: Future[str],
        key: str,
        tool: Tool,
        workspace: Path,
        arguments: Mapping[str, JsonValue],
    ) -> None:
        try:
            text = self._stored(key)
            if text is None:
                text = json.dumps(encode(tool.compute(workspace, arguments)))
                self._store(key, text)
        except BaseException as error:
            with self._lock:
                del self._memory[key]
            future.set_exception(error)
            raise
        future.set_result(text)

    def _stored(self, key: str) -> str | None:
        if self._database is None:
            return None
        with self._lock:
            rows = self._database.execute("SELECT result FROM results WHERE key = ?", (key,))
            row = rows.fetchone()
        return None if row is None else str(row[0])

    def _store(self, key: str, text: str) -> None:
        if self._database is not None:
            with self._lock:
                self._database.execute("INSERT OR REPLACE INTO results VALUES (?, ?)", (key, text))

    def close(self) -> None:
        """Closes the file, if there is one."""
        if self._database is not None:
            self._database.close()


class CachedTool(Tool):
    """A deterministic tool in front of which a cache stands."""

    def __init__(self, inner: Tool, cache: ToolCache) -> None:
        """Looks like ``inner``, and answers from ``cache`` where it can."""
        self.__dict__.update(inner.__dict__)
        self._inner = inner
        self._cache = cache

    def __call__(self, workspace: Path, arguments: Mapping[str, JsonValue]) -> JsonValue:
        """As the tool's own call, from the cache where it is there."""
        return self._cache.call(self._inner, workspace, arguments)


def _key(tool: Tool, workspace: Path, arguments: Mapping[str, JsonValue]) -> str:
    files = tool.files(arguments)
    plain = {name: value for name, value in arguments.items() if name not in files}
    digests = {name: [_digest(workspace, path) for path in paths] for name, paths in files.items()}
    text = json.dumps([tool.name, plain, digests], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _digest(workspace: Path, path: str) -> str:
    with open(open_file(workspace, path), "rb") as file:
        # The suffix counts: a tool may go by it.
        return hashlib.file_digest(file, "sha256").hexdigest() + Path(path).suffix
