"""Where a run's tasks come from, to explore and to measure on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from sport.blobs import BlobStore
from sport.config import Recipe
from sport.evals.base import Benchmark, Score
from sport.synthesis.config import CaptionSettings, GrammarSettings, LLMSettings
from sport.tasks import load_tasks, split_by_file
from sport.types import Task, Trajectory, derive_seed

Write = Callable[[str, int, int], list[Task]]
"""Has tasks written: their name, how many, and the round that they are for."""


class Source(Protocol):
    """Tasks of a run."""

    @property
    def benchmark(self) -> str:
        """What evaluations call it."""
        ...

    @property
    def splits(self) -> tuple[str, ...]:
        """What is measured after each round, the one that counts last."""
        ...

    @property
    def probes(self) -> Mapping[str, str]:
        """Splits that show whether the picture is used, and what the picture is there."""
        ...

    @property
    def dev(self) -> str | None:
        """The split by which tuning stops early, if there is one."""
        ...

    def train(self, round: int) -> list[Task]:
        """The tasks that a round explores."""
        ...

    def evaluation(self, split: str) -> Sequence[Task]:
        """The tasks of a split, with gold where there is any."""
        ...

    def score(self, task: Task, trajectory: Trajectory) -> Score:
        """How a trajectory did on its task."""
        ...

    def figures(self, scores: Sequence[Score]) -> Mapping[str, Any]:
        """What a row says beyond the usual metrics."""
        ...


def open_source(
    recipe: Recipe,
    blobs: BlobStore,
    write: Write | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> Source:
    """The source that a recipe names.

    Args:
        recipe: The recipe.
        blobs: Where the bytes of files go.
        write: Has tasks written, for a recipe whose tasks a language model writes.
        say: Told what cannot be used of what the recipe names, and why.
    """
    if recipe.benchmark is not None:
        from sport.evals.bench import BenchmarkSource

        return BenchmarkSource(recipe, blobs)
    if recipe.tasks is not None:
        return OwnTasks(recipe, blobs)
    if isinstance(recipe.synthesis, LLMSettings):
        assert write is not None, "whoever opens such a source can write, or plans without one"
        return WrittenTasks(recipe, write)
    if isinstance(recipe.synthesis, CaptionSettings):
        return CaptionedPictures(recipe, blobs, say)
    return PocketWorld(recipe, blobs)


class PocketWorld:
    """The embedded world: fresh tasks every round, and a benchmark that shares none with them."""

    benchmark = "pocket"
    splits = ("dev", "test")
    dev = "dev"

    def __init__(self, recipe: Recipe, blobs: BlobStore) -> None:
        """Pictures go to ``blobs``."""
        from sport.pocket.benchmark import PROBES, PocketBenchmark

        assert isinstance(recipe.synthesis, GrammarSettings)
        self._per_round = recipe.synthesis.tasks_per_round
        self.probes: Mapping[str, str] = PROBES
        self._seed = recipe.seed
        self._blobs = blobs
        self._benchmark: Benchmark = PocketBenchmark(
            blobs.folder, dev=recipe.evaluation.dev, test=recipe.evaluation.test
        )

    def train(self, round: int) -> list[Task]:
        """Fresh tasks; another round or recipe seed gives others."""
        from sport.synthesis.grammar import GrammarSynthesizer

        synthesizer = GrammarSynthesizer("train", self._blobs.folder)
        return synthesizer.synthesize(self._per_round, derive_seed(self._seed, round, "tasks"))

    def evaluation(self, split: str) -> Sequence[Task]:
        """The benchmark's tasks, the same for every recipe."""
        return self._benchmark.tasks(split)

    def score(self, task: Task, trajectory: Trajectory) -> Score:
        """The benchmark's score."""
        return self._benchmark.score(task, trajectory)

    def figures(self, scores: Sequence[Score]) -> Mapping[str, Any]:
        """The benchmark's own figures."""
        return self._benchmark.figures(scores)


class _Unlabelled:
    """Tasks of a user's own, some of which are held out; most carry no answer."""

    benchmark = "own"
    splits = ("held-out",)
    probes: Mapping[str, str] = {}
    dev = None

    def score(self, task: Task, trajectory: Trajectory) -> Score:
        """The usual metrics; AnsAcc only where a task carries its answer."""
        from sport.evals.metrics import score

        return score(task, trajectory)

    def figures(self, scores: Sequence[Score]) -> Mapping[str, Any]:
        """Nothing beyond the usual metrics."""
        return {}


class OwnTasks(_Unlabelled):
    """A user's own tasks: every round explores all but a share that is held out by file."""

    def __init__(self, recipe: Recipe, blobs: BlobStore) -> None:
        """Reads all tasks and pictures at once, so that what is wrong with them shows at the start.

        Raises:
            TasksError: All that is wrong with them.
        """
        assert recipe.tasks is not None
        tasks = load_tasks(recipe.path(recipe.tasks), blobs, recipe.images.max_pixels)
        self._train, self._held_out = split_by_file(tasks, recipe.evaluation.held_out, recipe.seed)

    def train(self, round: int) -> list[Task]:
        """The tasks that are not held out, the same in every round."""
        return self._train

    def evaluation(self, split: str) -> Sequence[Task]:
        """The tasks that are held out."""
        return self._held_out


class WrittenTasks(_Unlabelled):
    """Tasks that a language model writes: fresh ones every round, and some that are held out.

    No picture of the library is in both.
    """

    def __init__(self, recipe: Recipe, write: Write) -> None:
        """Nothing is asked before tasks are."""
        assert isinstance(recipe.synthesis, LLMSettings)
        self._write = write
        self._per_round = recipe.synthesis.tasks_per_round
        self._share = recipe.evaluation.held_out

    def train(self, round: int) -> list[Task]:
        """Fresh tasks."""
        return self._write(f"round-{round}", self._per_round, round)

    def evaluation(self, split: str) -> Sequence[Task]:
        """As many as the recipe's share of a round's tasks."""
        return self._write(split, max(1, round(self._share * self._per_round)), 0)


class CaptionedPictures(_Unlabelled):
    """Tasks over a user's captioned pictures, made by rules; some pictures are held out."""

    def __init__(self, recipe: Recipe, blobs: BlobStore, say: Callable[[str], None]) -> None:
        """Reads the library at once, so that what is wrong with it shows at the start.

        Raises:
            LibraryError: It cannot be read, or is too small.
        """
        from sport.synthesis.captions import FEWEST, CaptionSynthesizer
        from sport.synthesis.pictures import open_library
        from sport.synthesis.split import held_out

        settings, share = recipe.synthesis, recipe.evaluation.held_out
        assert isinstance(settings, CaptionSettings)
        self._per_round, self._seed = settings.tasks_per_round, recipe.seed
        self._held_out = max(1, round(share * self._per_round))
        library = open_library(recipe, blobs.folder.parent, say)
        pictures = library.pictures()
        library.fetch(pictures)
        held = held_out(pictures, share, FEWEST)
        self._makers = {
            side: CaptionSynthesizer(
                [p for p in pictures if (p.file.sha256 in held) == side],
                recipe.tools,
                blobs.folder,
                max_pixels=recipe.images.max_pixels,
            )
            for side in (False, True)
        }

    def train(self, round: int) -> list[Task]:
        """Fresh tasks: those that come after the ones of the rounds before."""
        start = (round - 1) * self._per_round
        return self._makers[False].synthesize(start + self._per_round, self._seed)[start:]

    def evaluation(self, split: str) -> Sequence[Task]:
        """Tasks over other pictures, as many as the recipe's share of a round's."""
        return self._makers[True].synthesize(self._held_out, self._seed)
