"""An index of a run's trajectories: found by text and by what happened, without reading them all.

It lies in the run's ``cache/viewer.sqlite`` and can be deleted at any time. Files of trajectories
grow at their end, so only what was added is read; where one was rewritten, all is read anew. Any
number of processes may use it: an update is made of transactions, each of which finds what others
did.
"""

from __future__ import annotations

import json
import os
import sqlite3
import tempfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from sport.jsonl import StoreError
from sport.store import Run
from sport.types import Gold, Trajectory
from sport.view.digest import Digest
from sport.view.places import sources
from sport.view.rows import facets, key_of, row_of, words_of

VERSION = 1
BATCH_BYTES = 4_000_000
"""Bytes of trajectories in one transaction: bounds the memory."""
_TAIL = 65_536  # bytes before the end of what was read, by which a rewritten file is known

_SCHEMA = """
CREATE TABLE source (name TEXT PRIMARY KEY, inode INT, size INT, tail INT);
CREATE TABLE trajectory (
  id INTEGER PRIMARY KEY, key TEXT UNIQUE, source TEXT, start INT, length INT, place TEXT,
  round INT, task TEXT, kind TEXT, query TEXT, ending TEXT, steps INT, candidates INT, failed INT,
  abstained INT, disagreed INT, answer TEXT, gold TEXT, correct INT, failed_steps INT
);
CREATE INDEX by_place ON trajectory (place, id);
CREATE INDEX by_task ON trajectory (task);
CREATE TABLE facet (name TEXT, value TEXT, id INT, PRIMARY KEY (name, value, id)) WITHOUT ROWID;
CREATE TABLE digest (round INT PRIMARY KEY, counts TEXT);
CREATE VIRTUAL TABLE words USING fts5 (text, content='', tokenize="unicode61 tokenchars '_'");
"""
_TABLES = ("source", "trajectory", "facet", "digest", "words")


