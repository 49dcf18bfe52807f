"""Filling a library: what is known is passed over, what is new is stored batch by batch."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from sport.images import ImageError
from sport.library.embed import Embedder
from sport.library.hashing import NearIndex
from sport.library.pictures import take
from sport.library.place import Place
from sport.library.records import AddReport, Caption, Near, Picture, Skipped
from sport.library.tables import Tables
from sport.types import File

_BATCH = 64
"""Pictures that are written at once, and lost where the process is killed."""

_EMBEDDED = 256


class Filling:
    """One call of :meth:`sport.library.Library.add`.

    Attributes:
        report: What came of it so far.
    """

    def __init__(self, tables: Tables, place: Place, report: AddReport) -> None:
        """Reads what the library holds."""
        self.report = report
        self._tables = tables
        self._place = place
        self._held = tables.pictures()
        self._by_digest = {picture.sha256: picture for picture in self._held}
        self._by_original = {picture.original: picture for picture in self._held}
        self._stored = set(self._by_digest)
        self._near = NearIndex([picture.dhash for picture in self._held])

    def take(
        self,
        pictures: Sequence[tuple[Path, Caption]],
        seen: Callable[[int, int], None] | None = None,
    ) -> None:
        """Stores those pictures that are new or have another caption."""
        for start in range(0, len(pictures), _BATCH):
            batch = [self._one(*item) for item in pictures[start : start + _BATCH]]
            self._write([picture for picture in batch if picture is not None])
            if seen is not None:
                seen(min(start + _BATCH, len(pictures)), len(pictures))

    def embed(self, embedder: Embedder) -> None:
        """Gives a vector to each caption that has none of this model."""
        done = self._tables.with_vectors(embedder.name)
        owed = [p for p in self._by_digest.values() if p.sha256 not in done]
        for start in range(0, len(owed), _EMBEDDED):
            batch = owed[start : start + _EMBEDDED]
            vectors = embedder.embed([picture.caption.text for picture in batch])
            self._tables.add_vectors(embedder.name, [p.sha256 for p in batch], vectors)
            self.report.embedded += len(batch)

    def fresh(self, path: Path, caption: Caption) -> Picture | None:
        """The picture in a file, if it can be used and the library does not hold it."""
        picture = self._look(path, caption)
        if picture is not None and picture.sha256 in self._by_digest:
            self.report.known += 1
            return None
        return picture

    def put(self, pictures: Sequence[Picture]) -> None:
        """Stores pictures that are :meth:`fresh`, in their order."""
        for start in range(0, len(pictures), _BATCH):
            self._write([self._added(picture) for picture in pictures[start : start + _BATCH]])

    def file(self, picture: Picture) -> File:
        """The bytes of a picture that was looked at."""
        return picture.file(self._place.blobs.folder)

    def skip(self, shown: str, reason: str) -> None:
        """Reports a file that is not taken."""
        self.report.skipped.append(Skipped(shown, reason))

    def _one(self, path: Path, caption: Caption) -> Picture | None:
        """The row to write for a file; ``None`` if there is none."""
        picture = self._look(path, caption)
        if picture is None:
            return None
        held = self._by_digest.get(picture.sha256)
        return self._added(picture) if held is None else self._recaptioned(held, path, caption)

    def _look(self, path: Path, caption: Caption) -> Picture | None:
        """The picture in a file: the one that is held, or one that may be new."""
        shown = str(path)
        try:
            with path.open("rb") as stream:
                original = hashlib.file_digest(stream, "sha256").hexdigest()
            held = self._by_original.get(original)
            if held is not None:
                return held
            picture = take(path, shown, original, caption, self._place.blobs)
        except (ImageError, OSError) as error:
            self.skip(shown, str(error))
            return None
        if picture.sha256 in self._by_digest:
            self._by_original[original] = self._by_digest[picture.sha256]
        return picture

    def _added(self, picture: Picture) -> Picture:
        self.report.added += 1
        return self._remember(self._compared(picture))

    def _recaptioned(self, held: Picture, path: Path, caption: Caption) -> Picture | None:
        """A picture that the library holds: it changes only with the file that it came from."""
        if held.caption == caption or held.path != str(path):
            self.report.known += 1
            return None
        self.report.recaptioned += 1
        changed = replace(held, caption=caption)
        self._by_original[held.original] = self._by_digest[held.sha256] = changed
        return changed

    def _compared(self, picture: Picture) -> Picture:
        closest = self._near.closest(picture.dhash)
        if closest is None:
            return picture
        other = self._held[closest[0]]
        self.report.near.append(Near(picture.path, other.path, closest[1]))
        return replace(picture, near=other.sha256)

    def _remember(self, picture: Picture) -> Picture:
        self._held.append(picture)
        self._near.add(picture.dhash)
        self._by_digest[picture.sha256] = self._by_original[picture.original] = picture
        return picture

    def _write(self, pictures: Sequence[Picture]) -> None:
        # Another caption is a row anew. Killed between the two, the file is simply new again.
        stored = [p.sha256 for p in pictures if p.sha256 in self._stored]
        self._tables.remove(stored)
        rows = {picture.sha256: picture for picture in pictures}  # The last caption of a batch.
        self._place.keep([digest for digest in rows if digest not in self._stored])
        self._tables.add(list(rows.values()))
        self._stored |= rows.keys()
