"""Tasks of the pocket world, made offline by its grammar."""

from __future__ import annotations

import io
from pathlib import Path

from sport.blobs import BlobStore
from sport.pocket.grammar import Problem, Split, make_problem
from sport.pocket.render import render
from sport.types import File, Gold, Task, derive_seed


class GrammarSynthesizer:
    """Draws problems of a split and renders their pictures."""

    def __init__(self, split: Split, blobs: Path) -> None:
        """Makes tasks of ``split``; pictures go to the blob folder ``blobs``."""
        self._split = split
        self._blobs = BlobStore(blobs)

    def synthesize(self, n: int, seed: int) -> list[Task]:
        """Makes ``n`` tasks with gold.

        The same seed gives the same tasks, and a larger ``n`` the same ones and more; another seed
        gives others, under other ids. No picture comes twice.
        """
        if n < 0:
            raise ValueError(f"the number of tasks must not be negative, got {n}")
        name = f"pocket-{self._split}-{derive_seed(self._split, seed) % 16**8:08x}"
        tasks: list[Task] = []
        pictures: set[str] = set()
        draw = 0
        while len(tasks) < n:
            problem = make_problem(self._split, derive_seed("problem", seed, draw))
            draw += 1
            picture = self._store(problem)
            if picture.sha256 not in pictures:
                pictures.add(picture.sha256)
                tasks.append(_task(f"{name}-{len(tasks):06d}", problem, picture))
        return tasks

    def _store(self, problem: Problem) -> File:
        buffer = io.BytesIO()
        render(problem).save(buffer, "PNG", compress_level=1)
        return self._blobs.put(buffer.getvalue(), "image_0.png", "image/png")


def _task(id: str, problem: Problem, picture: File) -> Task:
    return Task(
        id=id,
        query=problem.query,
        files=(picture,),
        kind=problem.kind,
        gold=Gold(answer=problem.answer, tools=problem.tools),
    )
