"""GTA as a benchmark: tasks, score, figures, and the tools and scripts that its recordings give."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from sport.agents.base import Agent
from sport.blobs import BlobStore
from sport.evals.base import Score, Turn
from sport.evals.config import BenchmarkSettings
from sport.evals.gta.data import GTAError, Item, find_data, load_items, missing_pictures
from sport.evals.gta.mapping import base_name
from sport.evals.gta.metrics import GTAScore, figures, score_item
from sport.evals.gta.replay import UNRECORDED, Replay
from sport.files import Intake
from sport.tools.function import Tool
from sport.types import Gold, Task, Trajectory

_NO_PICTURES = "The pictures cannot be shown to you; tools take their names: {names}."


class GTABenchmark:
    """GTA's 229 items, or the first of them.

    Attributes:
        name: ``gta``.
    """

    name = "gta"
    splits: tuple[str, ...] = ("test",)

    def __init__(
        self, settings: BenchmarkSettings, data: Path, blobs: BlobStore, max_pixels: int
    ) -> None:
        """Reads the items.

        Args:
            settings: How they are asked and scored.
            data: Folder of the data.
            blobs: Where the pictures go.
            max_pixels: Area to which larger ones are scaled down.

        Raises:
            GTAError: The data cannot be read, or pictures are missing.
        """
        self._settings = settings
        self._file = find_data(data)
        items = load_items(self._file)[: settings.limit]
        self._items = {item.id: item for item in items}
        self._intake = Intake(self._file.parent.absolute(), blobs, max_pixels)
        if settings.pictures:
            self._check_pictures(items)

    def _check_pictures(self, items: Sequence[Item]) -> None:
        missing = missing_pictures(self._file, items)
        if missing:
            shown = ", ".join(missing[:3])
            raise GTAError(
                f"{self._file.parent}: {len(missing)} pictures of GTA are missing, such as {shown}."
                " Download the pictures from https://github.com/open-compass/GTA/releases and lay "
                "their folder `image` beside the file, or leave them out with --no-pictures."
            )

    def tasks(self, split: str) -> list[Task]:
        """The items as tasks, with gold."""
        return [self._task(item) for item in self._items.values()]

    def _task(self, item: Item) -> Task:
        gold = Gold(
            answer=item.gt_answer,
            tools=tuple(call.name for call in item.calls),
        )
        if not self._settings.pictures:
            names = ", ".join(base_name(path) for path in item.pictures)
            query = f"{item.query}\n{_NO_PICTURES.format(names=names)}"
            return Task(id=item.id, query=query, kind=item.kind, gold=gold)
        files, problems = self._intake.take(item.pictures)
        if problems:
            raise GTAError(f"{self._file}, item {item.id}: {problems[0]}")
        return Task(id=item.id, query=item.query, files=files, kind=item.kind, gold=gold)

    def score(self, task: Task, trajectory: Trajectory) -> GTAScore:
        """By the settings' scorer; see :mod:`sport.evals.gta.metrics`."""
        return score_item(
            self._items[task.id],
            task,
            trajectory,
            self._settings.scorer,
            self._replay(task),
            self._settings.step_by_step,
        )

    def figures(self, scores: Sequence[Score]) -> Mapping[str, Any]:
        """GTA's own figures."""
        own = [score for score in scores if isinstance(score, GTAScore)]
        return {"scorer": self._settings.scorer, **figures(own, self._settings.replay == "gta")}

    def tools(self, task: Task) -> Mapping[str, Tool] | None:
        """The tools that answer from the task's recordings, where that is asked for."""
        return None if self._settings.replay is None else self._replay(task).tools()

    def script(self, task: Task, agent: Agent) -> list[Turn]:
        """The gold chain as an agent would write it, with the recorded observations.

        Where a dialog ends with a tool, what that tool gave is the answer.

        Raises:
            GTAError: The agent has no format to write it in.
        """
        if agent.write is None:
            raise GTAError(f"the gold chains cannot be followed by the agent {agent.name!r}")
        item, replay = self._items[task.id], self._replay(task)
        turns: list[Turn] = []
        answer = ""
        for gold in item.turns:
            thought = gold.thought.partition("```")[0].strip()
            if gold.call is None:
                continue
            seen = replay.say(gold.call)
            answer = base_name(gold.call.result) if gold.call.picture else gold.call.result
            answer = answer if gold.call.recorded else UNRECORDED
            if seen is not None:
                turns.append(Turn(agent.write(thought, seen.name, seen.arguments), answer))
            elif agent.name == "code":  # Calculator, Solver and Plot are Python
                text = agent.write(thought, "str", {"object": answer})
                turns.append(Turn(text, answer))
        said = item.turns[-1].answer
        last = {"answer": answer if said is None else said}
        return [*turns, Turn(agent.write("I know the answer.", "final_answer", last), "")]

    def _replay(self, task: Task) -> Replay:
        item = self._items[task.id]
        names = {base_name(p): f.name for p, f in zip(item.pictures, task.files, strict=False)}
        return Replay(item, names, self._settings.replay or "gta")

    @cached_property
    def queries(self) -> Mapping[str, str]:
        """The questions by item, for the check of contamination."""
        return {item_id: item.query for item_id, item in self._items.items()}
