"""What a synthesizer is: it makes tasks."""

from __future__ import annotations

from typing import Protocol

from sport.types import Task


class Synthesizer(Protocol):
    """Makes tasks with their files (paper, section 3.2)."""

    def synthesize(self, n: int, seed: int) -> list[Task]:
        """Makes ``n`` tasks; the same ``seed`` gives the same tasks."""
        ...
