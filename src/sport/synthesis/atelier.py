"""Where a run's tasks are written: what :class:`LLMSynthesizer` needs, put together from a run."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from contextlib import asynccontextmanager
from functools import cached_property, partial
from typing import TYPE_CHECKING

from sport.assemble import entered
from sport.evals.contamination import check, items_of, kept_apart
from sport.library import Library
from sport.library.describe import CaptionWriter
from sport.library.embed import Embedder, SentenceFolder
from sport.library.endpoint import EmbeddingServer
from sport.remote.client import ChatClient
from sport.remote.config import ServerSettings
from sport.rollouts import Throttled
from sport.secrets import Secrets
from sport.synthesis.asking import Asker, Unanswered
from sport.synthesis.checking import Checker
from sport.synthesis.config import LLMSettings
from sport.synthesis.drafts import KEPT, Draft
from sport.synthesis.figures import Embed, figures_of, in_words
from sport.synthesis.finding import Finder
from sport.synthesis.folder import HELD_OUT, drafts_file, journal_file, read_drafts, write_all
from sport.synthesis.journal import Journal
from sport.synthesis.llm import LLMSynthesizer, Parts, task_of
from sport.synthesis.making import FileMaker
from sport.synthesis.mix import Mix, mix_of
from sport.synthesis.pictures import open_library
from sport.synthesis.queries import Writer
from sport.synthesis.seeds import draft_seeds, load_seeds
from sport.synthesis.split import held_out
from sport.types import Task, Trajectory, derive_seed
from sport.verify.trajectory import TrajectoryRules

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from sport.progress import Progress
    from sport.remote.ledger import Ledger
    from sport.sandbox.base import Sandbox
    from sport.store import Run
    from sport.workbench import Workbench


class SynthesisError(RuntimeError):
    """No task could be made. Says what became of the drafts."""


class Atelier:
    """Writes the tasks of a run by its ``[synthesis]``."""

    def __init__(self, run: Run, bench: Workbench, ledger: Ledger, progress: Progress) -> None:
        """Takes the run, its tools and sandboxes, where costs are booked, and who is told."""
        assert isinstance(run.recipe.synthesis, LLMSettings)
        self._settings = run.recipe.synthesis
        self._run, self._bench, self._ledger, self._progress = run, bench, ledger, progress
        self._apart = kept_apart(run.recipe)

    def write(self, name: str, n: int, round: int = 0) -> list[Task]:
        """Writes tasks, or what of them is still owed; nothing is paid twice.

        Args:
            name: ``held-out``, or that of a round: no picture of the first is in the second.
            n: How many are wanted.
            round: The round, whose mix follows the results of those before it.

        Raises:
            SynthesisError: None could be made, or no seeds.
            TasksError: The seeds cannot be used.
            ContaminationError: The seeds hold items of a benchmark.
            LibraryError: The library cannot be searched.
        """
        mix = self._mix(round)
        drafts, seeds = asyncio.run(self._drafts(name, n, mix))
        found = figures_of(drafts, n, [seed.query for seed in seeds], self._embed)
        write_all(self._run, name, drafts, mix, found)
        if not found.fates.get(KEPT):
            raise SynthesisError(
                f"{name}: no task could be made: {in_words(found)}. All drafts are in "
                f"{drafts_file(self._run, name)}."
            )
        self._progress.say(f"{name}: {in_words(found)}")
        return [task_of(draft) for draft in drafts if draft.fate == KEPT]

    async def _drafts(self, name: str, n: int, mix: Mix) -> tuple[list[Draft], list[Task]]:
        settings, journal = self._settings, Journal(journal_file(self._run, name))
        async with self._clients() as (writing, checking), self._sandbox() as sandbox:
            ask = partial(self._asker, writing, settings.server.concurrency)
            needs = ask(journal)
            pixels = self._run.recipe.images.max_pixels
            maker = None  # What it lacks, and the library, is told before anything is asked.
            if settings.make_files:
                maker = FileMaker(needs, sandbox, self._run.blobs, pixels)
            finder = self._finder(name, journal)
            seeds = await self._seeds(ask(Journal(journal_file(self._run, "seeds"))))
            before = self._earlier()
            for task in before:
                finder.use(task.files)
            parts = Parts(
                writer=Writer(needs, settings, self._bench.tools, seeds, mix),
                needs=needs,
                finder=finder,
                maker=maker,
                checker=Checker(
                    self._asker(checking, settings.checking.concurrency, journal, 0.0),
                    self._bench.tools,
                ),
                journal=journal,
                blobs=self._run.blobs,
                known=[task.query for task in (*seeds, *before)],
                benchmarks=lambda task: items_of(task, self._apart),
                seen=partial(self._tell, n),
            )
            seed = derive_seed(self._run.recipe.seed, name, "tasks")
            return await LLMSynthesizer(settings, name, parts).synthesize(n, seed), seeds

    def _tell(self, n: int, drafts: Sequence[Draft]) -> None:
        activity = self._progress.current
        if activity is not None:
            activity.total, activity.done = n, sum(draft.fate == KEPT for draft in drafts)
            activity.say(f"{len(drafts)} drafts, {sum(d.under_way for d in drafts)} under way")

    @cached_property
    def _embedder(self) -> Embedder | None:
        folder, server = self._settings.embedder, self._settings.embeddings
        if server is not None and server.model is not None:
            return EmbeddingServer(server, server.model, self._ledger)
        return None if folder is None else SentenceFolder(self._run.recipe.path(folder))

    @property
    def _embed(self) -> Embed | None:
        return None if self._embedder is None else self._embedder.embed

    @cached_property
    def _library(self) -> Library | None:
        if not self._settings.finds:
            return None
        checking, recipe = self._settings.checking, self._run.recipe
        assert checking.model is not None, "the recipe was validated"
        writer = CaptionWriter(checking, checking.model, self._ledger)
        return open_library(recipe, self._run.path, self._progress.say, self._embedder, writer)

    def _finder(self, name: str, journal: Journal) -> Finder:
        held: frozenset[str] = frozenset()
        if self._library is not None:
            held = held_out(self._library.pictures(), self._run.recipe.evaluation.held_out)
        # Where pictures were added since, the share that is held out has others in it.
        others = self._run.tasks() if name == HELD_OUT else self._run.tasks(HELD_OUT)
        taken = {file.sha256 for task in others for file in task.files}

        def allowed(sha256: str) -> bool:
            """Whether a picture belongs to the tasks held out, or to the others, as it should."""
            return (sha256 in held) == (name == HELD_OUT) and sha256 not in taken

        return Finder(
            self._library,
            self._settings,
            self._run.blobs,
            journal,
            dense=self._settings.dense,
            allowed=allowed,
        )

    async def _seeds(self, ask: Asker) -> list[Task]:
        tools = self._bench.tools
        if self._settings.seeds is None:
            try:
                drafted = await draft_seeds(ask, tools)
            except Unanswered as error:
                raise SynthesisError(f"no seeds could be drafted from the tools: {error}") from None
            own = [seed for seed in drafted if not items_of(seed, self._apart)]
            if own != drafted:
                left = f"{len(drafted) - len(own)} of {len(drafted)}"
                self._progress.say(f"seeds: {left} share words with a benchmark, and are left out")
            if not own:
                raise SynthesisError("all seeds that were drafted share words with a benchmark")
            return own
        seeds = load_seeds(self._run.recipe.path(self._settings.seeds), self._run.blobs, tools)
        check(seeds, *self._apart)
        return seeds

    def _earlier(self) -> list[Task]:
        """The tasks that the run has already, held out ones included."""
        return [*self._run.tasks(HELD_OUT), *self._run.tasks()]

    def _mix(self, round: int) -> Mix:
        """What earlier rounds say about what is worth more of."""
        if round < 2 or not self._settings.curriculum:
            return Mix()
        drafts = {d.id: d for k in range(1, round) for d in read_drafts(self._run, f"round-{k}")}
        return mix_of(
            (draft.tools, {need.kind for need in draft.needs}, _solved(trajectory))
            for trajectory in self._run.trajectories()
            if (draft := drafts.get(trajectory.task.id)) is not None
        )

    @asynccontextmanager
    async def _clients(self) -> AsyncIterator[tuple[ChatClient, ChatClient]]:
        settings = self._settings
        writing = self._client(settings.server, "synthesis")
        checking = self._client(settings.checking, "synthesis check")
        async with entered(writing, checking):
            yield writing, checking

    @asynccontextmanager
    async def _sandbox(self) -> AsyncIterator[Sandbox]:
        """Where files are made: without tools, as walled in as candidates are."""
        from sport.sandbox import ForkSandbox

        recipe = self._run.recipe
        sandbox = ForkSandbox(
            {},
            recipe.sandbox.limits,
            unsafe_local=recipe.sandbox.unsafe_local,
            secrets=Secrets.of_environment(recipe.secret_names()),
        )
        try:
            yield Throttled(sandbox, asyncio.Semaphore(2 * (os.cpu_count() or 1)))
        finally:
            await sandbox.close()

    def _client(self, server: ServerSettings, role: str) -> ChatClient:
        assert server.model is not None, "the recipe was validated"
        return ChatClient(server, server.model, role, self._ledger)

    def _asker(
        self,
        client: ChatClient,
        concurrency: int,
        journal: Journal,
        temperature: float | None = None,
    ) -> Asker:
        settings = self._settings
        return Asker(
            client,
            journal,
            self._ledger,
            temperature=settings.temperature if temperature is None else temperature,
            max_new_tokens=settings.max_new_tokens,
            concurrency=concurrency,
            seed=self._run.recipe.seed,
        )


def _solved(trajectory: Trajectory) -> bool:
    """What counts as solved where nobody knows the answer.

    It answered, by what a tool showed, and no step failed.
    """
    return TrajectoryRules(max_failed_steps=0).apply(trajectory).keep
