"""The parts that a recipe names, each made by one function. Back ends are imported when needed."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sport.config import Recipe, RecipeError
from sport.policy.base import SamplingPlan
from sport.remote.ledger import Ledger
from sport.types import Gold, Task
from sport.verify.base import Verifier

if TYPE_CHECKING:
    from sport.policy.chat import ChatPolicy
    from sport.policy.local import LocalPolicy
    from sport.tools.base import Tool
    from sport.verify.trajectory import TrajectoryVerifier


POCKET = Path(__file__).parent / "pocket" / "base"
"""Folder of the embedded model."""


def load_recipe_tools(recipe: Recipe) -> Mapping[str, Tool]:
    """The recipe's tools by name, or those of the run that it replays.

    Raises:
        ToolNotFound: One cannot be had.
    """
    from sport.tools.builtin import BUILTIN
    from sport.tools.load import load_tools
    from sport.tools.replay import replayed_tools

    if recipe.replay is not None:
        return replayed_tools(recipe.path(recipe.replay))
    return load_tools(recipe.tools, BUILTIN, recipe.root, recipe.tool, recipe.mcp)


def load_policy(recipe: Recipe, adapter: Path | None) -> LocalPolicy:
    """The recipe's controller with an adapter, under a versioned name.

    Raises:
        RecipeError: The model or the adapter cannot be loaded.
    """
    import torch
    import transformers

    from sport.policy.local import LocalPolicy
    from sport.runtime import keep_freed_memory

    keep_freed_memory()
    transformers.utils.logging.disable_progress_bar()
    settings = recipe.policy
    torch.set_num_threads(settings.threads or os.cpu_count() or 1)
    try:
        return LocalPolicy.load(
            model_path(recipe),
            adapter,
            name=policy_name(recipe, adapter),
            device=settings.device,
            dtype=getattr(torch, settings.dtype),
            batch_rows=settings.batch_rows,
            four_bit=settings.quantize == "4bit",
            history_mb=settings.history_mb,
        )
    except (OSError, ValueError) as error:
        raise RecipeError(f"policy.model = {settings.model!r} cannot be loaded: {error}") from error


def model_path(recipe: Recipe) -> str:
    """Folder or hub name of the recipe's model."""
    model = recipe.policy.model
    if model == "pocket":
        return str(POCKET)
    folder = recipe.path(model)
    return str(folder) if folder.is_dir() else model


def policy_name(recipe: Recipe, adapter: Path | None) -> str:
    """Versioned name of the policy, such as ``pocket+r1``."""
    return Path(recipe.policy.model).name + (f"+{adapter.name}" if adapter else "")


def chat_policy(
    recipe: Recipe, adapter: Path | None, ledger: Ledger, served: str | None = None
) -> ChatPolicy:
    """The recipe's controller behind its server.

    Args:
        recipe: Names the server.
        adapter: The policy's adapter.
        ledger: Where costs are booked.
        served: What the model is called in a server that the run started, with that adapter in it
            unless it loads adapters.

    Raises:
        RecipeError: There is an adapter, and the server is not said to load any.
        RemoteError: The server's key is not there.
    """
    from sport.policy.chat import ChatPolicy
    from sport.remote.client import ChatClient

    server = recipe.policy.server
    assert server is not None, "the recipe was validated"
    name = policy_name(recipe, adapter)
    if server.model is not None and served is None and not server.load_adapters:
        # A server that is only asked, such as a teacher's: what it writes is its own model's.
        name = Path(server.model).name
    if served is not None and not server.load_adapters:
        adapter = None
    if adapter is not None and not server.load_adapters:
        raise RecipeError(
            f"policy.server.load_adapters is false, so the tuned adapter {adapter} cannot reach "
            f"{server.url}. Set it to true where the server is a vLLM that loads adapters, or use "
            "rounds = 0, `sport synth` and `sport explore` with a server that cannot be tuned."
        )
    client = ChatClient(server, served or recipe.policy.model, "policy", ledger)
    wire = None
    if recipe.agent == "toolcall":
        from sport.agents.native import native_wire

        wire = native_wire
    return ChatPolicy(client, name, adapter, wire)


