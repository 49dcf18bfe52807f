"""Reading JSON out of models' answers: tolerant of prose around it, strict about its content."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sport.synthesis.asking import Unusable
from sport.untrusted import clip, fit
from sport.verify.replies import objects

MAX_QUERY = 2000
"""Longest query, in characters."""

LONGEST = 200_000
"""Longest answer that is searched for JSON, in characters: far more than any that is of use."""

_NAME = 80
"""Characters that are kept of a tool's name: a model may write anything there."""


def with_key(text: str, key: str) -> dict[str, Any]:
    """The last JSON object of a text that has a key.

    Raises:
        Unusable: There is none, or the text is far too long.
    """
    if len(text) > LONGEST:
        raise Unusable(f"it has {len(text):,} characters; {LONGEST:,} are the most")
    found = [data for data in objects(text) if key in data]
    if not found:
        raise Unusable(f'there is no JSON object with the key "{key}" in {text[:200]!r}')
    return found[-1]


def entries(text: str, key: str) -> list[Mapping[str, Any]]:
    """The objects in the list that a text has under a key; an empty one for what is none.

    Raises:
        Unusable: There is no such list.
    """
    value = with_key(text, key)[key]
    if not isinstance(value, list):
        raise Unusable(f'"{key}" is {str(value)[:80]!r}; it must be a list of objects')
    return [entry if isinstance(entry, dict) else {} for entry in value]


def text_of(entry: Mapping[str, Any], key: str) -> str:
    """A text in one line; ``""`` where there is none that can be used.

    One that is too long cannot, and none with what drives a terminal or is no character.
    """
    value = entry.get(key)
    if not isinstance(value, str):
        return ""
    line = " ".join(value.split())
    return line if len(line) <= MAX_QUERY and fit(line) == line else ""


def tools_of(entry: Mapping[str, Any]) -> tuple[str, ...]:
    """The names under ``tools``, each once, without ``final_answer``."""
    value = entry.get("tools")
    found = [n for n in value if isinstance(n, str)] if isinstance(value, list) else []
    names = [fit(clip(name, _NAME)) for name in found]
    return tuple(n for n in dict.fromkeys(names) if n != "final_answer")


def flag(entry: Mapping[str, Any], key: str) -> bool:
    """A yes or no.

    Raises:
        Unusable: It is neither.
    """
    value = entry.get(key)
    if not isinstance(value, bool):
        raise Unusable(f'"{key}" is {str(value)[:80]!r}; it must be true or false')
    return value
