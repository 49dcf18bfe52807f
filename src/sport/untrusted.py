"""Untrusted text made fit to be shown: nothing hidden in it, and never too much of it."""

from __future__ import annotations

import re

LONGEST = 20_000
"""Characters of one text that a page shows."""

# Control and direction characters could make a page show something else than what was written.
_HIDDEN = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff"
    r"\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f]"
)


# What drives a terminal, or is no character: text itself loses nothing by it.
_DRIVES = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]|\r(?!\n)")


def fit(text: str) -> str:
    """Text from outside for a prompt: what would drive a terminal is made visible."""
    return text if text.isprintable() else _DRIVES.sub(_escaped, text)


def shown(text: str) -> str:
    """Text with its control and direction characters made visible."""
    return _HIDDEN.sub(_escaped, text.replace("\r\n", "\n"))


def _escaped(found: re.Match[str]) -> str:
    number = ord(found[0])
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"


def clip(text: str, limit: int = LONGEST) -> str:
    """The beginning of a text, and how much more there is."""
    return text if len(text) <= limit else f"{text[:limit]}… ({len(text) - limit:,} more)"
