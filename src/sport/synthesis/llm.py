"""Tasks that a language model writes, over files that are found or made, checked by another.

::

    write -> screen -> needs -> find -> make -> check -> screen -> kept
    (1)      (6)       (2)      (3)     (4)     (5)      (6)

Drafts go through the stages in waves: as many queries as are likely to give the tasks that are
still wanted, until there are enough. What is decided in one place, such as near-duplicates and who
takes which picture, is decided in the order of the drafts; what is asked is asked all at once.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from sport.blobs import BlobStore
from sport.concurrency import all_of
from sport.remote.ledger import BudgetSpent
from sport.synthesis.asking import Ask, Unanswered
from sport.synthesis.checking import Checker
from sport.synthesis.config import LLMSettings
from sport.synthesis.doubles import Doubles
from sport.synthesis.drafts import KEPT, SPARE, Draft, Got
from sport.synthesis.finding import Finder, complete
from sport.synthesis.journal import Journal
from sport.synthesis.making import FileMaker
from sport.synthesis.needs import with_needs
from sport.synthesis.queries import Writer, request_seed
from sport.types import File, Task

DOUBLE = "near-duplicate"
"""The fate of a query that is like another one."""

OF_A_BENCHMARK = "shares words with a benchmark"
"""The fate of one that must not be learnt from."""

T = TypeVar("T")
Stage = Callable[[Draft], Awaitable[Draft]]
"""What a draft goes through."""

FIRST_YIELD = 0.7
"""Share of drafts that is reckoned to be kept before any was checked."""

LEAST_YIELD = 0.1
"""Least share of drafts that is reckoned to be kept: bounds what one wave asks for."""


@dataclass(frozen=True)
class Parts:
    """What an :class:`LLMSynthesizer` works with.

    Attributes:
        writer: Writes queries.
        needs: Whom to ask what a query needs.
        finder: Looks for files.
        maker: Makes those that were not found; ``None`` makes none.
        checker: Checks.
        journal: Keeps what was found and made.
        blobs: Where the files' bytes lie.
        known: Queries that no other may be like: those of seeds and of tasks that there are.
        benchmarks: Names the benchmarks' items that a task shares words with.
        seen: Told, after each stage, what became of all drafts so far.
    """

    writer: Writer
    needs: Ask
    finder: Finder
    maker: FileMaker | None
    checker: Checker
    journal: Journal
    blobs: BlobStore
    known: Sequence[str]
    benchmarks: Callable[[Task], Sequence[str]]
    seen: Callable[[Sequence[Draft]], None] = lambda drafts: None


class LLMSynthesizer:
    """Writes drafts until enough are kept (paper, section 3.2)."""

    def __init__(self, settings: LLMSettings, name: str, parts: Parts) -> None:
        """Takes what is wanted, what ids begin with, and what to work with."""
        self._settings, self._name, self._parts = settings, name, parts
        self._doubles = Doubles(settings.max_overlap)
        for query in parts.known:
            self._doubles.add(query)
        self._drafts: list[Draft] = []

    async def synthesize(self, n: int, seed: int) -> list[Draft]:
        """Makes ``n`` tasks, or as many as it can in the settings' waves.

        Returns:
            All drafts, in order, with their fates.

        Raises:
            RemoteError: A server refuses for good, or is down.
            BudgetSpent: The budget is.
        """
        for wave in range(self._settings.waves):
            lacking = n - self._count(KEPT)
            if lacking <= 0:
                break
            self._drafts += await self._wave(wave, self._requests(lacking), lacking, seed)
        return self._drafts

    def _requests(self, lacking: int) -> int:
        """How many requests are likely to give the tasks that are lacking."""
        done = len(self._drafts)
        share = self._count(KEPT, SPARE) / done if done else FIRST_YIELD
        return math.ceil(lacking / max(share, LEAST_YIELD) / self._settings.batch)

    def _count(self, *fates: str) -> int:
        return sum(draft.fate in fates for draft in self._drafts)

    async def _wave(self, wave: int, requests: int, lacking: int, seed: int) -> list[Draft]:
        """As many requests, from their queries to their tasks."""
        parts = self._parts
        written = await _all_of([self._write(wave, k, seed) for k in range(requests)])
        drafts = [self._screened(draft) for batch in written for draft in batch]
        drafts = await self._each(drafts, self._with_needs)
        found: dict[str, dict[int, tuple[File, Got]]] = {}
        for draft in drafts:
            if draft.under_way:
                found[draft.id] = await asyncio.to_thread(parts.finder.find, draft)

        async def completed(draft: Draft) -> Draft:
            return await complete(draft, found[draft.id], parts.maker, parts.journal, parts.blobs)

        drafts = await self._each(drafts, completed)
        drafts = await self._each(drafts, parts.checker.check)
        ended = self._chosen(drafts, lacking)
        for draft in ended:
            if draft.fate != KEPT:
                parts.finder.release(file for file, _ in found.get(draft.id, {}).values())
        self._tell(ended)
        return ended

    def _chosen(self, drafts: Sequence[Draft], lacking: int) -> list[Draft]:
        """The drafts of a wave with their fates: as many as are lacking are kept."""
        ended: list[Draft] = []
        for draft in drafts:
            if draft.under_way and draft.written:
                draft = self._screened(draft)
            if draft.under_way:
                draft = draft.ended(KEPT if lacking > 0 else SPARE)
                lacking -= 1
            ended.append(draft)
        return ended

    async def _write(self, wave: int, number: int, seed: int) -> list[Draft]:
        name = f"{self._name}-{wave}-{number:03d}"
        try:
            return await self._parts.writer.write(name, request_seed(seed, wave, number))
        except Unanswered as error:
            lost = Draft(id=name, query="")
            return [lost.ended(f"{error.reason} on {self._settings.batch} queries", str(error))]

    def _screened(self, draft: Draft) -> Draft:
        """The draft, dropped where its query is known, or a benchmark's."""
        if not draft.under_way:
            return draft
        if (other := self._doubles.like(draft.query, draft.written)) is not None:
            return draft.ended(DOUBLE, other)
        if items := self._parts.benchmarks(Task(id=draft.id, query=draft.query)):
            return draft.ended(OF_A_BENCHMARK, ", ".join(items))
        self._doubles.add(draft.query)
        return draft

    async def _with_needs(self, draft: Draft) -> Draft:
        return await with_needs(draft, self._parts.needs, self._settings.without_files)

    async def _each(self, drafts: Sequence[Draft], stage: Stage) -> list[Draft]:
        """The drafts after a stage, which those that are under way go through at once."""

        async def one(draft: Draft) -> Draft:
            return await stage(draft) if draft.under_way else draft

        after = await _all_of([one(draft) for draft in drafts])
        self._tell(after)
        return after

    def _tell(self, wave: Sequence[Draft]) -> None:
        self._parts.seen([*self._drafts, *wave])


async def _all_of(coroutines: Sequence[Awaitable[T]]) -> list[T]:
    """All results; where the budget is spent, what was asked before is answered first."""
    return await all_of(coroutines, patient=(BudgetSpent,))


def task_of(draft: Draft) -> Task:
    """The task that a kept draft became."""
    return Task(id=draft.id, query=draft.query, files=draft.files, kind=draft.kind)
