"""Putting together what a recipe names. Back ends are imported here, when they are needed."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from sport.agents.base import AGENTS, Agent, Bounds
from sport.agents.run import solve, step_by_step
from sport.config import Recipe, RecipeError
from sport.policy.base import Policy, Request, Sample, SamplingPlan
from sport.policy.messages import opening
from sport.policy.scripted import ScriptedPolicy
from sport.remote.keys import Key
from sport.remote.ledger import Ledger
from sport.rollouts import Throttled, rollout, stream
from sport.types import Gold, Message, Step, Task, Trajectory
from sport.verify.base import Verifier

if TYPE_CHECKING:
    from sport.evals.base import Equipment
    from sport.policy.chat import ChatPolicy
    from sport.policy.local import LocalPolicy
    from sport.sandbox.base import Sandbox
    from sport.tools.base import Tool


POCKET = Path(__file__).parent / "pocket" / "base"
"""Folder of the embedded model."""


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


def chat_policy(recipe: Recipe, adapter: Path | None, ledger: Ledger) -> ChatPolicy:
    """The recipe's controller behind its server.

    Raises:
        RecipeError: There is an adapter, and the server is not said to load any.
        RemoteError: The server's key is not there.
    """
    from sport.policy.chat import ChatPolicy
    from sport.remote.client import ChatClient

    server = recipe.policy.server
    assert server is not None, "the recipe was validated"
    if adapter is not None and not server.load_adapters:
        raise RecipeError(
            f"policy.server.load_adapters is false, so the tuned adapter {adapter} cannot reach "
            f"{server.url}. Set it to true where the server is a vLLM that loads adapters, or use "
            "rounds = 0, `sport synth` and `sport explore` with a server that cannot be tuned."
        )
    client = ChatClient(server, recipe.policy.model, "policy", ledger)
    wire = None
    if recipe.agent == "toolcall":
        from sport.agents.native import native_wire

        wire = native_wire
    return ChatPolicy(client, policy_name(recipe, adapter), adapter, wire)


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


@asynccontextmanager
async def entered(*parts: object) -> AsyncIterator[None]:
    """Connects those parts that hold connections, and closes them at the end of the block."""
    async with AsyncExitStack() as stack:
        for part in parts:
            if isinstance(part, AbstractAsyncContextManager):
                await stack.enter_async_context(part)
        yield


class Workbench:
    """What a run's trajectories are made with: tools, sandbox, and the policy in use.

    Args:
        recipe: What the run does.
        cache: Folder of the results of deterministic tools; ``None`` keeps them in memory.
        ledger: Where costs are booked; by default nowhere.
        equipment: What a benchmark brings; asked for when it is first needed.
    """

    def __init__(
        self,
        recipe: Recipe,
        cache: Path | None = None,
        ledger: Ledger | None = None,
        equipment: Callable[[], Equipment | None] = lambda: None,
    ) -> None:
        """Nothing is loaded before it is used."""
        self._recipe = recipe
        self._agent: Agent = AGENTS[recipe.agent]
        self._get_equipment = equipment
        self._cache = cache
        self._ledger = ledger or Ledger()
        self._policy: tuple[Path | None, LocalPolicy] | None = None

    @cached_property
    def tools(self) -> Mapping[str, Tool]:
        """The recipe's tools, by name."""
        from sport.tools.builtin import BUILTIN
        from sport.tools.cache import ToolCache
        from sport.tools.load import load_tools

        file = None
        if self._cache is not None:
            self._cache.mkdir(parents=True, exist_ok=True)
            file = self._cache / "tools.sqlite"
        tools = load_tools(self._recipe.tools, BUILTIN, self._recipe.root)
        return ToolCache(file).wrap(tools.values())

    def check(self) -> None:
        """Finds, before anything is computed, what would fail later.

        Raises:
            ToolNotFound: A tool is not there.
            ValueError: The prompt is not there.
            RemoteError: The key of a server is not there.
        """
        if self._recipe.benchmark is None or self._recipe.benchmark.replay is None:
            self.opening(Task(id="", query=""))
        for server in self._recipe.servers().values():
            Key.read(server.key_env)

    def verifier(self, golds: Mapping[str, Gold]) -> Verifier:
        """The recipe's verifier; only an oracle sees the gold of the tasks."""
        if self._recipe.verifier.kind == "llm":
            return llm_verifier(self._recipe, self._ledger)
        return make_verifier(self._recipe.verifier.kind, golds)

    def controller(self, adapter: Path | None) -> Policy:
        """The policy with an adapter, to sample from: a server's, or the one loaded here."""
        settings = self._recipe.policy
        if settings.kind == "chat":
            return chat_policy(self._recipe, adapter, self._ledger)
        if settings.kind == "script":
            from sport.policy.script import load_script

            return load_script(settings.model, self._recipe.root)
        return GoldPolicy() if settings.kind == "gold" else self.policy(adapter)

    def policy(self, adapter: Path | None) -> LocalPolicy:
        """The policy with an adapter, loaded here, to tune; the last one asked for is kept."""
        if self._policy is None or self._policy[0] != adapter:
            self._policy = None
            self._policy = (adapter, self.fresh_policy(adapter))
        return self._policy[1]

    def fresh_policy(self, adapter: Path | None) -> LocalPolicy:
        """The policy with an adapter, loaded beside the one in use."""
        return load_policy(self._recipe, adapter)

    @property
    def _equipment(self) -> Equipment | None:
        return self._get_equipment()

    def tools_of(self, task: Task) -> Mapping[str, Tool]:
        """The tools that a task is solved with: its own, or the recipe's."""
        if not self._agent.tools:
            return {}
        own = self._equipment.tools(task) if self._equipment is not None else None
        return self.tools if own is None else own

    def opening(self, task: Task) -> tuple[Message, ...]:
        """The messages that open the chat about a task."""
        prompt = self._agent.prompt or self._recipe.policy.prompt
        name = str(self._recipe.path(prompt)) if prompt.endswith(".md") else prompt
        told = self._agent.tell(self.tools_of(task).values())
        return opening(task, name, told, self._recipe.explore.max_steps)

    async def solve(
        self,
        tasks: Sequence[Task],
        policy: Policy,
        verifier: Verifier | None,
        *,
        plan: SamplingPlan,
        round: int,
        group: int | None,
        commit: Callable[[list[Trajectory]], None],
        done: Callable[[int], None] = lambda n: None,
        say: Callable[[str], None] = lambda text: None,
        check: Callable[[], None] = lambda: None,
        seen: Callable[[Step], None] = lambda step: None,
    ) -> None:
        """Solves tasks in groups, or without one at their own pace; see :mod:`sport.rollouts`."""
        recipe = self._recipe
        bounds = Bounds(
            plan, recipe.explore.max_steps, recipe.explore.max_errors, recipe.seed, round, seen
        )
        async with self.sandboxes() as sandbox_for, entered(policy, verifier):

            async def one(task: Task, policy: Policy) -> Trajectory:
                async with sandbox_for(task) as sandbox:
                    return await self._solve_one(task, policy, sandbox, verifier, bounds)

            if group is None:
                in_flight = recipe.policy.server.concurrency if recipe.policy.server else 1
                await stream(
                    tasks, policy, one, in_flight=in_flight, commit=commit, done=done, check=check
                )
            else:
                await rollout(
                    tasks,
                    policy,
                    one,
                    group=group,
                    commit=commit,
                    done=done,
                    say=say,
                    check=check,
                )

    async def _solve_one(
        self,
        task: Task,
        policy: Policy,
        sandbox: Sandbox,
        verifier: Verifier | None,
        bounds: Bounds,
    ) -> Trajectory:
        opened, equipment = self.opening(task), self._equipment
        forced = self._recipe.benchmark is not None and self._recipe.benchmark.step_by_step
        if equipment is not None and (forced or self._recipe.policy.kind == "gold"):
            script = equipment.script(task, self._agent)
            if self._recipe.policy.kind == "gold":
                policy = ScriptedPolicy([turn.text for turn in script], policy.name)
            if forced:
                return await step_by_step(
                    self._agent, task, policy, sandbox, opened, script, bounds
                )
        tools = self.tools_of(task)
        return await solve(self._agent, task, policy, sandbox, verifier, opened, tools, bounds)

    @asynccontextmanager
    async def sandboxes(
        self,
    ) -> AsyncIterator[Callable[[Task], AbstractAsyncContextManager[Sandbox]]]:
        """Gives the sandbox of a task: a shared one, or one of its own where its tools are its own.

        All are closed at the end of the block.
        """
        from sport.sandbox import ForkSandbox

        settings = self._recipe.sandbox
        places = asyncio.Semaphore(2 * (os.cpu_count() or 1))

        def make(tools: Mapping[str, Tool]) -> ForkSandbox:
            return ForkSandbox(tools, settings.limits, unsafe_local=settings.unsafe_local)

        shared = make(self.tools if self._agent.tools else {})

        @asynccontextmanager
        async def sandbox_for(task: Task) -> AsyncIterator[Sandbox]:
            tools = self.tools_of(task)
            if not tools or tools is self.tools:
                yield Throttled(shared, places)
                return
            async with make(tools) as own:
                yield Throttled(own, places)

        try:
            yield sandbox_for
        finally:
            await shared.close()


class GoldPolicy:
    """Stands for the scripts of the gold chains, of which every task has its own."""

    name = "gold"

    async def sample(self, requests: Sequence[Request]) -> Sequence[Sample]:
        """Is never asked: every task asks its own script."""
        raise AssertionError("every task has a script of its own")


def greedy(recipe: Recipe) -> SamplingPlan:
    """How policies are evaluated: greedily, with one sample a step (D6)."""
    return SamplingPlan(
        temperatures=(0.0,), top_p=1.0, max_new_tokens=recipe.sampling.max_new_tokens
    )


def golds(tasks: Sequence[Task]) -> dict[str, Gold]:
    """The gold of tasks that have one, by their ids."""
    return {task.id: task.gold for task in tasks if task.gold is not None}
