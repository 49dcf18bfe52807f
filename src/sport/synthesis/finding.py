"""Stages 3 and 4: a query's files, found in the library or made."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any

from sport.blobs import BlobStore
from sport.library import Hit, Library
from sport.synthesis.config import LLMSettings
from sport.synthesis.drafts import Draft, Got, Need
from sport.synthesis.journal import Journal
from sport.synthesis.making import FileMaker, Made, MakingFailed, Wanted
from sport.types import File

FOUND = frozenset({"photo", "picture", "chart", "receipt"})
"""Kinds of files that may lie in a library of pictures."""

NOTHING_CLOSE = "no picture close enough"
"""The fate of a draft whose file was not found, and cannot be made."""

NOT_MADE = "file not made"
"""What the fate of a draft begins with whose file could not be made."""

_POOL = 20
_WORD = re.compile(r"[^\W_]{3,}")
_IDLE_WORDS = frozenset(
    "the and with for that this from are has have its into over under one two three some showing "
    "shows show picture photo photograph image".split()
)


class Finder:
    """Looks for pictures, one draft after the other: what one takes, another may take no more."""

    def __init__(
        self,
        library: Library | None,
        settings: LLMSettings,
        blobs: BlobStore,
        journal: Journal,
        *,
        dense: bool,
        allowed: Callable[[str], bool],
    ) -> None:
        """Takes where to look.

        Args:
            library: ``None`` finds nothing.
            settings: How close a picture must be, and how often it may be used.
            blobs: Where the bytes of what is found go.
            journal: Where what was found is kept.
            dense: Whether the library is searched by meaning.
            allowed: Whether a picture, by its digest, may be used in these tasks at all.
        """
        self._library, self._settings, self._blobs = library, settings, blobs
        self._journal, self._dense, self._allowed = journal, dense, allowed
        self._uses: Counter[str] = Counter()

    def use(self, files: Iterable[File]) -> None:
        """Counts a use of each file."""
        self._uses.update(file.sha256 for file in files)

    def release(self, files: Iterable[File]) -> None:
        """Takes a use of each file back: the draft that it was for is dropped."""
        self._uses.subtract(file.sha256 for file in files)

    def find(self, draft: Draft) -> dict[int, tuple[File, Got]]:
        """The files that are found, by the place of their need."""
        taken: dict[int, tuple[File, Got]] = {}
        for place, need in enumerate(draft.needs):
            key = _key("find", draft, place)
            if key not in self._journal:
                mine = {file.sha256 for file, _ in taken.values()}
                self._journal.keep(key, self._look(need, mine))
            if found := self._read(self._journal[key]):
                taken[place] = found
        self.use(file for file, _ in taken.values())
        return taken

    def _look(self, need: Need, mine: set[str]) -> Any:
        if self._library is None or need.kind not in FOUND:
            return None

        def allow(sha256: str) -> bool:
            free = self._uses[sha256] < self._settings.max_uses
            return free and sha256 not in mine and self._allowed(sha256)

        hit = self._closest(need.description, allow)
        if hit is None:
            return None
        data = BlobStore(hit.file.blobs).read(hit.file)
        file = self._blobs.put(data, "image.png", hit.file.media_type, hit.file.source)
        caption = {"caption": hit.caption}
        return {"file": {**file.model_dump(mode="json"), **caption}, "similarity": hit.similarity}

    def _closest(self, text: str, allow: Callable[[str], bool]) -> Hit | None:
        assert self._library is not None
        if self._dense:
            least = self._settings.min_similarity
            return next(iter(self._library.search(text, 1, least, allow=allow)), None)
        hits = self._library.search(text, _POOL, allow=allow)
        least = self._settings.min_words
        return next((hit for hit in hits if _share(text, hit.caption) >= least), None)

    def _read(self, value: Any) -> tuple[File, Got] | None:
        if value is None:
            return None
        file = File.model_validate(value["file"], context={"blobs": self._blobs.folder})
        return file, Got(how="found", similarity=value["similarity"])


async def complete(
    draft: Draft,
    found: dict[int, tuple[File, Got]],
    maker: FileMaker | None,
    journal: Journal,
    blobs: BlobStore,
) -> Draft:
    """The draft with all its files: what was not found is made; dropped where that fails.

    Args:
        draft: It.
        found: The files that were found, by the place of their need.
        maker: ``None`` makes nothing.
        journal: Where what was made is kept.
        blobs: Where the bytes of what was made lie.
    """
    files = dict(found)
    for place, need in enumerate(draft.needs):
        if place in files:
            continue
        if maker is None or need.kind == "photo":
            return draft.ended(NOTHING_CLOSE, need.description)
        wanted = Wanted(kind=need.kind, description=need.description, name=f"{need.kind}_{place}")
        key = _key("make", draft, place)
        if key not in journal:
            journal.keep(key, await _made(maker.make(wanted, key)))
        value: Any = journal[key]
        if "fault" in value:
            return draft.ended(f"{NOT_MADE}: {value['fault']}", value["detail"])
        made = Made.model_validate(value, context={"blobs": blobs.folder})
        files[place] = made.file, Got(how="made")
    ordered = [files[place] for place in sorted(files)]
    named = _named([file for file, _ in ordered])
    return draft.model_copy(update={"files": named, "got": tuple(got for _, got in ordered)})


def _key(what: str, draft: Draft, place: int) -> str:
    """What a file of a draft is kept under: another need of the same draft is another file."""
    need = draft.needs[place]
    digest = hashlib.sha256(f"{need.kind} {need.description}".encode()).hexdigest()[:24]
    return f"{what} {draft.id} {place} {digest}"


async def _made(making: Awaitable[Made]) -> Any:
    try:
        return (await making).model_dump(mode="json")
    except MakingFailed as error:
        return {"fault": error.reason, "detail": str(error)}


def _named(files: Sequence[File]) -> tuple[File, ...]:
    """The files by the names that a task gives them: pictures are numbered."""
    named: list[File] = []
    for file in files:
        number = sum(other.is_image for other in named)
        name = f"image_{number}.png" if file.is_image else file.name
        named.append(file.model_copy(update={"name": name}))
    return tuple(named)


def _share(request: str, caption: str) -> float:
    """The share of a request's words that a caption has, in their first five letters."""
    wanted, has = _stems(request), _stems(caption)
    return len(wanted & has) / len(wanted) if wanted else 0.0


def _stems(text: str) -> set[str]:
    return {word[:5] for word in _WORD.findall(text.casefold()) if word not in _IDLE_WORDS}
