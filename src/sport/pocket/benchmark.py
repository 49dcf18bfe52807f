"""The pocket world's benchmark: two fixed sets of tasks that share nothing with training."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sport.evals.base import Score
from sport.evals.metrics import score
from sport.pocket.grammar import Split
from sport.synthesis.grammar import GrammarSynthesizer
from sport.types import Task, Trajectory

_SEED = 0
"""Fixed for all recipes, so that their figures can be compared."""


class PocketBenchmark:
    """Development tasks, on which choices are made, and test tasks, which are only measured."""

    name = "pocket"

    def __init__(self, blobs: Path, dev: int = 200, test: int = 400) -> None:
        """Sets the sizes of the two splits; pictures go to the blob folder ``blobs``."""
        self._blobs = blobs
        self._sizes: dict[Split, int] = {"dev": dev, "test": test}
        self._made: dict[str, Sequence[Task]] = {}

    def tasks(self, split: str) -> Sequence[Task]:
        """The tasks of ``dev`` or ``test``, with gold, drawn when they are first asked for.

        Raises:
            ValueError: There is no such split.
        """
        for known, size in self._sizes.items():
            if known == split and split not in self._made:
                self._made[split] = GrammarSynthesizer(known, self._blobs).synthesize(size, _SEED)
        if split not in self._made:
            raise ValueError(f"the pocket benchmark has the splits dev and test, not {split!r}")
        return self._made[split]

    def score(self, task: Task, trajectory: Trajectory) -> Score:
        """The usual metrics: see :func:`sport.evals.metrics.score`."""
        return score(task, trajectory)
