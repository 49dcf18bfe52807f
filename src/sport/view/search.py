"""Finding trajectories: by text, by what happened, and the neighbours of one that was found."""

from __future__ import annotations

import re
import sqlite3
from dataclasses import dataclass, fields
from typing import Any
from urllib.parse import urlencode

from sport.view.index import Index

PAGE = 50
"""Trajectories of one page of the list."""

FLAGS = {
    "wrong": ("wrong answer", "t.correct = 0"),
    "right": ("right answer", "t.correct = 1"),
    "unfinished": ("did not finish", "t.ending != 'finished'"),
    "failed": ("a candidate failed", "t.failed > 0"),
    "abstained": ("the verifier abstained", "t.abstained > 0"),
    "disagreed": ("votes disagree", "t.disagreed > 0"),
}
"""Filters by what happened: their words and their condition."""


@dataclass(frozen=True)
class Filter:
    """What is looked for; an empty part does not matter.

    Attributes:
        q: Words that must all occur; the last letters of each may be left out.
        place: Where it comes from, see :mod:`sport.view.places`.
        flag: What happened, one of :data:`FLAGS`.
        tool: A tool that some candidate called.
        error: An error that some candidate ended with.
        kind: Kind of the task.
    """

    q: str = ""
    place: str = ""
    flag: str = ""
    tool: str = ""
    error: str = ""
    kind: str = ""

    def query(self, **more: object) -> str:
        """The filter as the query of an address, with ``?`` unless it is empty."""
        parts = {f.name: getattr(self, f.name) for f in fields(self)}
        chosen = {k: v for k, v in {**parts, **more}.items() if v}
        return f"?{urlencode(chosen)}" if chosen else ""

    def sql(self) -> tuple[str, list[Any]]:
        """A condition on the table ``trajectory AS t``, and its values."""
        conditions, values = ["1"], []
        for column in ("place", "kind"):
            if getattr(self, column):
                conditions.append(f"t.{column} = ?")
                values.append(getattr(self, column))
        if self.flag in FLAGS:
            conditions.append(FLAGS[self.flag][1])
        for name in ("tool", "error"):
            if getattr(self, name):
                conditions.append("t.id IN (SELECT id FROM facet WHERE name = ? AND value = ?)")
                values += [name, getattr(self, name)]
        if words := re.findall(r"\w+", self.q):
            conditions.append("t.id IN (SELECT rowid FROM words WHERE words MATCH ?)")
            values.append(" ".join(f'"{word}"*' for word in words))
        elif self.q.strip():
            conditions.append("0")  # nothing that could be found
        return " AND ".join(conditions), values


@dataclass(frozen=True)
class Found:
    """One page of what was found.

    Attributes:
        rows: The rows.
        total: How many there are in all.
        first: Number of the first row, from 0.
    """

    rows: list[sqlite3.Row]
    total: int
    first: int


def find(index: Index, wanted: Filter, first: int = 0, limit: int = PAGE) -> Found:
    """The trajectories that a filter finds, in the order of the run."""
    condition, values = wanted.sql()
    with index.connect() as db:
        total = db.execute(f"SELECT count(*) FROM trajectory t WHERE {condition}", values)
        rows = db.execute(
            f"SELECT * FROM trajectory t WHERE {condition} ORDER BY id LIMIT ? OFFSET ?",
            (*values, limit, first),
        )
        return Found(rows.fetchall(), total.fetchone()[0], first)


def neighbours(index: Index, wanted: Filter, key: str) -> tuple[str | None, str | None]:
    """Keys of the trajectories before and after one, among those that a filter finds."""
    condition, values = wanted.sql()

    def one(sign: str, order: str) -> str | None:
        row = db.execute(
            f"SELECT key FROM trajectory t WHERE {condition} AND id {sign} "
            f"(SELECT id FROM trajectory WHERE key = ?) ORDER BY id {order} LIMIT 1",
            (*values, key),
        ).fetchone()
        return row["key"] if row else None

    with index.connect() as db:
        return one("<", "DESC"), one(">", "ASC")


@dataclass(frozen=True)
class Choices:
    """What there is to filter by."""

    places: list[str]
    kinds: list[str]
    tools: list[str]
    errors: list[str]


def choices(index: Index) -> Choices:
    """What there is to filter by in a run."""
    with index.connect() as db:

        def column(sql: str) -> list[str]:
            return [row[0] for row in db.execute(sql)]

        by_name = "SELECT DISTINCT value FROM facet WHERE name = '{}' ORDER BY value LIMIT 200"
        return Choices(
            column("SELECT place FROM trajectory GROUP BY place ORDER BY min(id)"),
            column("SELECT DISTINCT kind FROM trajectory WHERE kind != '' ORDER BY kind LIMIT 200"),
            column(by_name.format("tool")),
            column(by_name.format("error")),
        )
