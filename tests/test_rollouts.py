"""Groups that step together: batches and commits follow the tasks' order, whatever is slow."""

import asyncio
from collections.abc import Sequence

import pytest

from sport.policy.base import ContextFull, Policy, Request, SamplingPlan
from sport.rollouts import rollout
from sport.types import Action, Message, Task, Trajectory

PLAN = SamplingPlan(temperatures=(0.0,))


class Recorder:
    """Records the batches that it is asked for."""

    name = "recorder"

    def __init__(self) -> None:
        self.batches: list[list[str]] = []

    async def sample(self, requests: Sequence[Request]) -> list[list[Action] | ContextFull]:
        self.batches.append([r.messages[0].text for r in requests])
        await asyncio.sleep(0.001)
        return [[Action(text=r.messages[0].text)] for r in requests]


def tasks(*steps: int) -> list[Task]:
    return [Task(id=f"{i}", query=f"{n}") for i, n in enumerate(steps)]


async def walk(task: Task, policy: Policy) -> Trajectory:
    """As many steps as the query says, the first tasks the slowest."""
    for _ in range(int(task.query)):
        message = Message(role="user", text=task.id)
        [[action]] = await policy.sample([Request(messages=(message,), seeds=(0,), plan=PLAN)])
        assert action.text == task.id
        await asyncio.sleep(0.02 / (1 + int(task.id)))
    return Trajectory(task=task, opening=(), steps=(), end="finished")


async def test_a_group_asks_once_a_step_for_all_who_are_left() -> None:
    policy, groups = Recorder(), list[list[str]]()
    await rollout(
        tasks(2, 1, 3, 2, 1),
        policy,
        walk,
        group=3,
        commit=lambda ts: groups.append([t.task.id for t in ts]),
    )
    assert policy.batches == [["0", "1", "2"], ["0", "2"], ["2"], ["3", "4"], ["3"]]
    assert groups == [["0", "1", "2"], ["3", "4"]]


async def test_who_asks_nothing_holds_nobody_up() -> None:
    policy = Recorder()
    await rollout(tasks(0, 1, 0), policy, walk, group=3, commit=lambda ts: None)
    assert policy.batches == [["1"]]


async def test_an_error_abandons_its_group_and_keeps_the_one_before() -> None:
    groups: list[list[str]] = []
    cancelled: list[str] = []

    async def breaks(task: Task, policy: Policy) -> Trajectory:
        if task.id == "3":
            raise RuntimeError("the sandbox broke")
        try:
            return await walk(task, policy)
        except asyncio.CancelledError:
            cancelled.append(task.id)
            raise

    with pytest.raises(RuntimeError, match="the sandbox broke"):
        await rollout(
            tasks(1, 1, 1, 1),
            Recorder(),
            breaks,
            group=2,
            commit=lambda ts: groups.append([t.task.id for t in ts]),
        )
    assert groups == [["0", "1"]]
    assert cancelled == ["2"]


async def test_a_policy_that_fails_is_heard_of() -> None:
    class Broken(Recorder):
        async def sample(self, requests: Sequence[Request]) -> list[list[Action] | ContextFull]:
            raise MemoryError("no room for 3 rows")

    with pytest.raises(MemoryError, match="no room"):
        await rollout(tasks(1, 1), Broken(), walk, group=2, commit=lambda ts: None)


async def test_progress_is_told_of_every_trajectory() -> None:
    told: list[int] = []
    await rollout(
        tasks(1, 2, 1), Recorder(), walk, group=2, commit=lambda ts: None, done=told.append
    )
    assert sum(told) == 3
