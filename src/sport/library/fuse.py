"""One list out of several whose scores do not compare."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

K = 60
"""Damps the lead of the first places; the value of the source."""


def fuse(*rankings: Sequence[tuple[str, float]]) -> list[tuple[str, float]]:
    """Reciprocal rank fusion: the sum of ``1 / (K + rank)`` over the lists that hold an item.

    Source: Cormack, Clarke and Buettcher, "Reciprocal Rank Fusion Outperforms Condorcet and
    Individual Rank Learning Methods" (SIGIR 2009).

    Args:
        rankings: Items with their scores, the best first.

    Returns:
        Items with their sums, the best first; of equal ones, that of the lower name.
    """
    sums: dict[str, float] = defaultdict(float)
    for ranking in rankings:
        for rank, (item, _) in enumerate(ranking, start=1):
            sums[item] += 1 / (K + rank)
    return sorted(sums.items(), key=lambda item: (-item[1], item[0]))
