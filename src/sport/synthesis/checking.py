"""Stage 5: does the query fit its files? A model that sees both keeps, rewrites once, or drops."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING

from sport.policy.messages import tool_text
from sport.synthesis.asking import Ask, Unanswered, messages_of
from sport.synthesis.drafts import Check, Draft
from sport.synthesis.making import as_text
from sport.synthesis.reading import flag, text_of, with_key
from sport.tools.convert import ConversionError

if TYPE_CHECKING:
    from sport.tools.base import Tool

UNREADABLE = "file cannot be read"
"""The fate of a draft with a file that cannot be shown as text."""

TEXT_CHARS = 6000
"""How much of a file that is no picture is shown."""


class Checker:
    """Checks drafts with a vision-language model (paper, section 3.2)."""

    def __init__(self, ask: Ask, tools: Mapping[str, Tool]) -> None:
        """Takes whom to ask, and the tools that tasks may take."""
        self._ask = ask
        self._tools = "\n\n".join(map(tool_text, tools.values()))

    async def check(self, draft: Draft) -> Draft:
        """The draft with what was thought of it, rewritten where that mended it, or dropped."""
        for attempt in (1, 2):
            try:
                found = await self._once(draft, attempt)
            except Unanswered as error:
                return draft.ended(f"{error.reason} on the check", str(error))
            except ConversionError as error:
                return draft.ended(UNREADABLE, str(error))
            draft = draft.model_copy(update={"checks": (*draft.checks, found)})
            if found.good:
                return draft
            if not found.rewrite or attempt == 2:
                break
            draft = draft.model_copy(update={"query": found.rewrite, "written": draft.query})
        return draft.ended(found.fault, found.reason)

    async def _once(self, draft: Draft, attempt: int) -> Check:
        documents = [f for f in draft.files if not f.is_image]
        texts = [await asyncio.to_thread(as_text, f, TEXT_CHARS) for f in documents]
        shown = (f"<{f.name}>\n{t}\n</{f.name}>\n\n" for f, t in zip(documents, texts, strict=True))
        values = {
            "query": draft.query,
            "files": ", ".join(f.name for f in draft.files) or "none",
            "texts": "".join(shown),
            "tools": self._tools,
        }
        images = [f for f in draft.files if f.is_image]

        def read(text: str) -> Check:
            data = with_key(text, "solvable")
            return Check(
                query=draft.query,
                solvable=flag(data, "solvable"),
                needs_files=flag(data, "needs_files") or not draft.files,
                needs_tools=flag(data, "needs_tools"),
                reason=text_of(data, "reason"),
                rewrite=text_of(data, "rewrite"),
            )

        label = f"check {draft.id}, {attempt}"
        return await self._ask(messages_of("check", values, images), read, label)
