"""A library of captioned pictures: filled from folders, searched in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sport.library.describe import CaptionWriter, Describing
from sport.library.embed import Embedder, SentenceFolder
from sport.library.fill import Filling
from sport.library.fuse import fuse
from sport.library.place import Place, place
from sport.library.records import AddReport, Entry, Hit, LibraryError, Picture, Stats
from sport.library.scan import scan
from sport.library.tables import Tables

Mode = Literal["text", "dense", "hybrid"]

DEFAULT: Mode = "dense"
"""How a library with an embedding model is searched: the best of the three on the development half
of ``benchmarks/retrieval.py``."""

_POOL = 100
"""How deep each list goes into a fusion."""

_DEEPER = 4
"""By how much lists grow where too much of them was excluded."""


class Library:
    """A folder of pictures that are found by their captions.

    Words are always searched; with an embedding model, meaning is as well. The folder may be read
    while another process fills it.
    """

    def __init__(self, place: Place, embedder: Embedder | None = None) -> None:
        """Use :meth:`open`."""
        self._place = place
        self._tables = Tables(place)
        self._embedder = embedder

    @classmethod
    def open(cls, where: Path | str, embedder: Embedder | Path | None = None) -> Library:
        """Opens a library, which need not exist before something is added.

        Args:
            where: A folder, or an address ``s3://bucket/prefix``.
            embedder: An embedding model, or the folder of a sentence-transformers one.

        Raises:
            LibraryError: LanceDB is missing, or a place is not what it should be.
        """
        if isinstance(embedder, Path):
            embedder = SentenceFolder(embedder)
        return cls(place(where), embedder)

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
        found = scan([Path(path) for path in paths], self._place.folder)
        with self._place.locked():
            filling = Filling(self._tables, self._place, AddReport(skipped=found.skipped))
            filling.take(found.pictures, seen)
            Describing(filling, self._place.folder / "captions.jsonl", writer).take(
                found.bare, seen
            )
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
        allow: Callable[[str], bool] | None = None,
    ) -> list[Hit]:
        """The pictures whose captions fit a request, the best first.

        Args:
            text: The request, in words.
            n: Most hits.
            min_similarity: Least cosine similarity of caption and request; without it, the best
                are returned however bad they are.
            mode: By words (``text``), by meaning (``dense``) or by both; :data:`DEFAULT` if left
                out and there is an embedding model, else ``text``.
            allow: Says of the ``sha256`` of a picture whether it may be a hit. Others take its
                place, from however far down the lists.

        Raises:
            LibraryError: The library is empty; the request is; or it needs an embedding model, or
                vectors, that there are none of.
        """
        self._check(text, n, min_similarity, mode)
        mode = mode or (DEFAULT if self._embedder is not None else "text")
        vector = None
        if self._embedder is not None:
            [vector] = self._embedder.embed([text], request=True)
        depth = max(_POOL, n)
        while True:
            lists = self._lists(text, vector, mode, depth)
            ranked = lists[0] if len(lists) == 1 else fuse(*lists)
            allowed = [item for item in ranked if allow is None or allow(item[0])]
            near = dict(lists[-1]) if mode != "text" else {}
            chosen, similarity = self._close(allowed, n, vector, near, min_similarity)
            if (
                len(chosen) >= n
                or len(allowed) == len(ranked)
                or all(_ended(found, depth, mode, min_similarity) for found in lists)
                or depth >= self._tables.count()
            ):
                return self._hits(chosen, similarity)
            depth *= _DEEPER

    def pictures(self) -> list[Entry]:
        """All pictures with their captions, in the order of their digests.

        Their files lie on this machine after :meth:`fetch`.

        Raises:
            LibraryError: The library is empty.
        """
        self._check_filled()
        return [self._entry(p) for p in sorted(self._tables.pictures(), key=lambda p: p.sha256)]

    def fetch(self, entries: Sequence[Entry]) -> None:
        """Makes the files of entries lie on this machine, as those of hits do.

        Raises:
            LibraryError: The storage does not have one, or has other bytes in its place.
        """
        self._place.fetch([entry.file for entry in entries])

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
            bytes=self._place.bytes(),
        )

    def _lists(
        self, text: str, vector: NDArray[np.float32] | None, mode: Mode, depth: int
    ) -> list[list[tuple[str, float]]]:
        """What a mode goes by, each list the best first: words, nearness, or both."""
        lists = []
        if mode != "dense":
            lists.append(self._tables.by_words(text, depth))
        if mode != "text" and self._embedder is not None and vector is not None:
            lists.append(self._tables.by_nearness(self._embedder.name, vector, depth))
        return lists

    def _close(
        self,
        ranked: list[tuple[str, float]],
        n: int,
        vector: NDArray[np.float32] | None,
        near: Mapping[str, float],
        limit: float | None,
    ) -> tuple[list[tuple[str, float]], dict[str, float]]:
        """The first ``n`` that are close enough, and the similarities that are known."""
        if self._embedder is None or vector is None:
            return ranked[:n], {}
        # Without a threshold only those that are returned need a similarity.
        asked = ranked if limit is not None else ranked[:n]
        missing = [digest for digest, _ in asked if digest not in near]
        similarity = {
            **near,
            **self._tables.similarities(self._embedder.name, vector, missing),
        }
        if limit is not None:
            ranked = [item for item in ranked if similarity.get(item[0], -1) >= limit]
        return ranked[:n], similarity

    def _entry(self, picture: Picture) -> Entry:
        caption = picture.caption
        file = picture.file(self._place.blobs.folder)
        return Entry(
            file=file,
            caption=caption.text,
            source=caption.source,
            licence=caption.licence,
            near=picture.near,
        )

    def _hits(self, ranked: Sequence[tuple[str, float]], similarity: dict[str, float]) -> list[Hit]:
        if not ranked:
            return []
        rows: dict[str, Picture] = self._tables.find([digest for digest, _ in ranked])
        hits = [
            Hit(**vars(self._entry(rows[d])), score=score, similarity=similarity.get(d))
            for d, score in ranked
            if d in rows  # Deleted meanwhile by a process that gives it another caption.
        ]
        self.fetch(hits)
        return hits

    def _check_filled(self) -> None:
        if self._tables.empty:
            raise LibraryError(
                f"{self._place.name} holds no library of pictures. Fill one with: "
                f"sport images add DIR --library {self._place.name}"
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
                f"{self._place.name} has no vectors of the model {self._embedder.name} (it has: "
                f"{others}). Add the pictures again with this model, or search without one."
            )


def _ended(found: Sequence[tuple[str, float]], depth: int, mode: Mode, limit: float | None) -> bool:
    """Whether a longer list would hold nothing more that could be a hit."""
    return len(found) < depth or (mode == "dense" and limit is not None and found[-1][1] < limit)
