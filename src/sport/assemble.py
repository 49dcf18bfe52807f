"""Putting together what a recipe names. Back ends are imported here, when they are needed."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from sport.config import Recipe
from sport.policy.messages import opening
from sport.rollouts import Throttled
from sport.types import Gold, Message, Task
from sport.verify.base import Verifier

if TYPE_CHECKING:
    from sport.policy.local import LocalPolicy
    from sport.sandbox.base import Sandbox
    from sport.tools.base import Tool


def load_policy(recipe: Recipe, adapter: Path | None) -> LocalPolicy:
    """The recipe's controller with an adapter, under a versioned name.

    Raises:
        ValueError: The model or the adapter is not there.
    """
    import torch

    from sport.policy.local import LocalPolicy
    from sport.runtime import keep_freed_memory

    keep_freed_memory()
    settings = recipe.policy
    torch.set_num_threads(settings.threads or os.cpu_count() or 1)
    return LocalPolicy.load(
        model_path(recipe),
        adapter,
        name=policy_name(recipe, adapter),
        device=settings.device,
        batch_rows=settings.batch_rows,
    )


def model_path(recipe: Recipe) -> str:
    """Folder or hub name of the recipe's model."""
    model = recipe.policy.model
    if model == "pocket":
        return str(Path(__file__).parent / "pocket" / "base")
    folder = recipe.path(model)
    return str(folder) if folder.is_dir() else model


def policy_name(recipe: Recipe, adapter: Path | None) -> str:
    """Versioned name of the policy, such as ``pocket+r1``."""
    return Path(recipe.policy.model).name + (f"+{adapter.name}" if adapter else "")


def make_verifier(kind: str, golds: Mapping[str, Gold]) -> Verifier:
    """A verifier whose every verdict is honest (D2).

    Args:
        kind: ``rubric``, ``random`` or ``oracle``.
        golds: The gold of the tasks, by their ids; only the oracle sees it.
    """
    from sport.verify.controls import OracleVerifier, RandomVerifier
    from sport.verify.honest import HonestVerifier
    from sport.verify.rubric import RubricVerifier

    if kind == "oracle":
        return HonestVerifier(OracleVerifier(golds))
    return HonestVerifier(RandomVerifier() if kind == "random" else RubricVerifier())


class Workbench:
    """What a run's trajectories are made with: tools, sandbox, and the policy in use.

    Args:
        recipe: What the run does.
        cache: Folder of the results of deterministic tools; ``None`` keeps them in memory.
    """

    def __init__(self, recipe: Recipe, cache: Path | None = None) -> None:
        """Nothing is loaded before it is used."""
        self._recipe = recipe
        self._cache = cache
        self._policy: tuple[Path | None, LocalPolicy] | None = None

    @cached_property
    def tools(self) -> Mapping[str, Tool]:
        """The recipe's tools, by name."""
        from sport.tools.base import load_tools
        from sport.tools.builtin import BUILTIN

        return load_tools(self._recipe.tools, BUILTIN, self._recipe.root)

    def policy(self, adapter: Path | None) -> LocalPolicy:
        """The policy with an adapter; the last one asked for is kept loaded."""
        if self._policy is None or self._policy[0] != adapter:
            self._policy = None
            self._policy = (adapter, load_policy(self._recipe, adapter))
        return self._policy[1]

    def opening(self, task: Task) -> tuple[Message, ...]:
        """The messages that open the chat about a task."""
        prompt = self._recipe.policy.prompt
        name = str(self._recipe.path(prompt)) if prompt.endswith(".md") else prompt
        return opening(task, name, self.tools.values(), self._recipe.explore.max_steps)

    @asynccontextmanager
    async def sandbox(self) -> AsyncIterator[Sandbox]:
        """A sandbox with the tools, closed at the end of the block."""
        from sport.sandbox import ForkSandbox

        settings = self._recipe.sandbox
        sandbox = ForkSandbox(self.tools, settings.limits, unsafe_local=settings.unsafe_local)
        try:
            yield Throttled(sandbox, running=2 * (os.cpu_count() or 1))
        finally:
            await sandbox.close()


def golds(tasks: Sequence[Task]) -> dict[str, Gold]:
    """The gold of tasks that have one, by their ids."""
    return {task.id: task.gold for task in tasks if task.gold is not None}
