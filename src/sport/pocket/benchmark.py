"""The pocket world's benchmark: two fixed sets of tasks that share nothing with training.

Two probes show whether the controller looks at the picture: the test tasks whose wording leaves
the tool open, with blank pictures, and with each other's. Where the picture decides, the choice of
the first tool must then fall to chance.
"""

from __future__ import annotations

import io
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from sport.blobs import BlobStore
from sport.evals.base import Score
from sport.evals.metrics import score
from sport.pocket.grammar import Split
from sport.synthesis.grammar import GrammarSynthesizer
from sport.types import File, Task, Trajectory

_SEED = 0
"""Fixed for all recipes, so that their figures can be compared."""


AMBIGUOUS = ("stock", "total")
"""Kinds whose wording is the same over a scene and over a written note."""

PROBES = {"test-blank": "blank", "test-swapped": "another task's"}
"""Splits that show whether the picture is used, and what the picture is there."""


class PocketBenchmark:
    """Development tasks, on which choices are made, and test tasks, which are only measured."""

    name = "pocket"
    splits: tuple[str, ...] = ("test",)

    def __init__(self, blobs: Path, dev: int = 200, test: int = 400) -> None:
        """Sets the sizes of the two splits; pictures go to the blob folder ``blobs``."""
        self._blobs = blobs
        self._sizes: dict[Split, int] = {"dev": dev, "test": test}
        self._made: dict[str, Sequence[Task]] = {}

    def tasks(self, split: str) -> Sequence[Task]:
        """The tasks of ``dev``, ``test`` or a probe, with gold, drawn when they are first needed.

        Raises:
            ValueError: There is no such split.
        """
        if split in PROBES:
            tasks = [task for task in self.tasks("test") if task.kind in AMBIGUOUS]
            return self._blank(tasks) if split == "test-blank" else _swapped(tasks)
        for known, size in self._sizes.items():
            if known == split and split not in self._made:
                self._made[split] = GrammarSynthesizer(known, self._blobs).synthesize(size, _SEED)
        if split not in self._made:
            raise ValueError(f"the pocket benchmark has the splits dev and test, not {split!r}")
        return self._made[split]

    def _blank(self, tasks: Sequence[Task]) -> list[Task]:
        store, made = BlobStore(self._blobs), []
        for task in tasks:
            [file] = task.files
            with Image.open(file.path) as picture:
                size = picture.size
            buffer = io.BytesIO()
            Image.new("RGB", size, "white").save(buffer, "PNG")
            made.append(_with(task, store.put(buffer.getvalue(), file.name, "image/png")))
        return made

    def score(self, task: Task, trajectory: Trajectory) -> Score:
        """The usual metrics: see :func:`sport.evals.metrics.score`."""
        return score(task, trajectory)

    def figures(self, scores: Sequence[Score]) -> Mapping[str, Any]:
        """Nothing beyond the usual metrics."""
        return {}


def _swapped(tasks: Sequence[Task]) -> list[Task]:
    """Each task with another one's picture, drawn by lot; none where there is no other."""
    if len(tasks) < 2:
        return []
    order = list(range(len(tasks)))
    random.Random(_SEED).shuffle(order)
    donors = dict(zip(order, [*order[1:], *order[:1]], strict=True))
    return [_with(task, tasks[donors[i]].files[0]) for i, task in enumerate(tasks)]


def _with(task: Task, picture: File) -> Task:
    return task.model_copy(update={"files": (picture,)})
