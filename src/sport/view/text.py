"""Untrusted text made fit to be shown: nothing hidden in it, and never too much of it."""

from __future__ import annotations

import re

LONGEST = 20_000
"""Characters of one text that a page shows."""

# Control and direction characters could make a page show something else than what was written.
_HIDDEN = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"
)


def shown(text: str) -> str:
    """Text with its control and direction characters made visible."""
    return _HIDDEN.sub(lambda m: f"\\u{ord(m[0]):04x}", text.replace("\r\n", "\n"))


def clip(text: str, limit: int = LONGEST) -> str:
    """The beginning of a text, and how much more there is."""
    return text if len(text) <= limit else f"{text[:limit]}… ({len(text) - limit:,} more)"
