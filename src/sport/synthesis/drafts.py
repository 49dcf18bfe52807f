"""Tasks in the making: what became of every query that a model wrote.

::

    written -> needs -> files, found or made -> checked -> kept

and from every stage some are dropped, with the reason.
"""

from __future__ import annotations

from typing import Literal

from sport.synthesis.making import Kind
from sport.types import File, Record

KEPT = "kept"
"""The fate of a draft that became a task."""

SPARE = "spare"
"""The fate of one that was good, and one more than were wanted."""


class Need(Record):
    """A file that a query needs.

    Attributes:
        kind: What kind of file; a ``photo`` can only be found, never made.
        description: What it must show, with all facts that the query asks for.
    """

    kind: Literal["photo"] | Kind
    description: str


class Got(Record):
    """Where a draft's file comes from.

    Attributes:
        how: ``found`` in the library, or ``made``.
        similarity: Of the request and the caption of what was found; ``None`` if it was made.
    """

    how: Literal["found", "made"]
    similarity: float | None = None


class Check(Record):
    """What the checking model thought of a draft.

    Attributes:
        query: The query that it saw.
        solvable: Whether the query can be answered with these files and tools.
        needs_files: Whether it needs the files.
        needs_tools: Whether it needs the tools.
        reason: Why, in its own words.
        rewrite: A better query, where it has one.
    """

    query: str
    solvable: bool
    needs_files: bool
    needs_tools: bool
    reason: str = ""
    rewrite: str = ""

    @property
    def good(self) -> bool:
        """Whether all is as it should be."""
        return self.solvable and self.needs_files and self.needs_tools

    @property
    def fault(self) -> str:
        """The first thing that is not, as it is counted."""
        if not self.solvable:
            return "not solvable"
        return "needs no file" if not self.needs_files else "needs no tool"


class Draft(Record):
    """A query on its way to a task.

    Attributes:
        id: Unique within a run.
        query: As it is now.
        written: As it was written first, where it was rewritten since; else ``""``.
        tools: The tools that its author thought of.
        topic: What it was to be about.
        needs: The files that it needs.
        web: What must be looked up; ``""`` if nothing.
        files: Those that it got, one a need.
        got: Where each comes from.
        checks: What the checking model thought, at most twice.
        fate: :data:`KEPT`, :data:`SPARE`, or why it was dropped, in one of a few kinds; ``""``
            while it is under way.
        detail: More on its fate.
    """

    id: str
    query: str
    written: str = ""
    tools: tuple[str, ...] = ()
    topic: str = ""
    needs: tuple[Need, ...] = ()
    web: str = ""
    files: tuple[File, ...] = ()
    got: tuple[Got, ...] = ()
    checks: tuple[Check, ...] = ()
    fate: str = ""
    detail: str = ""

    @property
    def under_way(self) -> bool:
        """Whether it is neither kept nor dropped."""
        return not self.fate

    @property
    def kind(self) -> str:
        """The kinds of its files, such as ``chart+photo``; ``no file`` without any."""
        return "+".join(sorted({need.kind for need in self.needs})) or "no file"

    def ended(self, fate: str, detail: str = "") -> Draft:
        """The draft with its fate."""
        return self.model_copy(update={"fate": fate, "detail": detail})
