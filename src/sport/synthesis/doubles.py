"""Stage 6: near-duplicates, by the pairs of words that two queries share.

Sets of pairs are compared exactly (Jaccard), and only with queries that share one: that is quick
for tens of thousands, and misses none, as hashing would.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict

_WORD = re.compile(r"\w+")


class Doubles:
    """Queries that are known, and the question whether another one is like them."""

    def __init__(self, max_overlap: float) -> None:
        """Takes the largest Jaccard similarity that is not yet a near-duplicate's."""
        self._most = max_overlap
        self._sizes: dict[str, int] = {}
        self._holders: defaultdict[tuple[str, str], list[str]] = defaultdict(list)

    def add(self, query: str) -> None:
        """Makes a query known."""
        if query not in self._sizes:
            pairs = _pairs(query)
            self._sizes[query] = len(pairs)
            for pair in pairs:
                self._holders[pair].append(query)

    def like(self, query: str, but: str = "") -> str | None:
        """The known query, ``but`` one, that another is most like, if it is a near-duplicate."""
        pairs = _pairs(query)
        shared = Counter(other for pair in pairs for other in self._holders.get(pair, ()))
        del shared[but]
        best, most = None, self._most
        for other, count in shared.items():
            overlap = count / (len(pairs) + self._sizes[other] - count)
            if overlap > most or (overlap == 1 and best is None):
                best, most = other, overlap
        return best


def _pairs(query: str) -> set[tuple[str, str]]:
    words = ["", *_WORD.findall(query.casefold()), ""]
    return set(zip(words, words[1:], strict=False))
