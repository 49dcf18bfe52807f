"""What a run will ask of its servers, reckoned before anything is asked.

Two figures stand for every stage: what is likely, by the habits in :class:`Habits`, and what the
recipe's bounds allow at most. Both are arithmetic over the recipe and its own tasks and prompts;
neither is a measurement.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from sport.blobs import BlobStore
from sport.config import Recipe
from sport.policy.messages import tool_text
from sport.remote.config import Price
from sport.sources import open_source
from sport.types import Message, Task
from sport.workbench import Workbench

CHARS_A_TOKEN = 3.5
"""Characters of English and code in a token, roughly."""
PIXELS_A_TOKEN = 28 * 28
"""Pixels in a token of Qwen2-VL and Qwen2.5-VL; other families take fewer tokens for a picture."""


@dataclass(frozen=True)
class Habits:
    """How long things get.

    Attributes:
        steps: Steps of a trajectory.
        action: Tokens of an action.
        observation: Tokens of an observation.
        verdict: Tokens of a verdict.
        most: Whether every bound is reached.
    """

    steps: float
    action: int
    observation: int
    verdict: int
    most: bool = False


@dataclass(frozen=True)
class Load:
    """What one stage asks of one model.

    Attributes:
        stage: Such as ``round 1: exploring``.
        role: ``policy``, ``verifier``, ``keep``, ``synthesis`` or ``synthesis.checker``.
        requests: How many, where all succeed and ``n`` is honoured.
        read: Tokens read, a prompt once for the candidates that it is asked for together.
        written: Tokens written.
    """

    stage: str
    role: str
    requests: float
    read: float
    written: float

    def cost(self, price: Price | None) -> float:
        """In the currency of the price; 0 without one."""
        return (self.read * price.input + self.written * price.output) / 1e6 if price else 0.0


def likely(recipe: Recipe) -> Habits:
    """Half of the steps allowed, and texts of the length that agents of the paper's kind write."""
    sampling, verifier = recipe.sampling, recipe.verifier
    return Habits(
        steps=max(1.0, recipe.explore.max_steps / 2),
        action=min(120, sampling.max_new_tokens),
        observation=min(100, _tokens(recipe.sandbox.output_chars)),
        verdict=min(80, verifier.max_new_tokens),
    )


def at_most(recipe: Recipe) -> Habits:
    """Every bound of the recipe reached."""
    return Habits(
        steps=recipe.explore.max_steps,
        action=recipe.sampling.max_new_tokens,
        observation=_tokens(recipe.sandbox.output_chars),
        verdict=recipe.verifier.max_new_tokens,
        most=True,
    )


def loads(recipe: Recipe, *habits: Habits) -> list[list[Load]]:
    """What every stage of a run asks, in order, a list for each of some habits.

    Nothing is asked, and nothing is kept; tasks are drawn once for all.

    Raises:
        TasksError: The tasks cannot be read.
    """
    with TemporaryDirectory(prefix="sport-estimate-") as folder:
        blobs = BlobStore(Path(folder))
        source = open_source(recipe, blobs, partial(_unwritten, recipe, blobs))
        evaluated = {split: source.evaluation(split) for split in source.splits}
        explored = [source.train(k) for k in range(1, recipe.rounds + 1)]
        bench = Workbench(recipe)
        return [_stages(_Counted(recipe, h, bench), recipe, evaluated, explored) for h in habits]


def _unwritten(recipe: Recipe, blobs: BlobStore, name: str, n: int, round: int) -> list[Task]:
    """Stand for tasks that a model will write: each with one picture of the largest area."""
    from PIL import Image

    side = math.isqrt(recipe.images.max_pixels)
    data = io.BytesIO()
    Image.new("1", (side, side)).save(data, "PNG")
    picture = blobs.put(data.getvalue(), "image_0.png", "image/png")
    return [Task(id=f"{name}-{i}", query="x" * 140, files=(picture,)) for i in range(n)]


def _stages(
    counted: _Counted,
    recipe: Recipe,
    evaluated: Mapping[str, Sequence[Task]],
    explored: Sequence[Sequence[Task]],
) -> list[Load]:
    """The stages that ask anything; of the last split, the controls' too."""

    def solving(stage: str, split: str) -> Load:
        return counted.solving(stage, len(evaluated[split]), sizes[split])

    sizes = {split: counted.sizes(tasks) for split, tasks in evaluated.items()}
    asked: list[Load] = []
    for split, tasks in evaluated.items():
        asked += counted.writing(f"tasks of {split}", tasks)
    for k in range(recipe.rounds + 1):
        if k:
            asked += counted.writing(f"round {k}: tasks", explored[k - 1])
            asked += counted.exploring(f"round {k}: exploring", explored[k - 1])
        asked += [solving(f"round {k}: {split}", split) for split in evaluated]
    last = list(evaluated)[-1]
    for control in recipe.evaluation.controls if recipe.rounds else ():
        asked.append(solving(f"control {control}", last))
    return [load for load in asked if load.requests]


