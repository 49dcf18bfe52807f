"""What a benchmark is: tasks, and a score for a trajectory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from sport.agents.base import Agent
from sport.tools.function import Tool
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
        foreign: Calls of tools that the gold chain has none of.
        missing: Calls of the gold chain that were not made.
        exact: Whether every gold call was made with the gold arguments; ``None`` where no
            arguments are known.
        others: What other scorers of the same benchmark say of the answer.
        near: Whether a wrong answer holds the right one in another form.
        task: Id of the task.
        reason: Why a wrong answer is wrong (:func:`sport.evals.reasons.reason`).
    """

    answer: bool | None
    tool_acc: float | None
    code_exec: float
    steps: int
    finished: bool = False
    kind: str = ""
    first_tool: bool | None = None
    foreign: int = 0
    missing: int = 0
    exact: bool | None = None
    others: dict[str, bool | None] = {}
    near: bool = False
    task: str = ""
    reason: str = ""


class Benchmark(Protocol):
    """Tasks with gold, and the rule that scores a trajectory on one."""

    name: str

    def tasks(self, split: str) -> Sequence[Task]:
        """The tasks of a split, with gold."""
        ...

    def score(self, task: Task, trajectory: Trajectory) -> Score:
        """Scores ``trajectory`` on ``task`` (with gold)."""
        ...

    def figures(self, scores: Sequence[Score]) -> Mapping[str, Any]:
        """What a row says beyond the usual metrics, as JSON."""
        ...


class Turn(NamedTuple):
    """A gold action as an agent writes it, and what is observed after it."""

    text: str
    observation: str


class Equipment(Protocol):
    """What a benchmark brings beside its tasks."""

    def tools(self, task: Task) -> Mapping[str, Tool] | None:
        """A task's own tools; ``None`` takes the recipe's."""
        ...

    def script(self, task: Task, agent: Agent) -> Sequence[Turn]:
        """The gold chain of a task, as the agent's model would write it."""
        ...