def make_verifier(kind: str, golds: Mapping[str, Gold], accuracy: float = 1.0) -> Verifier:
    """A verifier whose every verdict is honest (D2).

    Args:
        kind: ``rubric``, ``random`` or ``oracle``.
        golds: The gold of the tasks, by their ids; only the oracle sees it.
        accuracy: How often the oracle is right where there is a choice.
    """
    from sport.verify.controls import DegradedOracle, OracleVerifier, RandomVerifier
    from sport.verify.honest import HonestVerifier
    from sport.verify.rubric import RubricVerifier

    if kind == "oracle":
        oracle = OracleVerifier(golds)
        return HonestVerifier(oracle if accuracy == 1 else DegradedOracle(oracle, accuracy))
    return HonestVerifier(RandomVerifier() if kind == "random" else RubricVerifier())


def llm_verifier(recipe: Recipe, ledger: Ledger) -> Verifier:
    """The verifier behind the recipe's server.

    Raises:
        RecipeError: Its prompt is not one.
        RemoteError: The server's key is not there.
    """
    from sport.remote.client import ChatClient
    from sport.verify.llm import LLMVerifier
    from sport.verify.prompt import PROMPT, check_prompt

    settings = recipe.verifier
    server = settings.server
    assert server is not None and server.model is not None, "the recipe was validated"
    prompt = PROMPT if settings.prompt is None else recipe.path(settings.prompt)
    try:
        check_prompt(prompt)
    except ValueError as error:
        raise RecipeError(f"verifier.prompt: {error}") from None
    return LLMVerifier(
        ChatClient(server, server.model, "verifier", ledger),
        mode=settings.mode,
        votes=settings.votes,
        images=settings.images,
        temperature=settings.temperature,
        max_new_tokens=settings.max_new_tokens,
        prompt=prompt,
    )


def trajectory_verifier(recipe: Recipe, ledger: Ledger) -> TrajectoryVerifier:
    """What keeps or drops whole trajectories.

    Raises:
        RecipeError: Its prompt is not one.
        RemoteError: The server's key is not there.
    """
    from sport.remote.client import ChatClient
    from sport.verify.trajectory import PROMPT, LLMTrajectoryVerifier, TrajectoryRules

    settings, judge = recipe.keep, recipe.verifier
    rules = TrajectoryRules(settings.max_failed_steps)
    if settings.kind == "rules":
        return rules
    assert judge.server is not None and judge.server.model is not None, "the recipe was validated"
    try:
        return LLMTrajectoryVerifier(
            ChatClient(judge.server, judge.server.model, "keep", ledger),
            rules,
            images=judge.images,
            temperature=judge.temperature,
            max_new_tokens=judge.max_new_tokens,
            prompt=PROMPT if settings.prompt is None else recipe.path(settings.prompt),
        )
    except ValueError as error:
        raise RecipeError(f"keep.prompt: {error}") from None


@asynccontextmanager
async def entered(*parts: object) -> AsyncIterator[None]:
    """Connects those parts that hold connections, and closes them at the end of the block."""
    async with AsyncExitStack() as stack:
        for part in parts:
            if isinstance(part, AbstractAsyncContextManager):
                await stack.enter_async_context(part)
        yield


def greedy(recipe: Recipe) -> SamplingPlan:
    """How policies are evaluated: greedily, with one sample a step (D6)."""
    return SamplingPlan(
        temperatures=(0.0,), top_p=1.0, max_new_tokens=recipe.sampling.max_new_tokens
    )


def golds(tasks: Sequence[Task]) -> dict[str, Gold]:
    """The gold of tasks that have one, by their ids."""
    return {task.id: task.gold for task in tasks if task.gold is not None}
