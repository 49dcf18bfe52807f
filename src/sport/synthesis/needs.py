"""Stage 2: what must be in a query's files, and what comes from the web."""

from __future__ import annotations

from sport.synthesis.asking import Ask, Unanswered, Unusable, messages_of
from sport.synthesis.drafts import Draft, Need
from sport.synthesis.queries import KINDS
from sport.synthesis.reading import entries, text_of, with_key

NO_FILE = "needs no file"
"""The fate of a query that no file belongs to."""

MAX_FILES = 5
"""Most files of a task."""


async def with_needs(draft: Draft, ask: Ask, without_files: bool) -> Draft:
    """The draft with what it needs; dropped where that could not be had, or is nothing.

    Args:
        draft: It.
        ask: Whom to ask.
        without_files: Whether a query may need no file.
    """
    values = {"query": draft.query, "names": ", ".join(draft.tools), "kinds": ", ".join(KINDS)}
    try:
        needs, web = await ask(messages_of("needs", values), _read, f"needs {draft.id}")
    except Unanswered as error:
        return draft.ended(f"{error.reason} on its files", str(error))
    if not needs and not without_files:
        return draft.ended(NO_FILE)
    return draft.model_copy(update={"needs": needs, "web": web})


def _read(text: str) -> tuple[tuple[Need, ...], str]:
    found = entries(text, "files")
    if len(found) > MAX_FILES:
        raise Unusable(f'"files" has {len(found)} entries; a task has {MAX_FILES} files at most')
    needs = []
    for entry in found:
        kind, description = entry.get("kind"), text_of(entry, "description")
        if kind not in KINDS:
            raise Unusable(f"the kind {str(kind)[:40]!r} is none of {', '.join(KINDS)}")
        if not description:
            raise Unusable('an entry of "files" has no description')
        needs.append(Need(kind=kind, description=description))
    return tuple(needs), text_of(with_key(text, "files"), "web")
