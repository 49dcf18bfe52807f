"""Many tasks at once: in fixed groups that step together, or each at its own pace.

A batched policy computes the same numbers only for the same batch. So the tasks of a group, which
are fixed by their order, step in lockstep: the policy is asked once all trajectories that are
still alive have asked, for all of them, in the order of their tasks. Sandboxes and tools run
concurrently in between.

A server batches by itself and promises no equal numbers. There every trajectory goes at its own
pace and is committed as soon as it ends.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from sport.concurrency import all_of
from sport.policy.base import Policy, Request, Sample
from sport.sandbox.base import Sandbox, Snapshot
from sport.types import Outcome, Task, Trajectory

Solve = Callable[[Task, Policy], Awaitable[Trajectory]]
"""Solves one task with a policy."""


async def rollout(
    tasks: Sequence[Task],
    policy: Policy,
    solve: Solve,
    *,
    group: int,
    commit: Callable[[list[Trajectory]], None],
    done: Callable[[int], None] = lambda n: None,
    say: Callable[[str], None] = lambda text: None,
    check: Callable[[], None] = lambda: None,
) -> None:
    """Solves tasks in groups.

    Args:
        tasks: In the order in which they are grouped and committed.
        policy: Asked once a step for a whole group.
        solve: Solves one task with the policy that it is handed.
        group: Tasks of a group.
        commit: Takes the trajectories of a finished group, in the order of its tasks.
        done: Told of trajectories that have ended, by number.
        say: Told how the group goes, in words.
        check: Asked before each group; what it raises ends the rollout there.

    Raises:
        Exception: What ``solve`` raised first; the group is abandoned, and nothing of it is
            committed.
    """
    for start in range(0, len(tasks), group):
        check()
        chunk = tasks[start : start + group]
        lockstep = Lockstep(policy, len(chunk), say)

        async def one(seat: int, task: Task, lockstep: Lockstep = lockstep) -> Trajectory:
            try:
                trajectory = await solve(task, lockstep.seat(seat))
            finally:
                lockstep.leave(seat)
            done(1)
            return trajectory

        commit(await all_of([one(i, task) for i, task in enumerate(chunk)]))


async def stream(
    tasks: Sequence[Task],
    policy: Policy,
    solve: Solve,
    *,
    in_flight: int,
    commit: Callable[[list[Trajectory]], None],
    done: Callable[[int], None] = lambda n: None,
    check: Callable[[], None] = lambda: None,
) -> None:
    """Solves tasks at their own pace, and commits each trajectory as it ends.

    Args:
        tasks: Begun in this order.
        policy: Asked for one step of one trajectory at a time, by many at once.
        solve: Solves one task with the policy.
        in_flight: How many trajectories are under way at a time.
        commit: Takes a finished trajectory.
        done: Told of trajectories that have ended, by number.
        check: Asked before each task. What it raises begins no more of them, and is raised once
            all that are under way have ended.

    Raises:
        Exception: What ``solve`` raised first; trajectories under way are abandoned.
    """
    owed = iter(tasks)
    halted: list[Exception] = []

    async def work() -> None:
        for task in owed:
            try:
                check()
            except Exception as reason:
                halted.append(reason)
            if halted:
                return
            commit([await solve(task, policy)])
            done(1)

    await all_of([work() for _ in range(min(in_flight, len(tasks)))])
    if halted:
        raise halted[0]


class Lockstep:
    """A barrier before a policy: everyone still seated asks, then the policy is asked once."""

    def __init__(
        self, policy: Policy, seats: int, say: Callable[[str], None] = lambda text: None
    ) -> None:
        """Seats 0 to ``seats - 1`` are taken; ``say`` is told of every step in words."""
        self._policy = policy
        self._say = say
        self._steps = 0
        self._seated = set(range(seats))
        self._asked: dict[int, tuple[Request, asyncio.Future[Sample]]] = {}
        self._sampling: set[asyncio.Task[None]] = set()

    def seat(self, index: int) -> Policy:
        """The policy as the trajectory on this seat sees it."""
        return _Seat(self, index, self._policy.name)

    def leave(self, index: int) -> None:
        """The trajectory on this seat asks no more."""
        self._seated.discard(index)
        self._asked.pop(index, None)
        self._go_if_all_asked()

    async def ask(self, index: int, request: Request) -> Sample:
        """Waits for the others, then for the policy."""
        future: asyncio.Future[Sample] = asyncio.get_running_loop().create_future()
        self._asked[index] = (request, future)
        self._go_if_all_asked()
        return await future

    def _go_if_all_asked(self) -> None:
        if self._asked and self._asked.keys() == self._seated:
            batch = [self._asked[i] for i in sorted(self._asked)]
            self._asked = {}
            self._steps += 1
            self._say(f"step {self._steps} of {len(batch)} trajectories")
            sampling = asyncio.ensure_future(self._sample(batch))
            self._sampling.add(sampling)
            sampling.add_done_callback(self._sampling.discard)

    async def _sample(self, batch: Sequence[tuple[Request, asyncio.Future[Sample]]]) -> None:
        futures = [future for _, future in batch]
        try:
            answers = await self._policy.sample([request for request, _ in batch])
        except asyncio.CancelledError:
            for future in futures:
                future.cancel()
            raise
        except Exception as error:
            # It belongs to those who asked: each of them raises it.
            for future in futures:
                if not future.done():
                    future.set_exception(error)
            return
        for future, answer in zip(futures, answers, strict=True):
            if not future.done():
                future.set_result(answer)


class _Seat:
    """One trajectory's view of a policy behind a :class:`Lockstep`."""

    def __init__(self, lockstep: Lockstep, index: int, name: str) -> None:
        self._lockstep = lockstep
        self._index = index
        self.name = name

    async def sample(self, requests: Sequence[Request]) -> Sequence[Sample]:
        return [await self._lockstep.ask(self._index, request) for request in requests]


class Throttled:
    """A sandbox in which few worlds run at a time.

    More of them than there are cores would only slow each other down, until wall time limits
    meant for one candidate ended many.
    """

    def __init__(self, sandbox: Sandbox, places: asyncio.Semaphore) -> None:
        """So many steps of ``sandbox``, and of all others with these places, run at a time."""
        self.tier = sandbox.tier
        self.commit = sandbox.commit
        self.discard = sandbox.discard
        self.close = sandbox.close
        self._sandbox = sandbox
        self._places = places

    async def open(self, workspace: Path | None = None) -> Snapshot:
        """As the sandbox does; only then does it know its tier."""
        world = await self._sandbox.open(workspace)
        self.tier = self._sandbox.tier
        return world

    async def run(
        self, base: Snapshot, codes: Sequence[str], seed: int = 0, hold: bool = False
    ) -> list[Outcome]:
        """As the sandbox does, once there is a place."""
        async with self._places:
            return await self._sandbox.run(base, codes, seed, hold)

    async def finish(self, outcome: Outcome) -> Outcome:
        """As the sandbox does, once there is a place."""
        async with self._places:
            return await self._sandbox.finish(outcome)
