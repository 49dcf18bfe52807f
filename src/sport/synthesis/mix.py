"""What is wanted more and what less: the curriculum of later rounds.

What the controller solves sometimes teaches most: there are good and bad candidates to choose
among. What it always or never solves gives verdicts with nothing to learn from.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from sport.types import Record

FLOOR = 0.25
"""Least weight: nothing is forgotten altogether."""


class Results(Record):
    """How the controller did on what is called by one name.

    Attributes:
        solved: Tasks that it solved.
        tasks: Tasks that there were.
    """

    solved: int = 0
    tasks: int = 0

    @property
    def weight(self) -> float:
        """From :data:`FLOOR` (always or never) to 1 (every other time); 1 where nothing is known.

        The share is drawn towards a half by one task of each kind (Laplace), so that a single
        result does not decide.
        """
        share = (self.solved + 1) / (self.tasks + 2)
        return max(FLOOR, 4 * share * (1 - share))


class Mix(Record):
    """Results by tool and by kind of files, and what follows from them.

    Attributes:
        tools: By the tools that tasks were written for.
        kinds: By the kinds of their files.
    """

    tools: Mapping[str, Results] = {}
    kinds: Mapping[str, Results] = {}

    def draw_tools(self, names: Sequence[str], count: int, rng: random.Random) -> list[str]:
        """Some tools, each at most once."""
        return _draw(names, self.tools, count, rng)

    def draw_kinds(self, names: Sequence[str], count: int, rng: random.Random) -> list[str]:
        """Some kinds of files, each at most once."""
        return _draw(names, self.kinds, count, rng)


def mix_of(done: Iterable[tuple[Iterable[str], Iterable[str], bool]]) -> Mix:
    """The mix that follows from tasks that were explored.

    Args:
        done: For each, the tools that it was written for, the kinds of its files, and whether it
            was solved.
    """
    tools: defaultdict[str, list[bool]] = defaultdict(list)
    kinds: defaultdict[str, list[bool]] = defaultdict(list)
    for its_tools, its_kinds, solved in done:
        for name in its_tools:
            tools[name].append(solved)
        for name in its_kinds:
            kinds[name].append(solved)
    return Mix(tools=_summed(tools), kinds=_summed(kinds))


def _summed(found: Mapping[str, list[bool]]) -> dict[str, Results]:
    return {k: Results(solved=sum(v), tasks=len(v)) for k, v in sorted(found.items())}


def _draw(
    names: Sequence[str], results: Mapping[str, Results], count: int, rng: random.Random
) -> list[str]:
    """Draws without putting back, by weight."""
    left = {name: results.get(name, Results()).weight for name in names}
    drawn: list[str] = []
    while left and len(drawn) < count:
        [name] = rng.choices(list(left), list(left.values()))
        drawn.append(name)
        del left[name]
    return drawn
