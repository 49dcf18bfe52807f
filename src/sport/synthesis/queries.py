"""Stage 1: queries, in batches, each request with other seeds, tools, topics and difficulty."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, get_args

from sport.policy.messages import tool_text
from sport.synthesis.asking import Ask, Unusable, messages_of
from sport.synthesis.config import LLMSettings
from sport.synthesis.drafts import Draft
from sport.synthesis.making import Kind
from sport.synthesis.mix import Mix
from sport.synthesis.reading import entries, text_of, tools_of
from sport.types import Task, derive_seed
from sport.untrusted import clip

if TYPE_CHECKING:
    from sport.tools.base import Tool

KINDS = ("photo", *get_args(Kind))
"""Kinds of files that tasks can be over."""

UNKNOWN_TOOL = "unknown tool"
"""The fate of a draft for a tool that the recipe does not have."""

NO_TOOL = "no tool"
"""The fate of one that names none."""

NO_QUERY = "no query"
"""The fate of an entry without a text that can be asked."""

SURPLUS = "more than were asked for"
"""The fate of all queries of one answer beyond those that it was asked for."""

_TOPICS = 4
_KINDS = 3


class Writer:
    """Writes queries like some seeds, for the recipe's tools."""

    def __init__(
        self,
        ask: Ask,
        settings: LLMSettings,
        tools: Mapping[str, Tool],
        seeds: Sequence[Task],
        mix: Mix,
    ) -> None:
        """Takes whom to ask, what is wanted, and what it is to be like."""
        self._ask, self._settings, self._tools = ask, settings, tools
        self._seeds, self._mix = seeds, mix
        kinds = KINDS if settings.make_files else ("photo",)
        self._kinds = kinds if settings.finds else kinds[1:]

    async def write(self, name: str, seed: int) -> list[Draft]:
        """One request's drafts; those without a query or a tool of the recipe's are dropped.

        Args:
            name: What their ids begin with.
            seed: Of what the request shows and wants.

        Raises:
            Unanswered: Nothing that can be used was answered.
        """
        rng = random.Random(seed)
        settings = self._settings
        number = rng.choice(settings.tools_per_task)
        topics = rng.sample(settings.topics, min(_TOPICS, len(settings.topics)))
        examples = rng.sample(self._seeds, min(settings.examples, len(self._seeds)))
        values = {
            "tools": "\n\n".join(map(tool_text, self._tools.values())),
            "examples": "\n".join(f"- {_shown(seed)}" for seed in examples),
            "count": str(settings.batch),
            "number": str(number),
            "steps": str(number + 1),
            "wanted": ", ".join(self._mix.draw_tools([*self._tools], number, rng)),
            "kinds": ", ".join(self._mix.draw_kinds(self._kinds, _KINDS, rng)),
            "topics": ", ".join(topics),
        }
        found = await self._ask(messages_of("queries", values), _read, f"queries {name}")
        drafts = [
            self._draft(f"{name}-{place:02d}", query, tools, ", ".join(topics))
            for place, (query, tools) in enumerate(found[: settings.batch])
        ]
        if (more := len(found) - settings.batch) > 0:
            lost = Draft(id=f"{name}-{settings.batch:02d}", query="")
            drafts.append(lost.ended(SURPLUS, f"{more:,} of one answer"))
        return drafts

    def _draft(self, id: str, query: str, tools: tuple[str, ...], topic: str) -> Draft:
        draft = Draft(id=id, query=query, tools=tools, topic=topic)
        if not query:
            return draft.ended(NO_QUERY)
        if not tools:
            return draft.ended(NO_TOOL)
        unknown = [name for name in tools if name not in self._tools]
        return draft.ended(UNKNOWN_TOOL, clip(", ".join(unknown), 500)) if unknown else draft


def request_seed(seed: int, wave: int, number: int) -> int:
    """The seed of one request."""
    return derive_seed(seed, "queries", wave, number)


def _shown(seed: Task) -> str:
    tools = ", ".join(seed.gold.tools) if seed.gold else ""
    return f"{seed.query} ({tools})" if tools else seed.query


def _read(text: str) -> list[tuple[str, tuple[str, ...]]]:
    found = [(text_of(entry, "query"), tools_of(entry)) for entry in entries(text, "tasks")]
    if not any(query for query, _ in found):
        raise Unusable('no entry of "tasks" has a query, a text that is not empty')
    return found