class Index:
    """The index of one run."""

    def __init__(self, run: Run) -> None:
        """Opens it; it is brought up to date by :meth:`update` only.

        Args:
            run: The run; where its folder cannot be written, the index lies in a temporary folder
                as long as this object lives.
        """
        self.run = run
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        self._file = run.path / "cache" / "viewer.sqlite"
        try:
            self._file.parent.mkdir(exist_ok=True)
            self._prepare()
        except (OSError, sqlite3.DatabaseError):
            self._temporary = tempfile.TemporaryDirectory(prefix="sport-view-")
            self._file = Path(self._temporary.name) / "viewer.sqlite"
            self._prepare()

    @contextmanager
    def connect(self) -> Iterator[sqlite3.Connection]:
        """A connection, for the time of the block."""
        with closing(sqlite3.connect(self._file, timeout=30, isolation_level=None)) as db:
            db.row_factory = sqlite3.Row
            yield db

    def _prepare(self) -> None:
        with self.connect() as db:
            db.execute("PRAGMA journal_mode = WAL")
            with _transaction(db):
                if db.execute("PRAGMA user_version").fetchone()[0] != VERSION:
                    _clear(db)
                    db.execute(f"PRAGMA user_version = {VERSION}")

    def update(self, told: Callable[[int], None] = lambda n: None) -> None:
        """Reads what was added to the run since the last time.

        Args:
            told: Told, after every transaction, how many trajectories it added.
        """
        self._prepare()  # the file may have been deleted since
        with self.connect() as db:
            db.execute("PRAGMA synchronous = OFF")  # it can be made anew at any time
            with _transaction(db):
                if not all(_fits(self.run.path, row) for row in db.execute("SELECT * FROM source")):
                    _clear(db)
            golds: dict[str, dict[str, Gold]] = {}
            for source in sources(self.run.path):
                while n := self._read_more(db, source, golds):
                    told(n)

    def _read_more(
        self, db: sqlite3.Connection, source: str, golds: dict[str, dict[str, Gold]]
    ) -> int:
        with _transaction(db):
            row = db.execute("SELECT size FROM source WHERE name = ?", (source,)).fetchone()
            start = row["size"] if row else 0
            lines = _lines(self.run.path / source, start)
            if not lines:
                return 0
            self._add(db, source, start, lines, golds)
            end = start + sum(map(len, lines))
            tail = zlib.crc32(_before(self.run.path / source, end))
            inode = (self.run.path / source).stat().st_ino
            row = (source, inode, end, tail)
            db.execute("INSERT OR REPLACE INTO source VALUES (?, ?, ?, ?)", row)
        return len(lines)

    def _add(
        self,
        db: sqlite3.Connection,
        source: str,
        start: int,
        lines: list[bytes],
        golds: dict[str, dict[str, Gold]],
    ) -> None:
        context = {"blobs": self.run.blobs.folder}
        found = [Trajectory.model_validate_json(line, context=context) for line in lines]
        known = self._golds(source, golds)
        for trajectory, line in zip(found, lines, strict=True):
            row = row_of(trajectory, source, known)
            marks = ", ".join("?" * len(row))
            cursor = db.execute(
                f"INSERT INTO trajectory ({', '.join(row)}, start, length) VALUES ({marks}, ?, ?)",
                (*row.values(), start, len(line)),
            )
            number = cursor.lastrowid
            start += len(line)
            db.execute(
                "INSERT INTO words (rowid, text) VALUES (?, ?)", (number, words_of(trajectory))
            )
            db.executemany(
                "INSERT OR IGNORE INTO facet VALUES (?, ?, ?)",
                [(name, value, number) for name, value in facets(trajectory)],
            )
        if source == "trajectories.jsonl":
            for round in sorted({t.round for t in found}):
                self._count(db, round, [t for t in found if t.round == round], known)

    def _count(
        self, db: sqlite3.Connection, round: int, found: list[Trajectory], known: dict[str, Gold]
    ) -> None:
        total = _digest(db, round)
        total.add(Digest.of(found, self.run.recipe.pairs, known))
        db.execute(
            "INSERT OR REPLACE INTO digest VALUES (?, ?)", (round, json.dumps(total.as_json()))
        )

    def _golds(self, source: str, golds: dict[str, dict[str, Gold]]) -> dict[str, Gold]:
        name = Path(source).stem.removeprefix("eval-")
        split = "train" if source == "trajectories.jsonl" else name
        while split and not self.run.has_tasks(split):
            split = split.rpartition("-")[0]  # what follows the split names a control
        if split not in golds:
            tasks = self.run.tasks(split) if split else []
            golds[split] = {t.id: t.gold for t in tasks if t.gold is not None}
        return golds[split]

    # Reading.

    def state(self) -> tuple[tuple[str, int], ...]:
        """Changes whenever the index does."""
        with self.connect() as db:
            rows = db.execute("SELECT name, size FROM source ORDER BY name")
            return tuple((row["name"], row["size"]) for row in rows)

    def digests(self) -> dict[int, Digest]:
        """The counts of every explored round, by its number."""
        with self.connect() as db:
            rounds = [row["round"] for row in db.execute("SELECT round FROM digest ORDER BY round")]
            return {round: _digest(db, round) for round in rounds}

    def row(self, key: str) -> sqlite3.Row:
        """The row of a trajectory by its key.

        Raises:
            KeyError: There is none.
        """
        with self.connect() as db:
            row = db.execute("SELECT * FROM trajectory WHERE key = ?", (key,)).fetchone()
        if row is None:
            raise KeyError(key)
        found: sqlite3.Row = row
        return found

    def read(self, row: sqlite3.Row) -> Trajectory:
        """The trajectory of a row of the table.

        Raises:
            StoreError: The file was rewritten since; the next update finds it again.
        """
        with (self.run.path / row["source"]).open("rb") as file:
            file.seek(row["start"])
            line = file.read(row["length"])
        context = {"blobs": self.run.blobs.folder}
        try:
            found = Trajectory.model_validate_json(line, context=context)
        except ValueError:
            found = None
        if found is None or key_of(found, row["source"]) != row["key"]:
            raise StoreError(f"{row['source']} was rewritten; look again in a moment.")
        return found


def _digest(db: sqlite3.Connection, round: int) -> Digest:
    row = db.execute("SELECT counts FROM digest WHERE round = ?", (round,)).fetchone()
    return Digest.from_json(json.loads(row["counts"])) if row else Digest()


@contextmanager
def _transaction(db: sqlite3.Connection) -> Iterator[None]:
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        db.execute("ROLLBACK")
        raise
    db.execute("COMMIT")


def _clear(db: sqlite3.Connection) -> None:
    for table in _TABLES:
        db.execute(f"DROP TABLE IF EXISTS {table}")
    for statement in _SCHEMA.split(";\n"):
        db.execute(statement)


def _fits(run: Path, row: sqlite3.Row) -> bool:
    """Whether a file still begins with what was read of it."""
    file = run / row["name"]
    if not file.is_file():
        return False
    found = file.stat()
    if found.st_ino != row["inode"] or found.st_size < row["size"]:
        return False
    return bool(zlib.crc32(_before(file, row["size"])) == row["tail"])


def _before(file: Path, end: int) -> bytes:
    with file.open("rb") as opened:
        opened.seek(max(0, end - _TAIL))
        return opened.read(min(_TAIL, end))


def _lines(file: Path, start: int) -> list[bytes]:
    """Whole lines from a position on, as many as make a batch."""
    lines: list[bytes] = []
    with file.open("rb") as opened:
        opened.seek(start, os.SEEK_SET)
        while sum(map(len, lines)) < BATCH_BYTES:
            line = opened.readline()
            if not line.endswith(b"\n"):
                break
            lines.append(line)
    return lines
