"""Where in a run a trajectory comes from: a round's exploring, or one evaluation."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

EXPLORED = "trajectories.jsonl"
_EVALUATION = re.compile(r"rounds/(\d+)/eval-([\w-]+)\.jsonl")


class Place(NamedTuple):
    """A set of trajectories of one run, by its name in addresses.

    Attributes:
        name: Such as ``explore-1`` or ``eval-1-test``; letters, digits, ``_``, ``.`` and ``-``.
        title: For people.
    """

    name: str
    title: str


def sources(run: Path) -> Iterator[str]:
    """The run's files of trajectories that are there, relative to its folder."""
    if (run / EXPLORED).is_file():
        yield EXPLORED
    found = (p.relative_to(run).as_posix() for p in run.glob("rounds/*/eval-*.jsonl"))
    numbered = [(int(m[1]), m[2], name) for name in found if (m := _EVALUATION.fullmatch(name))]
    yield from (name for _, _, name in sorted(numbered))


def place_of(source: str, round: int) -> Place:
    """The place of a trajectory.

    Args:
        source: Its file, relative to the run.
        round: Its round.
    """
    match = _EVALUATION.fullmatch(source)
    if match is None:
        return Place(f"explore-{round}", f"round {round}, exploring")
    split, _, rest = match[2].partition("-")
    title = f"round {match[1]}, {split}{f' ({rest})' if rest else ''}"
    return Place(f"eval-{match[1]}-{match[2]}", title)


def title_of(name: str) -> str:
    """The title of a place by its name."""
    kind, round, *rest = name.split("-", 2)
    if kind == "explore":
        return place_of(EXPLORED, int(round)).title
    return place_of(f"rounds/{round}/eval-{rest[0]}.jsonl", int(round)).title
