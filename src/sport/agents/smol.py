"""The library smolagents' own ``CodeAgent`` over our tools and policies, as an outside peer.

The library runs its loop, with its prompts, its parsing and its memory. Its model is our policy,
and its code runs in our sandbox, since the library's own executor is no protection from code that a
model wrote. A limit of errors, which it does not know, is not kept.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from sport.agents.base import Bounds
from sport.agents.smol_parts import make_agent
from sport.loop import NOT_JUDGED, workspace_of
from sport.policy.base import ContextFull, Missing, Policy, Request
from sport.policy.messages import observe
from sport.sandbox.base import Sandbox, Snapshot
from sport.tools.function import Tool
from sport.types import (
    Action,
    Candidate,
    End,
    FinalAnswer,
    Message,
    Observation,
    Outcome,
    Step,
    Task,
    Trajectory,
    derive_seed,
)

T = TypeVar("T")


class NoAction(Exception):
    """The policy gave none: the context is full, or its server did not answer."""


async def solve_by_library(
    task: Task,
    policy: Policy,
    sandbox: Sandbox,
    opening: Sequence[Message],
    tools: Mapping[str, Tool],
    bounds: Bounds,
) -> Trajectory:
    """Solves a task by ``smolagents.CodeAgent``.

    Raises:
        ModuleNotFoundError: The library is not installed.
        SandboxError: The sandbox itself fails.
    """
    with workspace_of(task.files) as folder:
        world = await sandbox.open(folder)
    bridge = Bridge(task, policy, sandbox, world, bounds)
    agent, pictures = make_agent(bridge, opening, tools, bounds.max_steps)
    # A thread of its own: tasks that step together would wait for each other's threads in a pool.
    pool = ThreadPoolExecutor(1, thread_name_prefix="smolagents")
    try:
        await asyncio.get_running_loop().run_in_executor(
            pool, bridge.run, agent, opening[-1].text, pictures
        )
    finally:
        pool.shutdown(wait=False)
        await sandbox.discard(bridge.world)
    steps, end = bridge.steps(agent)
    for step in steps:
        bounds.seen(step)
    return Trajectory(
        task=task.blind(),
        opening=bridge.opening or tuple(opening),
        steps=steps,
        end=bridge.end or end,
        detail=bridge.detail,
        round=bounds.round,
        policy=policy.name,
        tier=sandbox.tier,
        seed=bounds.seed,
    )


def _comes_of(error: BaseException | None, kind: type[Exception]) -> bool:
    """Whether an error is of a kind, or was raised because of, or while handling, one that is."""
    while error is not None:
        if isinstance(error, kind):
            return True
        error = error.__cause__ or error.__context__
    return False


class Bridge:
    """What the library, in its thread, asks of our event loop; and what came of it.

    Attributes:
        world: The world that the next code runs from.
        opening: The messages of the first request.
        end: Why the run was broken off, if it was.
        detail: A sentence on that.
    """

    def __init__(
        self, task: Task, policy: Policy, sandbox: Sandbox, world: Snapshot, bounds: Bounds
    ) -> None:
        """Made in the event loop."""
        self.task = task
        self.world = world
        self.opening: tuple[Message, ...] = ()
        self.end: End | None = None
        self.detail = ""
        self._policy = policy
        self._sandbox = sandbox
        self._bounds = bounds
        self._loop = asyncio.get_running_loop()
        self._actions: list[Action] = []
        self._outcomes: list[Outcome] = []

    def run(self, agent: Any, query: str, pictures: Sequence[Any]) -> None:
        """Runs the agent in this thread; that the policy gives no action ends it.

        Raises:
            Exception: Whatever else the library fails with.
        """
        try:
            agent.run(query, images=list(pictures) or None)
        except Exception as error:
            # The library wraps what its model raises; why there was no action is in `detail`.
            if not _comes_of(error, NoAction):
                raise

    def generate(self, messages: tuple[Message, ...], stops: Sequence[str]) -> str:
        """The text of an action after these messages, up to a stop.

        Raises:
            NoAction: There is none.
        """
        self.opening = self.opening or messages
        origin = (self._bounds.seed, self._bounds.round, self.task.id, len(self._actions))
        request = Request(
            messages=messages, seeds=(derive_seed(*origin, 0),), plan=self._bounds.plan
        )
        [sample] = self._wait(self._policy.sample([request]))
        if isinstance(sample, ContextFull):
            self.end, self.detail = "context_full", str(sample)
            raise NoAction(self.detail)
        action = sample[0]
        if isinstance(action, Missing):
            self.end, self.detail = "unavailable", action.reason
            raise NoAction(self.detail)
        self._actions.append(action)
        cuts = [found for stop in stops if (found := action.text.find(stop)) >= 0]
        return action.text[: min(cuts, default=None)]

    def execute(self, code: str) -> Outcome:
        """Runs code from the present world; where it lives on, its world is the next one."""
        [outcome] = self._wait(
            self._sandbox.run(self.world, [code], derive_seed(self.task.id, len(self._outcomes)))
        )
        self._outcomes.append(outcome.model_copy(update={"id": ""}))
        if outcome.status in ("ok", "error"):
            self.world = self._wait(self._sandbox.commit(outcome))
        return outcome

    def _wait(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def steps(self, agent: Any) -> tuple[tuple[Step, ...], End]:
        """The steps of the agent's memory, and how they end."""
        outcomes = iter(self._outcomes)
        made: list[Step] = []
        end: End = "failed"
        records = [s for s in agent.memory.steps if hasattr(s, "model_output")]
        for record, action in zip(records, self._actions, strict=False):
            outcome = next(outcomes, None) if record.code_action is not None else None
            if record.model_output is None:  # asked for an answer after its last step
                action = action.model_copy(update={"code": None, "error": None})
                outcome = Outcome(final_answer=FinalAnswer(value=str(record.action_output)))
                end = "max_steps"
            else:
                action = _reread(action, record)
                end = "finished" if outcome and outcome.final_answer else end
            seen = _seen(record) or observe(action, outcome).text
            candidate = Candidate(
                action=action, outcome=outcome, observation=Observation(text=seen)
            )
            made.append(
                Step(index=len(made), candidates=(candidate,), verdict=NOT_JUDGED, chosen=0)
            )
        return tuple(made), end


def _reread(action: Action, record: Any) -> Action:
    code = record.code_action
    thought = (record.model_output or "").partition("```")[0].partition("<code>")[0].strip()
    error = None if code is not None else str(record.error)
    return action.model_copy(
        update={"text": record.model_output, "thought": thought, "code": code, "error": error}
    )


def _seen(record: Any) -> str:
    parts = [record.observations, record.error and str(record.error)]
    return "\n".join(part for part in parts if part)
