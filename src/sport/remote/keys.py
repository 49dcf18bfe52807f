"""Keys of servers: read from the environment, sent, and never shown."""

from __future__ import annotations

import os
from pathlib import Path

from sport.remote.faults import RemoteError

HIDDEN = "[key]"
"""What stands in the place of a key, wherever a server repeats it."""


class Key:
    """A key that does not show itself.

    Nothing prints, logs or serialises its value; only :meth:`headers` hands it out.
    """

    def __init__(self, value: str = "") -> None:
        """Takes the value; an empty one sends nothing."""
        self._value = value

    @classmethod
    def read(cls, variable: str | None) -> Key:
        """Reads a key from a variable, or from the file that ``<variable>_FILE`` names.

        Raises:
            RemoteError: Neither is set, or the file cannot be read.
        """
        if variable is None:
            return cls()
        value, file = os.environ.get(variable), os.environ.get(f"{variable}_FILE")
        if value is None and file is not None:
            try:
                value = Path(file).read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError) as error:
                raise RemoteError(f"{variable}_FILE: {file} cannot be read ({error})") from None
        if not (value or "").strip():
            raise RemoteError(
                f"key_env: the variable {variable} is not set. Put the key there, or the path of a "
                f"file with it in {variable}_FILE."
            )
        key = (value or "").strip()
        if not key.isascii() or not key.isprintable():
            raise RemoteError(f"key_env: what {variable} holds is no key: it has odd characters")
        return cls(key)

    def headers(self) -> dict[str, str]:
        """The header that carries it."""
        return {"Authorization": f"Bearer {self._value}"} if self._value else {}

    def hide(self, text: str) -> str:
        """A text with every occurrence of the key replaced."""
        return text.replace(self._value, HIDDEN) if self._value else text

    def __repr__(self) -> str:
        return HIDDEN if self._value else "[no key]"
