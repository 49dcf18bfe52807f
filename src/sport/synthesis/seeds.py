"""Seeds: the few tasks that others are written like, a user's own or drafted from the tools."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from sport.blobs import BlobStore
from sport.policy.messages import tool_text
from sport.synthesis.asking import Ask, Unusable, messages_of
from sport.synthesis.reading import entries, text_of, tools_of
from sport.tasks import TasksError, load_tasks
from sport.types import Gold, Task

if TYPE_CHECKING:
    from sport.tools.base import Tool

DRAFTED = 10
"""Seeds that are drafted where there are none."""


def load_seeds(file: Path, blobs: BlobStore, tools: Mapping[str, Tool]) -> list[Task]:
    """Reads seeds: lines as tasks have them (:mod:`sport.tasks`).

    Raises:
        TasksError: All that is wrong with them, such as a tool that the recipe does not have.
    """
    seeds = load_tasks(file, blobs)
    problems = [
        f"{file}: the seed {seed.query[:60]!r} names a tool {name!r} that is none of the recipe's: "
        f"{', '.join(tools)}"
        for seed in seeds
        for name in (seed.gold.tools if seed.gold else ())
        if name not in tools
    ]
    if problems:
        raise TasksError(problems)
    return seeds


async def draft_seeds(ask: Ask, tools: Mapping[str, Tool]) -> list[Task]:
    """Has a model draft the first tasks from what the tools can do.

    Raises:
        Unanswered: It did not.
    """
    values = {"tools": "\n\n".join(map(tool_text, tools.values())), "count": str(DRAFTED)}
    return await ask(messages_of("seeds", values), lambda text: _read(text, tools), "seeds")


def _read(text: str, tools: Mapping[str, Tool]) -> list[Task]:
    found = []
    for number, entry in enumerate(entries(text, "tasks"), 1):
        query, names = text_of(entry, "query"), tools_of(entry)
        if query and names and set(names) <= tools.keys():
            gold = Gold(tools=names)
            found.append(Task(id=f"seed-{number}", query=query, gold=gold))
    if not found:
        raise Unusable(
            f"no entry of tasks has a query and tools out of {', '.join(tools)}, which are all"
        )
    return found
