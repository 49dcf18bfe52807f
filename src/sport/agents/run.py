"""One task by one agent: the loop's own exploring, a library's loop, or gold step by gold step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sport.agents.base import Agent, Bounds
from sport.evals.base import Turn
from sport.loop import NOT_JUDGED, explore, workspace_of
from sport.policy.base import ContextFull, Missing, Policy, Request
from sport.policy.messages import observe
from sport.sandbox.base import Sandbox
from sport.tools.function import Tool
from sport.types import Candidate, Message, Step, Task, Trajectory, derive_seed
from sport.verify.base import Verifier


async def solve(
    agent: Agent,
    task: Task,
    policy: Policy,
    sandbox: Sandbox,
    verifier: Verifier | None,
    opening: Sequence[Message],
    tools: Mapping[str, Tool],
    bounds: Bounds,
) -> Trajectory:
    """Solves a task by an agent.

    Raises:
        ValueError: The agent cannot choose among several candidates.
    """
    if agent.name == "smolagents":
        from sport.agents.smol import solve_by_library

        if verifier is not None:
            raise ValueError("the agent smolagents takes one sample a step: leave --best-of out")
        return await solve_by_library(task, policy, sandbox, opening, tools, bounds)
    return await explore(
        task,
        agent.drive(policy),
        sandbox,
        verifier,
        opening=opening,
        plan=bounds.plan,
        max_steps=agent.steps or bounds.max_steps,
        max_errors=bounds.max_errors,
        seed=bounds.seed,
        round=bounds.round,
        seen=bounds.seen,
    )


async def step_by_step(
    agent: Agent,
    task: Task,
    policy: Policy,
    sandbox: Sandbox,
    opening: Sequence[Message],
    script: Sequence[Turn],
    bounds: Bounds,
) -> Trajectory:
    """Asks for every gold step on its own, after the gold steps before it (GTA, section 4.2).

    Each action runs in a world of its own that no step before has touched.
    """
    messages, steps = list(opening), list[Step]()
    driven = agent.drive(policy)
    for index, turn in enumerate(script):
        seeds = tuple(
            derive_seed(bounds.seed, bounds.round, task.id, index, j) for j in range(bounds.plan.n)
        )
        [sample] = await driven.sample(
            [Request(messages=tuple(messages), seeds=seeds, plan=bounds.plan)]
        )
        full = isinstance(sample, ContextFull)
        action = None if isinstance(sample, ContextFull) else sample[0]
        if action is None or isinstance(action, Missing):
            end = "context_full" if full else "unavailable"
            return _forced(task, policy, sandbox, opening, steps, bounds, end)
        outcome = None
        if action.code is not None:
            with workspace_of(task.files) as folder:
                world = await sandbox.open(folder)
            try:
                [ran] = await sandbox.run(world, [action.code], seeds[0])
                outcome = ran.model_copy(update={"id": ""})
            finally:
                await sandbox.discard(world)
        candidate = Candidate(action=action, outcome=outcome, observation=observe(action, outcome))
        steps.append(Step(index=index, candidates=(candidate,), verdict=NOT_JUDGED, chosen=0))
        messages.append(Message(role="assistant", text=turn.text))
        messages.append(Message(role="user", text=f"Observation:\n{turn.observation}"))
    last = steps[-1].winner
    done = last is not None and last.outcome is not None and last.outcome.final_answer is not None
    end = "finished" if done else "max_steps"
    return _forced(task, policy, sandbox, opening, steps, bounds, end)


def _forced(
    task: Task,
    policy: Policy,
    sandbox: Sandbox,
    opening: Sequence[Message],
    steps: Sequence[Step],
    bounds: Bounds,
    end: str,
) -> Trajectory:
    return Trajectory.model_validate(
        {
            "task": task.blind(),
            "opening": tuple(opening),
            "steps": tuple(steps),
            "end": end,
            "detail": "Each step was asked for after the gold steps before it.",
            "round": bounds.round,
            "policy": policy.name,
            "tier": sandbox.tier,
            "seed": bounds.seed,
        }
    )
