"""Which pictures of a library are held out: tasks that are measured on share none with others."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from sport.library import Entry
from sport.types import derive_seed


def held_out(pictures: Iterable[Entry], share: float, fewest: int = 0) -> frozenset[str]:
    """The pictures that are held out, by their digests: the same whatever their order.

    Pictures that nearly equal one another, such as two shots of one scene, stay together, unless
    nearly all do, as scans of like pages may: then one side would have none.

    Args:
        pictures: All.
        share: How many of them to hold out; fewer, where those that stay together are more.
        fewest: At least so many on either side, if there are.
    """
    nearly = {picture.file.sha256: picture.near for picture in pictures}
    alike: defaultdict[str, list[str]] = defaultdict(list)
    for digest in nearly:
        alike[_first(digest, nearly)].append(digest)
    most = max(fewest, round(share * len(nearly)))
    held: set[str] = set()
    for first in sorted(alike, key=lambda digest: derive_seed("held out", digest)):
        if len(held) + len(alike[first]) <= most:
            held |= {*alike.pop(first)}
    for first in sorted(alike, key=lambda digest: len(alike[digest])):
        if len(held) < fewest:
            held |= {*alike[first]}
    if most and (not held or len(nearly) - len(held) < fewest):
        held = {*sorted(nearly, key=lambda digest: derive_seed("held out", digest))[:most]}
    return frozenset(held)


def _first(digest: str, nearly: dict[str, str]) -> str:
    """The earliest picture that one nearly equals, from one to the next."""
    seen = {digest}
    while (other := nearly[digest]) in nearly and other not in seen:
        seen.add(other)
        digest = other
    return digest
