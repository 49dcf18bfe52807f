"""Figures on what was synthesised: how much was kept and why not, and how varied it is."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import combinations
from statistics import median

import numpy as np
from numpy.typing import NDArray

from sport.synthesis.drafts import KEPT, SPARE, Draft
from sport.types import Record

_WORD = re.compile(r"\w+")

Embed = Callable[[Sequence[str]], NDArray[np.float32]]
"""Turns texts into vectors of length 1."""


class Spread(Record):
    """How varied some queries are.

    Attributes:
        words: Words of a query, at the median.
        shortest: Words of the shortest.
        longest: Words of the longest.
        distinct_1: Different words, as a share of all words (distinct-1).
        distinct_2: Different pairs of words, as a share of all pairs (distinct-2).
        distance: Mean cosine distance of two queries; ``None`` without an embedding model.
    """

    words: float
    shortest: int
    longest: int
    distinct_1: float
    distinct_2: float
    distance: float | None = None


class Figures(Record):
    """What came of the drafts of one round.

    Attributes:
        wanted: Tasks that were wanted.
        drafts: Drafts that there were.
        fates: How many of them met which fate.
        rewritten: Kept ones whose query was rewritten.
        tools: Kept ones, by the tools that they were written for.
        pairs: Kept ones, by two tools of theirs.
        kinds: Kept ones, by the kinds of their files.
        got: Files of kept ones that were found, and made.
        uses: How many pictures of the library were used how often.
        similarity: Of what was wanted and found, at the median; ``None`` where nobody knows.
        tasks: How varied the kept ones are; ``None`` where there are none.
        seeds: How varied the seeds are.
        from_seeds: Mean cosine distance of a kept query to the nearest seed; ``None`` without an
            embedding model.
    """

    wanted: int
    drafts: int
    fates: Mapping[str, int]
    rewritten: int
    tools: Mapping[str, int]
    pairs: Mapping[str, int]
    kinds: Mapping[str, int]
    got: Mapping[str, int]
    uses: Mapping[int, int]
    similarity: float | None
    tasks: Spread | None
    seeds: Spread | None
    from_seeds: float | None = None


def figures_of(
    drafts: Sequence[Draft], wanted: int, seeds: Sequence[str], embed: Embed | None = None
) -> Figures:
    """The figures of a round's drafts, and of the seeds that they were written like."""
    kept = [draft for draft in drafts if draft.fate == KEPT]
    queries = [draft.query for draft in kept]
    got = [(file, how) for d in kept for file, how in zip(d.files, d.got, strict=True)]
    used = Counter(file.sha256 for file, how in got if how.how == "found")
    near = [how.similarity for _, how in got if how.similarity is not None]
    vectors = (embed(queries), embed(seeds)) if embed and queries and seeds else None
    return Figures(
        wanted=wanted,
        drafts=len(drafts),
        fates=_counted(draft.fate for draft in drafts),
        rewritten=sum(bool(draft.written) for draft in kept),
        tools=_counted(tool for d in kept for tool in d.tools),
        pairs=_counted(" + ".join(p) for d in kept for p in combinations(sorted(d.tools), 2)),
        kinds=_counted(draft.kind for draft in kept),
        got=_counted(how.how for _, how in got),
        uses=dict(sorted(Counter(used.values()).items())),
        similarity=median(near) if near else None,
        tasks=_spread(queries, vectors[0] if vectors else None),
        seeds=_spread(seeds, vectors[1] if vectors else None),
        from_seeds=float((1 - (vectors[0] @ vectors[1].T).max(1)).mean()) if vectors else None,
    )


def in_words(found: Figures) -> str:
    """What came of the drafts, in one line."""
    kept = found.fates.get(KEPT, 0)
    others = [f"{n} {fate}" for fate, n in found.fates.items() if fate not in (KEPT, SPARE)]
    told = f"{kept} of {found.wanted} tasks out of {found.drafts} drafts"
    told += f", {found.rewritten} of them rewritten" if found.rewritten else ""
    told += f"; dropped: {', '.join(others)}" if others else ""
    if 0 < kept < found.wanted:
        told += (
            ". Fewer were kept than wanted: more waves, more seeds, or a library or model that "
            "fits them better may help"
        )
    return told


def _counted(values: Iterable[str]) -> dict[str, int]:
    return dict(Counter(values).most_common())


def _spread(texts: Sequence[str], vectors: NDArray[np.float32] | None) -> Spread | None:
    words = [_WORD.findall(text.casefold()) for text in texts]
    if not any(words):
        return None
    pairs = [pair for its in words for pair in zip(its, its[1:], strict=False)]
    every = [word for its in words for word in its]
    lengths = [len(its) for its in words]
    return Spread(
        words=median(lengths),
        shortest=min(lengths),
        longest=max(lengths),
        distinct_1=len(set(every)) / len(every),
        distinct_2=len(set(pairs)) / max(1, len(pairs)),
        distance=_distance(vectors),
    )


def _distance(vectors: NDArray[np.float32] | None) -> float | None:
    """The mean of 1 - cosine over all pairs of different rows."""
    n = 0 if vectors is None else len(vectors)
    if vectors is None or n < 2:
        return None
    total = float(vectors.sum(0) @ vectors.sum(0))
    return 1 - (total - n) / (n * (n - 1))
