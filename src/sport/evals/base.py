"""What a benchmark is: tasks, and a score for a trajectory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from sport.types import Record, Task, Trajectory


class Score(Record):
    """How one trajectory did on its task.

    Attributes:
        answer: Whether the answer is right; ``None`` where it cannot be scored.
        tool_acc: Matched tools / longer of called and gold chain, in [0, 1]; ``None`` without a
            gold chain.
        code_exec: Share of steps whose code ran without error, in [0, 1].
        steps: Number of steps.
        finished: Whether the trajectory ended with an answer of its own.
        kind: Family of the task, for break-downs.
        first_tool: Whether the first tool called is the first of the gold chain; ``None`` without
            a gold chain.
    """

    answer: bool | None
    tool_acc: float | None
    code_exec: float
    steps: int
    finished: bool = False
    kind: str = ""
    first_tool: bool | None = None


class Benchmark(Protocol):
    """Tasks with gold, and the rule that scores a trajectory on one."""

    name: str

    def tasks(self, split: str) -> Sequence[Task]:
        """The tasks of a split, with gold."""
        ...

    def score(self, task: Task, trajectory: Trajectory) -> Score:
        """Scores ``trajectory`` on ``task`` (with gold)."""
        ...
