"""A benchmark as a run's source of tasks: measured, and never learnt from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, cast

from sport.agents.base import Agent
from sport.blobs import BlobStore
from sport.config import Recipe, RecipeError
from sport.evals.base import Benchmark, Equipment, Score, Turn
from sport.tools.function import Tool
from sport.types import Task, Trajectory


class _Whole(Benchmark, Protocol):
    splits: tuple[str, ...]


class BenchmarkSource:
    """The source of a recipe with a section ``[benchmark]``.

    It is the run's equipment, too: tools and scripts, where the benchmark has recordings.
    """

    probes: Mapping[str, str] = {}
    dev = None

    def __init__(self, recipe: Recipe, blobs: BlobStore) -> None:
        """Reads the benchmark's data.

        Raises:
            RecipeError: The recipe does not say where they are.
        """
        self._benchmark = _open(recipe, blobs)
        assert recipe.benchmark is not None
        self._limit = recipe.benchmark.limit
        self.benchmark = recipe.benchmark.name
        self.splits: tuple[str, ...] = self._benchmark.splits

    def train(self, round: int) -> list[Task]:
        """There are none.

        Raises:
            RecipeError: Always: a benchmark is not trained on.
        """
        raise RecipeError(f"{self.benchmark} is a benchmark: it is measured and never trained on")

    def evaluation(self, split: str) -> Sequence[Task]:
        """The items, with gold; the first of them where there is a limit."""
        return self._benchmark.tasks(split)[: self._limit]

    def score(self, task: Task, trajectory: Trajectory) -> Score:
        """The benchmark's score."""
        return self._benchmark.score(task, trajectory)

    def figures(self, scores: Sequence[Score]) -> Mapping[str, Any]:
        """The benchmark's own figures."""
        return self._benchmark.figures(scores)

    def tools(self, task: Task) -> Mapping[str, Tool] | None:
        """A task's recorded tools, where they are asked for."""
        return self._recordings.tools(task) if self._recordings else None

    def script(self, task: Task, agent: Agent) -> Sequence[Turn]:
        """The gold chain of a task.

        Raises:
            RecipeError: The benchmark has none.
        """
        if self._recordings is None:
            raise RecipeError(f"{self.benchmark} has no recorded gold chains; GTA has")
        return self._recordings.script(task, agent)

    @property
    def _recordings(self) -> Equipment | None:
        return cast(Equipment, self._benchmark) if self.benchmark == "gta" else None


def _open(recipe: Recipe, blobs: BlobStore) -> _Whole:
    settings = recipe.benchmark
    assert settings is not None
    if settings.name == "pocket":
        from sport.pocket.benchmark import PocketBenchmark

        return PocketBenchmark(blobs.folder, dev=recipe.evaluation.dev, test=recipe.evaluation.test)
    if settings.data is None:
        raise RecipeError(
            f"benchmark.data is missing: give the folder of {settings.name}'s data with --data"
        )
    data, pixels = recipe.path(settings.data), recipe.images.max_pixels
    if settings.name == "gta":
        from sport.evals.gta.benchmark import GTABenchmark

        return GTABenchmark(settings, data, blobs, pixels)
    from sport.evals.gaia import GAIABenchmark

    return GAIABenchmark(data, blobs, pixels)
