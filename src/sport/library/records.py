"""What a library of pictures holds, finds and reports."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from sport.types import File


class LibraryError(RuntimeError):
    """A library cannot be opened, filled or searched; says why and what would mend it."""


@dataclass(frozen=True)
class Caption:
    """What a picture shows, in words, and where it comes from.

    Attributes:
        text: The words; never empty in a library.
        source: Where the picture comes from, such as an address; ``""`` if nobody said.
        licence: Under which terms; ``""`` if nobody said.
    """

    text: str = ""
    source: str = ""
    licence: str = ""


@dataclass(frozen=True)
class Picture:
    """One picture of a library.

    Attributes:
        sha256: Address of the stored bytes (an RGB PNG).
        original: SHA-256 of the file that it was taken from.
        path: That file, as the user called it.
        caption: What it shows.
        width: Pixels.
        height: Pixels.
        dhash: Its perceptual hash (:func:`sport.library.hashing.dhash`).
        near: ``sha256`` of an earlier picture that it nearly equals; ``""`` if there is none.
    """

    sha256: str
    original: str
    path: str
    caption: Caption
    width: int
    height: int
    dhash: int
    near: str = ""

    def file(self, blobs: Path) -> File:
        """The record that a task can carry, of bytes that lie in ``blobs``."""
        return File(
            name=f"{Path(self.path).stem}.png",
            sha256=self.sha256,
            media_type="image/png",
            source=self.path,
            caption=self.caption.text,
            blobs=blobs,
        )


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A picture with its caption.

    Attributes:
        file: The picture.
        caption: What it shows.
        source: Where the picture comes from.
        licence: Under which terms.
        near: ``sha256`` of an earlier picture that it nearly equals; ``""`` if there is none.
    """

    file: File
    caption: str
    source: str = ""
    licence: str = ""
    near: str = ""


@dataclass(frozen=True, kw_only=True)
class Hit(Entry):
    """A picture that a search found.

    Attributes:
        score: What the hits are ordered by, higher is better: BM25 in the mode ``text``, cosine
            similarity in ``dense``, the sum of reciprocal ranks in ``hybrid``. Only the order of
            one search means anything in ``text`` and ``hybrid``.
        similarity: Cosine similarity of caption and request, in [-1, 1]; ``None`` without an
            embedding model.
    """

    score: float
    similarity: float | None


@dataclass(frozen=True)
class Skipped:
    """A file that was not taken in, and why."""

    path: str
    reason: str


@dataclass(frozen=True)
class Near:
    """A picture that was taken in although the library holds one that nearly equals it.

    Attributes:
        path: The new one.
        other: The earlier one.
        distance: Bits in which their perceptual hashes differ, 0 to 64.
    """

    path: str
    other: str
    distance: int


@dataclass
class AddReport:
    """What came of filling a library.

    Attributes:
        added: Pictures that are new.
        known: Pictures that the library held already, or that came twice.
        recaptioned: Pictures whose caption, source or licence changed since they were added.
        embedded: Captions that got a vector.
        written: Captions that a model wrote now.
        near: New pictures that nearly equal another; they are kept.
        skipped: Files that were not taken.
    """

    added: int = 0
    known: int = 0
    recaptioned: int = 0
    embedded: int = 0
    written: int = 0
    near: list[Near] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)

    def told(self, most: int | None = None) -> list[str]:
        """The counts in a line, and a line for each picture that there is something to say of.

        Args:
            most: How many of these at most, and how to see the others is said.
        """
        counts = {
            "added": self.added,
            "in already": self.known,
            "with another caption": self.recaptioned,
            "captions written": self.written,
            "embedded": self.embedded,
            "near-duplicates": len(self.near),
            "skipped": len(self.skipped),
        }
        lines = [
            *(f"nearly equal ({n.distance} of 64 bits): {n.path} and {n.other}" for n in self.near),
            *(f"skipped {skipped.path}: {skipped.reason}" for skipped in self.skipped),
        ]
        rest = len(lines) - (len(lines) if most is None else most)
        more = [f"… and {rest} more; `sport images add … --all` names them"] if rest > 0 else []
        summary = ", ".join(f"{count} {name}" for name, count in counts.items())
        return [summary, *lines[:most], *more]


@dataclass(frozen=True)
class Stats:
    """What a library holds.

    Attributes:
        pictures: Pictures, each with a caption.
        near: Those that nearly equal an earlier one.
        licences: Pictures by licence; ``""`` counts those of which nobody said.
        words: Mean length of a caption.
        vectors: Captions with a vector, by embedding model.
        bytes: Size of the folder.
    """

    pictures: int
    near: int
    licences: dict[str, int]
    words: float
    vectors: dict[str, int]
    bytes: int
