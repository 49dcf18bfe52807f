"""Every call of a tool, kept: what was asked, what was answered, and how it was had.

One SQLite file a run. Results of deterministic tools are found in it again, a finished run is
replayed from it, and its counts say what was paid for.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import JsonValue

from sport.tools.function import Tool
from sport.tools.paths import open_file
from sport.types import Record

FILE = "tools.sqlite"
"""Name of the file in a run's folder ``cache``."""

How = Literal["called", "cached", "shared", "missing"]
"""The tool was called, its answer to an equal call was there, or on its way; or a replay had none.
"""

_TOGETHER = 100
_SHORT, _MOST_RECENT = 20_000, 2_000

_TABLES = """
CREATE TABLE IF NOT EXISTS calls (
  id INTEGER PRIMARY KEY,
  key TEXT NOT NULL,
  tool TEXT NOT NULL,
  arguments TEXT NOT NULL,
  how TEXT NOT NULL,
  result TEXT,
  error TEXT,
  seconds REAL NOT NULL,
  cost REAL NOT NULL
);
CREATE INDEX IF NOT EXISTS calls_by_key ON calls (key);
CREATE TABLE IF NOT EXISTS tools (name TEXT PRIMARY KEY, card TEXT NOT NULL);
"""


class Answer(Record):
    """What a call gave.

    Attributes:
        result: The result, with the bytes of its files (:func:`sport.tools.values.encode`).
        error: Class and message of the exception, where it failed.
        seconds: How long the call took.
    """

    result: JsonValue = None
    error: tuple[str, str] | None = None
    seconds: float = 0.0


class Count(Record):
    """What the calls of one tool came to.

    Attributes:
        tool: Its name.
        asked: Calls by candidates.
        called: How often it ran.
        cached: Calls that an earlier answer stood for.
        shared: Calls that waited for an equal one under way.
        missing: Calls that a replay had no answer to.
        failed: Times that it ran and failed.
        seconds: Time that it ran, in seconds.
        cost: What that cost.
    """

    tool: str
    asked: int
    called: int
    cached: int
    shared: int
    missing: int
    failed: int
    seconds: float
    cost: float


class CallStore:
    """The calls of a run; safe to share among threads."""

    def __init__(self, path: Path | None = None) -> None:
        """Keeps calls in the SQLite file ``path``, or in memory."""
        self._lock = threading.Lock()
        self._rows: list[tuple[Any, ...]] = []
        self._recent: dict[str, tuple[str, float]] = {}
        self._database = sqlite3.connect(
            path or ":memory:", check_same_thread=False, isolation_level=None
        )
        self._database.execute("PRAGMA journal_mode=WAL")
        self._database.execute("PRAGMA synchronous=NORMAL")
        self._database.executescript(_TABLES)

    def add(
        self, tool: Tool, key: str, arguments: Mapping[str, JsonValue], how: How, answer: Answer
    ) -> None:
        """Keeps a call. One that was made is on the disk at once, others soon or by a flush."""
        error = None if answer.error is None else json.dumps(answer.error)
        made = how == "called"
        result = json.dumps(answer.result) if made and error is None else None
        cost = tool.cost if made else 0.0
        row = (key, tool.name, json.dumps(arguments), how, result, error, answer.seconds, cost)
        with self._lock:
            self._rows.append(row)
            if made or len(self._rows) >= _TOGETHER:
                self._write()

    def flush(self) -> None:
        """Writes what is still to be written."""
        with self._lock:
            self._write()

    def _write(self) -> None:
        rows, self._rows = self._rows, []
        if rows:
            self._database.execute("BEGIN")
            self._database.executemany(
                "INSERT INTO calls (key, tool, arguments, how, result, error, seconds, cost) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                rows,
            )
            self._database.execute("COMMIT")

    def find(self, key: str) -> Answer | None:
        """The latest result of an equal call."""
        with self._lock:
            row = self._recent.get(key)
            if row is None:
                row = self._database.execute(
                    "SELECT result, seconds FROM calls WHERE key = ? AND result IS NOT NULL "
                    "ORDER BY id DESC LIMIT 1",
                    (key,),
                ).fetchone()
                self._remember(key, row)
        if row is None:
            return None
        return Answer.model_construct(result=json.loads(row[0]), error=None, seconds=row[1])

    def _remember(self, key: str, row: tuple[str, float] | None) -> None:
        """Keeps a short result at hand: candidates of one step ask the same."""
        if row is not None and len(row[0]) <= _SHORT:
            if len(self._recent) >= _MOST_RECENT:
                self._recent.clear()
            self._recent[key] = row

    def answers(self, key: str) -> list[Answer]:
        """What equal calls gave, in order, failures included."""
        with self._lock:
            rows = self._database.execute(
                "SELECT result, error, seconds FROM calls WHERE key = ? AND how = 'called' "
                "ORDER BY id",
                (key,),
            ).fetchall()
        return [
            Answer(
                result=None if result is None else json.loads(result),
                error=None if error is None else tuple(json.loads(error)),
                seconds=seconds,
            )
            for result, error, seconds in rows
        ]

    def counts(self) -> list[Count]:
        """What the calls came to, by tool."""
        with self._lock:
            self._write()
            rows = self._database.execute(
                "SELECT tool, count(*), sum(how = 'called'), sum(how = 'cached'), "
                "sum(how = 'shared'), sum(how = 'missing'), "
                "sum(how = 'called' AND error IS NOT NULL), "
                "sum(CASE how WHEN 'called' THEN seconds ELSE 0 END), sum(cost) "
                "FROM calls GROUP BY tool ORDER BY tool"
            ).fetchall()
        return [Count(**dict(zip(Count.model_fields, row, strict=True))) for row in rows]

    def keep_card(self, name: str, card: Mapping[str, Any]) -> None:
        """Keeps what a tool is, so that a replay can do without it."""
        with self._lock:
            self._database.execute(
                "INSERT OR REPLACE INTO tools VALUES (?, ?)", (name, json.dumps(card))
            )

    def cards(self) -> list[dict[str, Any]]:
        """What the tools are, in the order in which they were kept."""
        with self._lock:
            rows = self._database.execute("SELECT card FROM tools ORDER BY rowid").fetchall()
        return [json.loads(row[0]) for row in rows]

    def close(self) -> None:
        """Closes the file."""
        self.flush()
        self._database.close()


def call_key(tool: Tool, workspace: Path, arguments: Mapping[str, JsonValue]) -> str:
    """Equal for calls of one tool with equal arguments, where files are equal by their bytes.

    Raises:
        OSError: A file argument cannot be used.
    """
    given = {p.name: p.default for p in tool.parameters if not p.required} | dict(arguments)
    files = tool.files(given)
    plain = {name: value for name, value in given.items() if name not in files}
    digests = {name: [_digest(workspace, path) for path in paths] for name, paths in files.items()}
    text = json.dumps([tool.name, tool.version, plain, digests], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def _digest(workspace: Path, path: str) -> str:
    with open(open_file(workspace, path), "rb") as file:
        # The suffix counts: a tool may go by it.
        return hashlib.file_digest(file, "sha256").hexdigest() + Path(path).suffix
