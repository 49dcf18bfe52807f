"""Tasks over a user's own captioned pictures, made by rules: no model is asked.

A task asks for a thing that a caption names. Its answer is known where captions make it likely
enough: a caption proves that a thing is there, and none proves that it is not. So what must be
absent from other pictures is a thing that few captions of the library mention, none of theirs, and
none that captions are wont to leave out, such as the sky.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from sport.blobs import BlobStore
from sport.images import MAX_PIXELS, ingest
from sport.library import Entry, Library, LibraryError
from sport.synthesis.nouns import UNMENTIONED, Thing, stems, things
from sport.types import File, Gold, Task, derive_seed

FEWEST = 4
"""Pictures that a library must hold."""

_RARE = 20
"""A thing is rare where at most two captions mention it, or one in so many."""

_TRIES = 2000
"""Draws in a row without a new task after which there are none left."""

_TEXTS = frozenset(
    """advertisement banner billboard book chart document inscription label letter letters logo menu
    newspaper page paragraph poster printed receipt say sign text ticket timetable title
    write written""".split()
)
"""Stems of words that tell of text in a picture."""


class NamedTool(Protocol):
    """A tool, of which the name alone matters."""

    @property
    def name(self) -> str:
        """What it is called."""
        ...


@dataclass(frozen=True)
class _Picture:
    entry: Entry
    things: tuple[Thing, ...]
    words: frozenset[str]


@dataclass(frozen=True)
class _Draft:
    """A task before it has files: two with the same key ask the same.

    Attributes:
        subject: What it asks about, whatever the words.
    """

    kind: str
    subject: str
    query: str
    pictures: tuple[_Picture, ...]
    gold: Gold | None = None

    @property
    def key(self) -> tuple[str, str, tuple[str, ...]]:
        """What makes it another task; the order of its pictures does not."""
        digests = sorted(picture.entry.file.sha256 for picture in self.pictures)
        return self.kind, self.subject, tuple(digests)


class CaptionSynthesizer:
    """Makes tasks out of a library's captions."""

    def __init__(
        self,
        library: Library,
        tools: Sequence[NamedTool],
        blobs: Path,
        *,
        reuse: int = 8,
        max_pixels: int = MAX_PIXELS,
    ) -> None:
        """Reads the captions.

        Args:
            library: The pictures.
            tools: Those of the recipe: only tasks that one of them helps with are made.
            blobs: Blob folder to which the pictures of the tasks go.
            reuse: In how many tasks a picture is used, as long as there are enough others.
            max_pixels: Largest area of a picture.

        Raises:
            LibraryError: The library is empty or too small, or no tool helps with any task.
        """
        self._entries = library.pictures()
        if len(self._entries) < FEWEST:
            raise LibraryError(
                f"The library holds {len(self._entries)} pictures, too few to make tasks of: add "
                f"at least {FEWEST}, with captions, by sport images add DIR."
            )
        names = {tool.name for tool in tools}
        self._kinds = [make for make, needed in _KINDS.items() if names & needed]
        if not self._kinds:
            known = ", ".join(sorted(set().union(*_KINDS.values())))
            raise LibraryError(
                "No tool of the recipe helps with tasks over captioned pictures. Name one of: "
                f"{known}."
            )
        self._shelf = _Shelf(
            [_Picture(e, tuple(things(e.caption)), stems(e.caption)) for e in self._entries]
        )
        self._blobs = BlobStore(blobs)
        self._reuse = reuse
        self._max_pixels = max_pixels
        self._taken: dict[str, File] = {}

    def synthesize(self, n: int, seed: int) -> list[Task]:
        """Makes ``n`` tasks, none like another.

        The same library and seed give the same tasks, and a larger ``n`` the same ones and more.

        Raises:
            LibraryError: The library does not give as many.
        """
        if n < 0:
            raise ValueError(f"the number of tasks must not be negative, got {n}")
        name = f"captions-{derive_seed('captions', seed) % 16**8:08x}"
        tasks: list[Task] = []
        for draft in self._drafts(seed):
            if len(tasks) == n:
                break
            tasks.append(self._task(f"{name}-{len(tasks):06d}", draft))
        if len(tasks) < n:
            raise LibraryError(
                f"{len(tasks)} different tasks, not {n}, can be made of the captions of these "
                f"{len(self._entries)} pictures. Ask for fewer, or add pictures."
            )
        return tasks

    def _drafts(self, seed: int) -> Iterator[_Draft]:
        """Different tasks, until there seem to be no more."""
        made: set[tuple[str, str, tuple[str, ...]]] = set()
        used: Counter[str] = Counter()
        order: list[_Picture] = []
        cap, worn, misses, draw = self._reuse, False, 0, 0

        def tired(picture: _Picture) -> bool:
            return used[picture.entry.file.sha256] >= cap

        while misses < _TRIES or worn:
            if misses == _TRIES:  # Nothing else can be made without using pictures more often.
                cap, worn, misses = cap + self._reuse, False, 0
            rng = random.Random(derive_seed("captions", seed, draw))
            draw, misses = draw + 1, misses + 1
            if not order:  # Every picture has its turn before one has its next.
                order = rng.sample(self._shelf.pictures, len(self._shelf.pictures))
            draft = rng.choice(self._kinds)(_Draw(self._shelf, rng, tired), order.pop())
            if draft is None or draft.key in made:
                continue
            if any(map(tired, draft.pictures)):
                worn = True
                continue
            misses = 0
            made.add(draft.key)
            used.update(picture.entry.file.sha256 for picture in draft.pictures)
            yield draft

    def _task(self, id: str, draft: _Draft) -> Task:
        files = tuple(self._file(number, p.entry) for number, p in enumerate(draft.pictures))
        return Task(id=id, query=draft.query, files=files, kind=draft.kind, gold=draft.gold)

    def _file(self, number: int, entry: Entry) -> File:
        held, name = entry.file, f"image_{number}.png"
        if held.sha256 not in self._taken:
            file = ingest(held.path, name, self._blobs, self._max_pixels, held.source)
            self._taken[held.sha256] = file.model_copy(update={"caption": entry.caption})
        return self._taken[held.sha256].model_copy(update={"name": name})


