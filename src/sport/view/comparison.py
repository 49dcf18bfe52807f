"""The same tasks twice: before and after tuning, or in two runs."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from sport.types import Trajectory
from sport.view.book import Book, Entry
from sport.view.places import title_of
from sport.view.steps import StepView, step_views

SHOWS = {
    "changed": "gained or lost",
    "gained": "gained",
    "lost": "lost",
    "neither": "wrong in both",
    "both": "right in both",
    "all": "all",
}
"""Which tasks are listed, and its words."""

_FATES = {(1, 1): "both", (0, 1): "gained", (1, 0): "lost", (0, 0): "neither"}

Pair = tuple[sqlite3.Row, sqlite3.Row]


@dataclass(frozen=True)
class Side:
    """A place of a run.

    Attributes:
        name: Names it in addresses: run and place.
        title: For people.
        entry: The run.
        place: The place.
    """

    name: str
    title: str
    entry: Entry
    place: str


@dataclass(frozen=True)
class Half:
    """One of two trajectories side by side."""

    side: str
    slug: str
    title: str
    found: Trajectory
    right: bool | None
    views: list[StepView]


def sides_of(book: Book, first: Entry) -> list[Side]:
    """What there is to compare; the places of one run first."""
    others = [entry for entry in book.entries if entry is not first]
    return [side for entry in (first, *others) for side in _places(entry, entry is first)]


def _places(entry: Entry, plain: bool) -> Iterator[Side]:
    with entry.index.connect() as db:
        rows = db.execute("SELECT place FROM trajectory GROUP BY place ORDER BY min(id)").fetchall()
    for (place,) in rows:
        title = title_of(place)
        yield Side(
            f"{entry.slug}/{place}", title if plain else f"{entry.slug}: {title}", entry, place
        )


def usual(sides: list[Side]) -> tuple[str, str]:
    """Names of what one wants to see first: the starting policy and the last, on the same tasks."""
    first = [s for s in sides if s.entry is sides[0].entry] if sides else []
    split = next((s.place[7:] for s in reversed(first) if s.place.startswith("eval-0-")), None)
    same = [
        s
        for s in first
        if s.place.partition("-")[0] == "eval" and s.place.split("-", 2)[2] == split
    ]
    if same:
        return same[0].name, same[-1].name
    return (first[0].name, first[-1].name) if first else ("", "")


class Comparison:
    """Two sides on the tasks that they have in common."""

    def __init__(self, sides: list[Side], before: str, after: str) -> None:
        """Compares two sides by their names.

        Args:
            sides: What there is.
            before: Name of one; where it is empty, see :func:`usual`.
            after: Name of the other.

        Raises:
            KeyError: There is no such side.
        """
        known = {side.name: side for side in sides}
        first, last = usual(sides)
        self.sides = sides
        self.before = known[before or first]
        self.after = known[after or last]

    @cached_property
    def _pairs(self) -> dict[str, Pair]:
        a, b = _rows(self.before), _rows(self.after)
        return {task: (row, b[task]) for task, row in a.items() if task in b}

    @property
    def total(self) -> int:
        """Tasks in common."""
        return len(self._pairs)

    @cached_property
    def counts(self) -> dict[str, int]:
        """How many tasks had each fate."""
        fates = [_fate(pair) for pair in self._pairs.values()]
        return {name: fates.count(name) for name in (*_FATES.values(), "unscored")}

    def rows(self, show: str) -> list[tuple[str, Pair]]:
        """The tasks of a choice of :data:`SHOWS`, with their rows on both sides."""
        wanted = {"changed": {"gained", "lost"}}.get(show, {show})
        return [(t, p) for t, p in self._pairs.items() if show == "all" or _fate(p) in wanted]

    def pair(self, task: str) -> list[Half]:
        """A task's two trajectories.

        Raises:
            KeyError: The task is not in both.
        """
        rows = self._pairs[task]
        named = (("before", self.before, rows[0]), ("after", self.after, rows[1]))
        return [_half(side, where, row) for side, where, row in named]


def _half(side: str, where: Side, row: sqlite3.Row) -> Half:
    found = where.entry.index.read(row)
    return Half(
        side=side,
        slug=where.entry.slug,
        title=where.title,
        found=found,
        right=None if row["correct"] is None else bool(row["correct"]),
        views=step_views(found, where.entry.run.recipe.pairs),
    )


def _rows(side: Side) -> dict[str, sqlite3.Row]:
    with side.entry.index.connect() as db:
        rows = db.execute("SELECT * FROM trajectory WHERE place = ? ORDER BY id", (side.place,))
        return {row["task"]: row for row in rows}


def _fate(pair: Pair) -> str:
    return _FATES.get((pair[0]["correct"], pair[1]["correct"]), "unscored")
