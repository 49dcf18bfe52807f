"""A library of captioned pictures: filled from folders, searched in words."""

from __future__ import annotations

import fcntl
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from sport.blobs import BlobStore
from sport.library.describe import CaptionWriter, Describing
from sport.library.embed import Embedder, SentenceFolder
from sport.library.fill import Filling
from sport.library.fuse import fuse
from sport.library.records import AddReport, Hit, LibraryError, Picture, Stats
from sport.library.scan import scan
from sport.library.tables import Tables

Mode = Literal["text", "dense", "hybrid"]

DEFAULT: Mode = "dense"
"""How a library with an embedding model is searched: the best of the three on the development half
of ``benchmarks/retrieval.py``."""

_POOL = 100
"""How deep each list goes into a fusion."""


class Library:
    """A folder of pictures that are found by their captions.

    Words are always searched; with an embedding model, meaning is as well. The folder may be read
    while another process fills it.
    """

    def __init__(self, tables: Tables, embedder: Embedder | None = None) -> None:
        """Use :meth:`open`."""
        self._tables = tables
        self._folder = tables.folder.parent
        self._embedder = embedder
        self._blobs = BlobStore(self._folder / "blobs")

    @classmethod
    def open(cls, folder: Path, embedder: Embedder | Path | None = None) -> Library:
        """Opens a library, which need not exist before something is added.

        Args:
            folder: Where it lies.
            embedder: An embedding model, or the folder of a sentence-transformers one.

        Raises:
            LibraryError: LanceDB is missing, or a folder is not what it should be.
        """
        if isinstance(embedder, Path):
            embedder = SentenceFolder(embedder)
        return cls(Tables(Path(folder).absolute() / "tables"), embedder)

    def add(
        self,
        paths: Sequence[Path],
        seen: Callable[[int, int], None] | None = None,
        writer: CaptionWriter | None = None,
    ) -> AddReport:
        """Takes pictures in, each once, and brings the index up to date.

        An interrupted call loses at most the pictures of its last second or so; the same call
        goes on where it stopped.

        Args:
            paths: Folders, with all below them, and single pictures.
            seen: Told, now and then, how many pictures of how many were looked at.
            writer: Writes captions for pictures that have none. Each is stored when it came, so
                the same call never asks for it again; pictures that it failed for are skipped.

        Raises:
            LibraryError: A path does not exist, or another process fills the library.
            RemoteError: A server refuses, or is down; what was done is kept.
        """
        found = scan([Path(path) for path in paths], self._folder)
        with self._locked():
            filling = Filling(self._tables, self._blobs, AddReport(skipped=found.skipped))
            filling.take(found.pictures, seen)
            Describing(filling, self._folder / "captions.jsonl", writer).take(found.bare, seen)
            if self._embedder is not None:
                filling.embed(self._embedder)
            self._tables.settle()
        return filling.report

    def search(
        self,
        text: str,
        n: int = 10,
        min_similarity: float | None = None,
        mode: Mode | None = None,
    ) -> list[Hit]:
        """The pictures whose captions fit a request, the best first.

        Args:
            text: The request, in words.
            n: Most hits.
            min_similarity: Least cosine similarity of caption and request; without it, the best
                are returned however bad they are.
            mode: By words (``text``), by meaning (``dense``) or by both; :data:`DEFAULT` if left
                out and there is an embedding model, else ``text``.

        Raises:
            LibraryError: The library is empty; the request is; or it needs an embedding model, or
                vectors, that there are none of.
        """
        self._check(text, n, min_similarity, mode)
        if self._embedder is None:
            words = self._tables.by_words(text, n)
            return self._hits(words, {})
        mode = mode or DEFAULT
        model = self._embedder.name
        [vector] = self._embedder.embed([text], request=True)
        pool = max(_POOL, n)
        words = self._tables.by_words(text, pool) if mode != "dense" else []
        near = self._tables.by_nearness(model, vector, pool) if mode != "text" else []
        ranked = {"text": words, "dense": near, "hybrid": fuse(words, near)}[mode]
        similarity = dict(near)
        # Without a threshold only those that are returned need one.
        asked = ranked if min_similarity is not None else ranked[:n]
        missing = [digest for digest, _ in asked if digest not in similarity]
        similarity |= self._tables.similarities(model, vector, missing)
        if min_similarity is not None:
            ranked = [item for item in ranked if similarity.get(item[0], -1) >= min_similarity]
        return self._hits(ranked[:n], similarity)

    def stats(self) -> Stats:
        """What the library holds.

        Raises:
            LibraryError: It is empty.
        """
        self._check_filled()
        pictures = self._tables.pictures()
        return Stats(
            pictures=len(pictures),
            near=sum(bool(picture.near) for picture in pictures),
            licences=dict(Counter(picture.caption.licence for picture in pictures).most_common()),
            words=sum(len(p.caption.text.split()) for p in pictures) / max(1, len(pictures)),
            vectors={model: self._tables.count_vectors(model) for model in self._tables.models()},
            bytes=sum(file.stat().st_size for file in self._folder.rglob("*") if file.is_file()),
        )

    def _hits(self, ranked: Sequence[tuple[str, float]], similarity: dict[str, float]) -> list[Hit]:
        if not ranked:
            return []
        rows: dict[str, Picture] = self._tables.find([digest for digest, _ in ranked])
        return [
            Hit(
                file=rows[digest].file(self._blobs.folder),
                caption=rows[digest].caption.text,
                score=score,
                similarity=similarity.get(digest),
                source=rows[digest].caption.source,
                licence=rows[digest].caption.licence,
            )
            for digest, score in ranked
            if digest in rows  # Deleted meanwhile by a process that gives it another caption.
        ]

    def _check_filled(self) -> None:
        if self._tables.empty:
            raise LibraryError(
                f"{self._folder} holds no library of pictures. Fill one with: "
                f"sport images add DIR --library {self._folder}"
            )

    def _check(self, text: str, n: int, min_similarity: float | None, mode: Mode | None) -> None:
        self._check_filled()
        if not text.strip():
            raise LibraryError("The request is empty. Say in words what the picture shows.")
        if n < 1:
            raise LibraryError(f"n must be at least 1, not {n}.")
        if self._embedder is None:
            if min_similarity is not None or mode not in (None, "text"):
                what = "A least similarity" if min_similarity is not None else f"The mode {mode}"
                raise LibraryError(f"{what} needs an embedding model. Name one with --embedder.")
            return
        if self._embedder.name not in self._tables.models():
            others = ", ".join(self._tables.models()) or "none"
            raise LibraryError(
                f"{self._folder} has no vectors of the model {self._embedder.name} (it has: "
                f"{others}). Add the pictures again with this model, or search without one."
            )

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Keeps other processes from filling the library meanwhile."""
        self._folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(self._folder / "library.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise LibraryError(
                    f"{self._folder} is being filled by another process. Wait for it or stop it; "
                    "searching works meanwhile."
                ) from None
            yield
        finally:
            os.close(handle)
