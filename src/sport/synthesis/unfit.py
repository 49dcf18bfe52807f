"""Why a file that untrusted code made is not taken in."""

from __future__ import annotations


class Unfit(ValueError):
    """A file is not taken in. The message says why, in words that its maker can use.

    Attributes:
        reason: One of a few kinds, which are counted: ``empty file``, ``too large``, ``wrong kind
            of file``, ``broken file``, ``active content`` or ``formulas``.
    """

    def __init__(self, reason: str, detail: str) -> None:
        """Takes the kind, and what was seen."""
        super().__init__(detail)
        self.reason = reason