class _Shelf:
    """The pictures of a library, by what their captions mention."""

    def __init__(self, pictures: Sequence[_Picture]) -> None:
        self.pictures = list(pictures)
        self._mentions: Counter[str] = Counter()
        self.naming: dict[str, list[_Picture]] = defaultdict(list)
        for picture in pictures:
            self._mentions.update(picture.words)
            for thing in picture.things:
                self.naming[thing.head].append(picture)

    def rare(self, thing: Thing) -> bool:
        """Whether other pictures hardly show it unmentioned."""
        if thing.head in UNMENTIONED:
            return False
        return self._mentions[thing.head] <= max(2, len(self.pictures) // _RARE)


@dataclass(frozen=True)
class _Draw:
    """What one draft is drawn from."""

    shelf: _Shelf
    rng: random.Random
    tired: Callable[[_Picture], bool]

    def thing(self, picture: _Picture) -> Thing | None:
        """A rare thing that a caption names, if it names any."""
        found = [thing for thing in picture.things if self.shelf.rare(thing)]
        return self.rng.choice(found) if found else None

    def others(
        self, count: int, fits: Callable[[_Picture], bool], pool: Sequence[_Picture] | None = None
    ) -> list[_Picture]:
        """Other pictures that fit, those first that were not used too often; fewer if need be."""
        pool = self.shelf.pictures if pool is None else pool
        looked = self.rng.sample(pool, min(len(pool), 64))
        fitting = [picture for picture in looked if fits(picture)]
        # The sort is stable: among those that were used too often, the order stays one of chance.
        fitting.sort(key=self.tired)
        return fitting[:count]

    def shuffled(self, pictures: Sequence[_Picture]) -> tuple[_Picture, ...]:
        """The pictures in any order."""
        return tuple(self.rng.sample(pictures, len(pictures)))


def _which(draw: _Draw, picture: _Picture) -> _Draft | None:
    thing, count = draw.thing(picture), draw.rng.randint(1, 3)
    if thing is None:
        return None
    others = draw.others(count, lambda other: thing.head not in other.words)
    if not others:
        return None
    pictures = draw.shuffled([picture, *others])
    query = draw.rng.choice(
        (
            "Which of the {n} pictures shows {x}? Answer with the name of its file.",
            "Look at all {n} pictures. In which one is there {x}? Give its file name.",
            "One of the {n} pictures shows {x}. What is the name of that file?",
        )
    )
    answer = f"image_{pictures.index(picture)}.png"
    query = query.format(n=len(pictures), x=thing.shown)
    return _Draft("which", thing.head, query, pictures, Gold(answer=answer))


def _how_many(draw: _Draw, picture: _Picture) -> _Draft | None:
    thing = draw.thing(picture)
    if thing is None or not thing.brief:
        return None

    def shows(other: _Picture) -> bool:
        # "dogs" asks for several, and a picture of one would be a matter of opinion.
        same = [t for t in other.things if t.head == thing.head]
        return other is not picture and (not thing.plural or all(t.plural for t in same))

    more = draw.others(draw.rng.randint(0, 2), shows, draw.shelf.naming[thing.head])
    others = draw.others(draw.rng.randint(1, 2), lambda other: thing.head not in other.words)
    if not others:
        return None
    pictures = draw.shuffled([picture, *more, *others])
    query = draw.rng.choice(
        (
            "How many of the {n} pictures show {x}?",
            "Look at all {n} pictures. In how many of them is there {x}? Answer with a number.",
        )
    )
    query = query.format(n=len(pictures), x=thing.brief)
    return _Draft("how many", thing.head, query, pictures, Gold(answer=1 + len(more)))


def _present(draw: _Draw, picture: _Picture) -> _Draft | None:
    source = picture
    if draw.rng.random() < 0.5:
        found = draw.others(1, lambda other: other is not picture)
        source = found[0]
    thing = draw.thing(source)
    if thing is None or (source is not picture and thing.head in picture.words):
        return None
    query = draw.rng.choice(
        (
            "Does the picture show {x}? Answer yes or no.",
            "Is {x} to be seen in the picture? Answer yes or no.",
        )
    )
    if thing.plural:
        query = query.replace("Is {x}", "Are {x}")
    answer = "yes" if source is picture else "no"
    query = query.format(x=thing.shown)
    return _Draft("present", thing.head, query, (picture,), Gold(answer=answer))


def _where(draw: _Draw, picture: _Picture) -> _Draft | None:
    if not picture.things:
        return None
    query = draw.rng.choice(
        (
            "Find {x} in the picture. In which part of it is that, and how much of its area does "
            "it take?",
            "Where in the picture is {x}? Give the box and say in words where it lies.",
            "How far from the middle of the picture, in pixels, is the middle of {x}?",
        )
    )
    query = query.format(x=draw.rng.choice(picture.things).shown)
    return _Draft("where", query, query, (picture,))


def _read(draw: _Draw, picture: _Picture) -> _Draft | None:
    if not picture.words & _TEXTS:
        return None
    query = draw.rng.choice(
        (
            "Read the text in the picture. How many words does it have, and what is it about?",
            "What does the text in the picture say? Give its first line.",
            "Which is the longest word that can be read in the picture?",
            "Which numbers can be read in the picture? If there are none, say so.",
        )
    )
    return _Draft("read", query, query, (picture,))


def _differ(draw: _Draw, picture: _Picture) -> _Draft | None:
    named = {thing.head for thing in picture.things}
    # Two that have something in common are worth a comparison.
    alike = draw.others(1, lambda other: other is not picture and bool(named & other.words))
    if not alike:
        return None
    query = draw.rng.choice(
        (
            "What do image_0.png and image_1.png have in common, and what differs? Name two of "
            "each.",
            "Compare the two pictures: name three things that differ between them.",
        )
    )
    return _Draft("differ", query, query, draw.shuffled([picture, *alike]))


_LOOKING = frozenset({"visualizer", "objectlocation"})
_KINDS: dict[Callable[[_Draw, _Picture], _Draft | None], frozenset[str]] = {
    _which: _LOOKING,
    _how_many: _LOOKING,
    _present: _LOOKING,
    _where: frozenset({"objectlocation"}),
    _read: frozenset({"ocr"}),
    _differ: frozenset({"visualizer"}),
}