class _Counted:
    """Counts for one recipe, with one set of habits."""

    def __init__(self, recipe: Recipe, habits: Habits, bench: Workbench) -> None:
        self._recipe, self._habits, self._bench = recipe, habits, bench

    def sizes(self, tasks: Sequence[Task]) -> float:
        """Mean tokens of the opening of some tasks; of the first ones, where there are many."""
        some = tasks[:50]
        return sum(self._size(self._bench.opening(t)) for t in some) / max(1, len(some))

    def writing(self, stage: str, tasks: Sequence[Task]) -> Iterator[Load]:
        """Having tasks written, over files that are partly made, and checked."""
        from sport.synthesis.config import LLMSettings
        from sport.synthesis.plan import plan

        settings, h = self._recipe.synthesis, self._habits
        if not isinstance(settings, LLMSettings):
            return
        asked = plan(settings, len(tasks), h.most)
        tools = sum(_tokens(len(tool_text(t))) for t in self._bench.tools.values())
        picture = self._pictures(tasks)
        short, long = (settings.max_new_tokens,) * 2 if h.most else (120, 700)
        batch = settings.max_new_tokens if h.most else 60 * settings.batch
        yield Load(
            stage,
            "synthesis",
            asked.queries + asked.needs + asked.made,
            asked.queries * (tools + 500) + asked.needs * 400 + asked.made * 600,
            asked.queries * batch + asked.needs * short + asked.made * long,
        )
        yield Load(
            f"{stage}, checked",
            "synthesis.checker" if settings.checker else "synthesis",
            asked.checks,
            asked.checks * (tools + 400 + picture),
            asked.checks * short,
        )

    def exploring(self, stage: str, tasks: Sequence[Task]) -> Iterator[Load]:
        """Sampling n candidates a step, and judging them."""
        count = len(tasks)
        opening, n = self.sizes(tasks), self._recipe.sampling.n
        together = len(set(self._recipe.sampling.temperatures))
        yield self._policy(stage, count, opening, n, together)
        judge, h = self._recipe.verifier, self._habits
        images = self._pictures(tasks) if judge.images else 0.0
        if judge.kind == "llm":
            body = h.action + h.observation
            fixed = 600 + images + n * body
            asked = count * h.steps * judge.votes
            read = count * judge.votes * (h.steps * fixed + body * _triangle(h.steps))
            yield Load(stage, "verifier", asked, read, asked * h.verdict)
        if self._recipe.keep.kind == "llm":
            read = count * (400 + images + h.steps * (h.action + h.observation))
            yield Load(f"{stage}, kept", "keep", count, read, count * h.verdict)

    def solving(self, stage: str, count: int, opening: float) -> Load:
        """One candidate a step, unjudged."""
        return self._policy(stage, count, opening, 1, 1)

    def _policy(self, stage: str, count: int, opening: float, n: int, together: int) -> Load:
        h = self._habits
        if self._recipe.policy.server is None:
            return Load(stage, "policy", 0, 0, 0)
        history = (h.action + h.observation) * _triangle(h.steps)
        read = count * together * (h.steps * opening + history)
        return Load(
            stage, "policy", count * h.steps * together, read, count * h.steps * n * h.action
        )

    def _size(self, messages: Sequence[Message]) -> float:
        pictures = sum(self._picture_tokens(i.path) for m in messages for i in m.images)
        return pictures + sum(_tokens(len(m.text)) + 8 for m in messages)

    def _pictures(self, tasks: Sequence[Task]) -> float:
        some = tasks[:50]
        tokens = sum(self._picture_tokens(i.path) for t in some for i in t.images)
        return tokens / max(1, len(some))

    def _picture_tokens(self, path: Path) -> int:
        from PIL import Image

        with Image.open(path) as picture:
            area = picture.width * picture.height
        return math.ceil(min(area, self._recipe.images.max_pixels) / PIXELS_A_TOKEN)


def _triangle(steps: float) -> float:
    """How many earlier steps all steps of a trajectory read together."""
    return steps * (steps - 1) / 2


def _tokens(chars: int) -> int:
    return math.ceil(chars / CHARS_A_TOKEN)
