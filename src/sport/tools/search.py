"""``ask_search_agent``: full-text search over documents on this machine (SQLite FTS5)."""

from __future__ import annotations

import re
import sqlite3
import threading
from collections.abc import Callable, Iterable
from functools import lru_cache

NO_RESULTS = "No results found."
_HITS, _LONGEST = 2, 500
_STOP_WORDS = frozenset(
    """a about an and are as at be by can do does for from has have how i in is it its me much
    of on or that the their there this to was were what when where which will with
    you""".split()
)


def search_tool(documents: Iterable[tuple[str, str]]) -> Callable[[str], str]:
    """Makes an ``ask_search_agent`` that searches the given documents.

    Args:
        documents: Pairs of title and text. The title is searched too, and shown where there is
            one; long texts should come in passages, since a hit shows its first 500 characters.
    """
    index = Index(documents)

    def ask_search_agent(query: str) -> str:
        """Searches documents and returns the passages that fit a query best.

        Args:
            query: What to look for, such as "price of green apples at Old Town".

        Returns:
            Up to two passages, one a line, the best first; "No results found." if none fits.
        """
        found = index.find(query, _HITS)
        return "\n".join(_line(title, text) for _, title, text in found) or NO_RESULTS

    return ask_search_agent


@lru_cache(maxsize=1)
def pocket_search() -> Callable[[str], str]:
    """The search over the pocket world's price lists; built once a process."""
    from sport.pocket.corpus import documents

    # The texts repeat their titles word for word.
    return search_tool(("", text) for _, text in documents())


class Index:
    """An index in memory; calls may come from any thread."""

    def __init__(self, documents: Iterable[tuple[str, str]]) -> None:
        """Takes pairs of title and text."""
        self._lock = threading.Lock()
        self._database = sqlite3.connect(":memory:", check_same_thread=False)
        self._database.execute(
            "CREATE VIRTUAL TABLE pages USING fts5(title, text, tokenize='porter unicode61')"
        )
        self._database.executemany("INSERT INTO pages VALUES (?, ?)", documents)
        self._database.commit()

    def find(self, query: str, most: int) -> list[tuple[int, str, str]]:
        """The documents that fit a query best, best first: number from 0, title and text."""
        words = [w for w in re.findall(r"\w+", query.lower()) if w not in _STOP_WORDS]
        if not words:
            return []
        # Quoted words are literals to FTS5: nothing of its query language gets through.
        match = " OR ".join(f'"{word}"' for word in words)
        with self._lock:
            rows = self._database.execute(
                "SELECT rowid - 1, title, text FROM pages WHERE pages MATCH ? "
                "ORDER BY bm25(pages), rowid LIMIT ?",
                (match, most),
            ).fetchall()
        return [(int(number), str(title), str(text)) for number, title, text in rows]


def _line(title: str, text: str) -> str:
    line = " ".join(f"{title}: {text}".split() if title else text.split())
    return line if len(line) <= _LONGEST else line[: _LONGEST - 1] + "…"
