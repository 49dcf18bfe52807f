"""What a language model made of tasks, as pages show it: figures, tasks to look at, lost drafts."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property, lru_cache
from pathlib import PurePath
from urllib.parse import urlencode

from sport.jsonl import StoreError
from sport.remote.ledger import Account, Usage, of_models
from sport.store import Run
from sport.synthesis.drafts import KEPT, SPARE, Draft, Got, Need
from sport.synthesis.figures import Figures
from sport.synthesis.folder import (
    HELD_OUT,
    drafts_file,
    read_drafts,
    read_figures,
    read_mix,
    written,
)
from sport.synthesis.mix import Results
from sport.types import File

SAMPLE = 20
"""Tasks that are drawn to look at, and drafts of one page."""

_DOCUMENTS = frozenset("csv docx json md pdf pptx tsv txt xlsx".split())
_ODD = re.compile(r"[^A-Za-z0-9_-]+")


@dataclass(frozen=True)
class TaskFilter:
    """What of the drafts is looked for; an empty part does not matter.

    Attributes:
        of: A round, as ``round-1``, or ``held-out``; the newest where it is empty.
        fate: What became of them.
        q: Words that must all occur; the last letters of each may be left out.
        draw: Which sample, where neither a fate nor words are given.
        first: Number of the first of the page, from 0.
    """

    of: str = ""
    fate: str = ""
    q: str = ""
    draw: int = 0
    first: int = 0

    @property
    def sampled(self) -> bool:
        """Whether kept ones are drawn at random."""
        return not (self.fate or self.q.strip())

    def but(self, **changed: str | int) -> TaskFilter:
        """The same of another round, fate, draw or page; of another fate, from its beginning."""
        return replace(self, **{"draw": 0, "first": 0, **changed})  # type: ignore[arg-type]

    def query(self) -> str:
        """As the query of an address, with ``?`` unless it is empty."""
        chosen = {f.name: value for f in fields(self) if (value := getattr(self, f.name))}
        return f"?{urlencode(chosen)}" if chosen else ""


@dataclass(frozen=True)
class Attached:
    """A file of a draft: what was wanted, and what it got, if it got that far."""

    need: Need | None
    file: File | None = None
    got: Got | None = None

    @property
    def origin(self) -> str:
        """Where it comes from, in words."""
        if self.got is None:
            return "neither found nor made"
        if self.got.how == "made":
            return "made"
        near = self.got.similarity
        return "found by its words" if near is None else f"found, similarity {near:.2f}"


@dataclass(frozen=True)
class Made:
    """What was made for one round, or to be held out.

    Attributes:
        name: As ``round-1``, or ``held-out``.
        figures: How much was kept, and how varied it is; ``None`` where they are not there.
        tools: Results by tool, those that were wanted most first.
        kinds: Results by kind of files.
        spent: What servers were asked for it.
        drafts: All drafts, in their order.
    """

    name: str
    figures: Figures | None
    tools: Sequence[tuple[str, Results]]
    kinds: Sequence[tuple[str, Results]]
    spent: Sequence[tuple[Account, Usage]]
    drafts: Sequence[Draft]

    @property
    def title(self) -> str:
        """The name for people."""
        return title_of(self.name)

    @cached_property
    def fates(self) -> Counter[str]:
        """How many drafts met which fate."""
        return Counter(draft.fate for draft in self.drafts)

    @property
    def counts(self) -> list[tuple[str, int]]:
        """The fates with their counts: the kept ones, then the most frequent."""
        return sorted(self.fates.items(), key=lambda item: (item[0] != KEPT, -item[1]))

    @property
    def kept(self) -> int:
        """How many became tasks."""
        return self.fates[KEPT]

    @property
    def dropped(self) -> int:
        """How many were lost: neither kept nor one more than were wanted."""
        return len(self.drafts) - self.kept - self.fates[SPARE]

    @property
    def total(self) -> Usage:
        """What was spent in all."""
        total = Usage()
        for _, usage in self.spent:
            total.add(usage)
        return total

    def sample(self, draw: int) -> list[Draft]:
        """Kept drafts drawn at random: every draw goes on where the one before it ended."""
        kept = [draft for draft in self.drafts if draft.fate == KEPT]
        random.Random(self.name).shuffle(kept)
        start = draw * SAMPLE % max(len(kept), 1)
        return [*kept[start:], *kept[:start]][:SAMPLE]

    def found(self, wanted: TaskFilter) -> list[Draft]:
        """The drafts of a fate, or of all, that have all words."""
        words = re.findall(r"\w+", wanted.q.casefold())
        if wanted.q.strip() and not words:
            return []  # nothing that could be found
        patterns = [re.compile(rf"\b{word}") for word in words]
        return [
            draft
            for draft in self.drafts
            if wanted.fate in ("", draft.fate)
            and (not patterns or all(p.search(_text(draft)) for p in patterns))
        ]


def names(run: Run) -> list[str]:
    """What was made: the tasks held out first, then the rounds; none where no model writes."""
    return list(written(run))


def title_of(name: str) -> str:
    """The title of a round by its name."""
    return "held out" if name == HELD_OUT else name.replace("-", " ")


def made(run: Run, name: str) -> Made:
    """What was made under a name.

    Raises:
        StoreError: Its files cannot be read.
    """
    try:
        figures, mix = read_figures(run, name), read_mix(run, name)
    except ValueError as error:
        raise _unreadable(run, name, error) from None
    return Made(
        name=name,
        figures=figures,
        tools=_by_weight(mix.tools if mix else {}),
        kinds=_by_weight(mix.kinds if mix else {}),
        spent=_spent(run, name),
        drafts=_drafts(run, name),
    )


def attached(draft: Draft) -> list[Attached]:
    """The files of a draft; where it did not get that far, those that it needs."""
    if not draft.files:
        return [Attached(need) for need in draft.needs]
    needs = draft.needs if len(draft.needs) == len(draft.files) else (None,) * len(draft.files)
    found = zip(needs, draft.files, (*draft.got, *[None] * len(draft.files)), strict=False)
    return [Attached(*one) for one in found]


def document(run: Run, sha256: str) -> File | None:
    """A file of a draft by its digest; ``None`` for any other bytes of the run."""
    files = (file for name in names(run) for draft in _drafts(run, name) for file in draft.files)
    return next((file for file in files if file.sha256 == sha256), None)


def saved_as(file: File) -> str:
    """A name under which a browser may save a file, whatever the file is called.

    Of the endings only those of documents are kept: nothing is saved that runs when it is opened.
    """
    path = PurePath(file.name)
    ending = path.suffix.lower().removeprefix(".")
    return f"{_ODD.sub('_', path.stem)[:80]}.{ending if ending in _DOCUMENTS else 'bin'}"


def _drafts(run: Run, name: str) -> tuple[Draft, ...]:
    file = drafts_file(run, name)
    return _read(run, name, file.stat().st_mtime_ns if file.is_file() else 0)


@lru_cache(maxsize=4)
def _read(run: Run, name: str, changed_ns: int) -> tuple[Draft, ...]:
    """The drafts of a file, which is read again when it has changed."""
    try:
        return tuple(read_drafts(run, name))
    except ValueError as error:
        raise _unreadable(run, name, error) from None


def _unreadable(run: Run, name: str, error: ValueError) -> StoreError:
    files = run.path / "synthesis" / f"{name}-*"
    return StoreError(f"{files} cannot be read ({error}). Put these files back as they were.")


def _by_weight(results: Mapping[str, Results]) -> list[tuple[str, Results]]:
    return sorted(results.items(), key=lambda item: (-item[1].weight, item[0]))


def _spent(run: Run, name: str) -> list[tuple[Account, Usage]]:
    number = name.removeprefix("round-")
    round = int(number) if number.isdecimal() else 0
    usage = of_models(run.usage())
    return [pair for pair in usage if (pair[0].stage, pair[0].round) == ("synth", round)]


def _text(draft: Draft) -> str:
    return "\n".join(_texts(draft)).casefold()


def _texts(draft: Draft) -> Iterator[str]:
    yield from (draft.id, draft.query, draft.written, draft.topic, draft.web, draft.detail)
    yield from draft.tools
    yield from (need.description for need in draft.needs)
    yield from (file.caption for file in draft.files)
    yield from (check.reason for check in draft.checks)
