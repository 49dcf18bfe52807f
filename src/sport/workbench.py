"""Where a run's trajectories are made: its tools, its sandboxes, and the policy in use."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from sport.agents.base import AGENTS, Agent, Bounds
from sport.agents.run import solve, step_by_step
from sport.assemble import (
    chat_policy,
    entered,
    llm_verifier,
    load_policy,
    load_recipe_tools,
    make_verifier,
    model_path,
    trajectory_verifier,
)
from sport.config import Recipe
from sport.policy.base import Policy, Request, Sample, SamplingPlan
from sport.policy.messages import opening
from sport.policy.scripted import ScriptedPolicy
from sport.remote.keys import Key
from sport.remote.ledger import Ledger, Usage
from sport.rollouts import Throttled, rollout, stream
from sport.secrets import Secrets
from sport.tools.load import check_tools
from sport.types import Gold, Message, Step, Task, Trajectory
from sport.verify.base import Verifier

if TYPE_CHECKING:
    from sport.evals.base import Equipment
    from sport.hosts import Hosts
    from sport.policy.local import LocalPolicy
    from sport.sandbox.base import Sandbox
    from sport.tools.base import Tool
    from sport.tools.cache import ToolCache
    from sport.verify.trajectory import TrajectoryVerifier


class Workbench:
    """What a run's trajectories are made with: tools, sandbox, and the policy in use.

    Args:
        recipe: What the run does.
        cache: Folder of the results of deterministic tools; ``None`` keeps them in memory.
        ledger: Where costs are booked; by default nowhere.
        equipment: What a benchmark brings; asked for when it is first needed.
        hosts: Starts the servers that are children of the run; without it none is.
    """

    def __init__(
        self,
        recipe: Recipe,
        cache: Path | None = None,
        ledger: Ledger | None = None,
        equipment: Callable[[], Equipment | None] = lambda: None,
        hosts: Hosts | None = None,
    ) -> None:
        """Nothing is loaded before it is used."""
        self._hosts = hosts
        self._recipe = recipe
        self._agent: Agent = AGENTS[recipe.agent]
        self._get_equipment = equipment
        self._cache = cache
        self._ledger = ledger or Ledger()
        self._policy: tuple[Path | None, LocalPolicy] | None = None
        self._booked: dict[str, tuple[int, float]] = {}

    @cached_property
    def tools(self) -> Mapping[str, Tool]:
        """The recipe's tools, by name."""
        from sport.tools.cards import card

        tools = load_recipe_tools(self._recipe)
        for name, tool in tools.items():
            self.tool_cache.store.keep_card(name, card(tool))
        return self.tool_cache.wrap(tools.values())

    @cached_property
    def tool_cache(self) -> ToolCache:
        """Where calls of the recipe's tools are kept, and equal ones are made once."""
        from sport.tools.cache import ToolCache
        from sport.tools.calls import FILE, CallStore

        file = None
        if self._cache is not None:
            self._cache.mkdir(parents=True, exist_ok=True)
            file = self._cache / FILE
        store = CallStore(file)
        # What a run that goes on paid before stands in its ledger already.
        self._booked = {count.tool: (count.called, count.cost) for count in store.counts()}
        return ToolCache(store, self._secrets)

    @cached_property
    def _secrets(self) -> Secrets:
        return Secrets.of_environment(self._recipe.secret_names())

    def settle_tools(self) -> None:
        """Writes what calls of tools are still to be written, and books what they have cost."""
        self.tool_cache.store.flush()
        if not any(tool.cost for tool in self.tools.values()):
            return
        for count in self.tool_cache.store.counts():
            made, cost = self._booked.get(count.tool, (0, 0.0))
            if count.cost > cost:
                usage = Usage(requests=count.called - made, cost=count.cost - cost)
                self._ledger.book("tool", count.tool, usage)
            self._booked[count.tool] = (count.called, count.cost)

    def unanswered(self) -> int:
        """Calls of the run that the replayed one has no answer to."""
        if self._recipe.replay is None:
            return 0
        return sum(count.missing for count in self.tool_cache.store.counts())

    def check(self) -> None:
        """Finds, before anything is computed, what would fail later.

        Raises:
            ToolNotFound: A tool is not there, or lacks what it needs.
            ValueError: The prompt is not there.
            RemoteError: The key of a server is not there.
        """
        if self._recipe.benchmark is None or self._recipe.benchmark.replay is None:
            self.opening(Task(id="", query=""))
            check_tools(self.tools.values() if self._agent.tools else ())
        for server in self._recipe.servers().values():
            Key.read(server.key_env)

    def verifier(self, golds: Mapping[str, Gold]) -> Verifier:
        """The recipe's verifier; only an oracle sees the gold of the tasks."""
        if self._recipe.verifier.kind == "llm":
            if self._hosts is not None:
                self._hosts.verifier()
            return llm_verifier(self._recipe, self._ledger)
        return make_verifier(self._recipe.verifier.kind, golds)

    def trajectory_verifier(self) -> TrajectoryVerifier:
        """What keeps or drops whole trajectories."""
        if self._recipe.keep.kind == "llm" and self._hosts is not None:
            self._hosts.verifier()
        return trajectory_verifier(self._recipe, self._ledger)

    def controller(self, adapter: Path | None) -> Policy:
        """The policy with an adapter, to sample from: a server's, or the one loaded here."""
        settings = self._recipe.policy
        if settings.kind == "local":
            return self.policy(adapter)
        if settings.kind == "script":
            from sport.policy.script import load_script

            return load_script(settings.model, self._recipe.root)
        if settings.kind == "gold":
            return GoldPolicy()
        served = None
        if self._hosts is not None and settings.serve is not None:
            self.forget()
            served = self._hosts.policy(model_path(self._recipe), adapter)
        return chat_policy(self._recipe, adapter, self._ledger, served)

    def forget(self) -> None:
        """Frees the memory of the policy that is loaded here."""
        if self._policy is None:
            return
        import gc

        import torch

        self._policy = None
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def make_room(self) -> None:
        """Has the run's own servers free their GPU, before something is tuned here."""
        if self._hosts is not None:
            self._hosts.free()

    def close(self) -> None:
        """Ends the servers that were started."""
        if "tool_cache" in vars(self):
            self.tool_cache.store.flush()
        if self._hosts is not None:
            self._hosts.close()

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
            return ForkSandbox(
                tools,
                settings.limits,
                unsafe_local=settings.unsafe_local,
                side_effects=self._recipe.explore.side_effects == "winner",
                secrets=self._secrets,
            )

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
