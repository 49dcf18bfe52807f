"""Secrets of this process's environment, kept out of what models, logs and pages see."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Self

from pydantic import JsonValue

from sport.remote.keys import HIDDEN

_NAME = re.compile(
    r"(?:^|_)(?:(?:api|access|auth)?(?:key|token)|secret|passw(?:or)?d|passphrase|credential|auth)s?"
    r"(?:_|$)",
    re.IGNORECASE,
)
_SHORTEST = 8
"""Characters of a value that is taken for a secret by its variable's name alone."""

_READ, _TOLD = 20_000, 1_000

# What an exception may hold although no variable does: keys by their looks, and in addresses.
_LOOKS = re.compile(
    r"""(?P<before> (?<=://) [^/\s:@]* : (?=[^/\s@]*@) | \b(?:bearer|basic)\s+
        | [?&][\w-]*(?:key|token|secret|sig)[\w-]*=
        | \b(?:api[_-]?key|password|passwd|secret|access[_-]?token)["']?\s*[=:]\s*["']? )
        (?P<secret> [^\s"'&@,;]{4,} )
      | \b(?:sk|pk|rk)-[\w-]{16,} | \bgh[opsu]_\w{20,} | \bhf_\w{20,} | \bAKIA[0-9A-Z]{16}\b
      | \bxox[abp]-[\w-]{10,} | \beyJ[\w-]{10,}\.[\w-]{10,}\.[\w-]*""",
    re.IGNORECASE | re.VERBOSE,
)


class Secrets:
    """Values that must not be shown; it does not show them itself."""

    def __init__(self, values: Iterable[str] = ()) -> None:
        """Takes the values; short ones would hide half of every text and are left out."""
        # The longest first: one may be a part of another.
        self._values = sorted(
            {v.strip() for v in values if len(v.strip()) > 3}, key=len, reverse=True
        )

    @classmethod
    def of_environment(cls, names: Iterable[str] = ()) -> Self:
        """The values of the variables that are named, and of those whose names say secret.

        Where a variable that is named is not set, the file that ``<name>_FILE`` names is read.
        """
        named = {name: _value(name) for name in names}
        looks = {k: v for k, v in os.environ.items() if _NAME.search(k) and not _is_path(v.strip())}
        return cls(
            value
            for name, value in {**looks, **named}.items()
            if name in named or len(value.strip()) >= _SHORTEST
        )

    def hide(self, text: str) -> str:
        """A text with every occurrence of a value replaced."""
        for value in self._values:
            if value in text:
                text = text.replace(value, HIDDEN)
        return text

    def hide_in_error(self, text: str) -> str:
        """As :meth:`hide`, and whatever looks like a secret, too; the beginning of a long text."""
        # What is cut here in the middle of a secret is cut again below, behind it.
        text = self.hide(text[:_READ])
        return _LOOKS.sub(lambda found: (found["before"] or "") + HIDDEN, text)[:_TOLD]

    def clean(self, value: JsonValue) -> JsonValue:
        """A JSON value whose texts are without secrets."""
        if isinstance(value, str):
            return self.hide(value)
        if isinstance(value, dict):
            return {self.hide(k): self.clean(v) for k, v in value.items()}
        if isinstance(value, list):
            return [self.clean(v) for v in value]
        return value

    def __repr__(self) -> str:
        return f"<{len(self._values)} secrets>"


def _value(name: str) -> str:
    file = os.environ.get(f"{name}_FILE")
    if name not in os.environ and file is not None:
        with suppress(OSError, UnicodeDecodeError):
            return Path(file).read_text(encoding="utf-8").strip()
    return os.environ.get(name, "").strip()


def _is_path(value: str) -> bool:
    """Whether it is a path, such as that of a socket or of a file with a key."""
    return value.startswith("/") and os.path.exists(value)
