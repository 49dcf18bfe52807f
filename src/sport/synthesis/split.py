"""Which pictures of a library are held out: tasks that are measured on share none with others."""

from __future__ import annotations

from collections.abc import Iterable

from sport.types import derive_seed


def held_out(pictures: Iterable[str], share: float, fewest: int = 0) -> frozenset[str]:
    """The pictures that are held out, by their digests: the same whatever their order.

    Args:
        pictures: The digests of all.
        share: How many of them to hold out.
        fewest: At least so many, if there are.
    """
    ordered = sorted(set(pictures), key=lambda digest: derive_seed("held out", digest))
    return frozenset(ordered[: max(fewest, round(share * len(ordered)))])
