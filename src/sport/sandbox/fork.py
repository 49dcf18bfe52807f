"""The forking sandbox: every candidate in a world of its own, the winner's goes on."""

from __future__ import annotations

import asyncio
import itertools
import os
import resource
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from sport.sandbox import folders, processes
from sport.sandbox.base import Limits, SandboxError, Snapshot
from sport.sandbox.candidate import Follower
from sport.sandbox.channel import WorldChannel
from sport.sandbox.forks import ForkGate
from sport.sandbox.launch import Worker, start_worker
from sport.sandbox.toolcalls import ToolDesk
from sport.sandbox.walls import LAYERS
from sport.sandbox.watch import Watcher
from sport.sandbox.world import WORKSPACE_FD
from sport.sandbox.worlds import World, ask, empty, equip, furnish, send_fd
from sport.secrets import Secrets
from sport.tools.function import Tool, as_tool
from sport.tools.paths import read_file
from sport.types import Outcome, derive_seed

_AT_ONCE = 32
"""Candidates that one message asks for: their descriptors must fit beside it."""

_DESCRIPTORS = 16_384

_IN_LINE = 1 << 20
"""Bytes of a workspace that is copied without leaving the event loop."""


class ForkSandbox:
    """Runs model-written code, each candidate in a process forked from the same world.

    Many worlds may be open at once, and their runs go on side by side::

        async with ForkSandbox({"ocr": ocr}, Limits(wall_s=10)) as sandbox:
            base = await sandbox.open(Path("files"))
            outcomes = await sandbox.run(base, ["x = 1", "x = 2"])
            base = await sandbox.commit(outcomes[1])

    Attributes:
        tier: ``strong`` (namespaces, Landlock, seccomp), ``standard`` (without namespaces) or
            ``unsafe_local``; empty before the first world is opened.
        tier_details: What that is made of here, by layer: ``namespaces``, ``Landlock``,
            ``seccomp`` and ``limits``, which names what bounds a candidate as a whole.
    """

    def __init__(
        self,
        tools: Mapping[str, Tool | Callable[..., Any]] | None = None,
        limits: Limits | None = None,
        *,
        preload: Sequence[str] = (),
        unsafe_local: bool = False,
        tier: str | None = None,
        tool_threads: int = 8,
        folder: Path | None = None,
        side_effects: bool = True,
        secrets: Secrets | None = None,
    ) -> None:
        """Nothing is started before it is used.

        Args:
            tools: What candidates may call, by name.
            limits: Bounds of every candidate.
            preload: Modules that every world has imported already: it saves importing them in
                each candidate, and makes every fork dearer.
            unsafe_local: Whether to run without walls where they cannot be had.
            tier: Only this tier; the best there is if not given.
            tool_threads: How many tools may run at once.
            folder: Where workspaces lie while they live; if not given, in memory where there is
                room, since that is ten times as fast as a disk.
            side_effects: Whether tools with side effects may be called at all.
            secrets: What no candidate may see in what tools return or raise; if not given, the
                secrets of this process's environment.
        """
        self._tools = {name: as_tool(value, name) for name, value in (tools or {}).items()}
        self._limits = limits or Limits()
        self._preload = tuple(preload)
        self._unsafe_local = unsafe_local
        self._only = tier
        self._folder = folder
        hidden = Secrets.of_environment() if secrets is None else secrets
        self._desk = ToolDesk(self._tools, tool_threads, hidden, side_effects)
        self._watcher = Watcher(self._limits)
        self._worker: Worker | None = None
        self._gate: ForkGate | None = None
        self._follower: Follower | None = None
        self._starting = asyncio.Lock()
        self._worlds: dict[str, World] = {}
        self._numbers = itertools.count()
        self._closed = False
        self.tier = ""
        self.tier_details: dict[str, str] = {}

    async def __aenter__(self) -> ForkSandbox:
        """Starts the worker."""
        await self._started()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Ends everything."""
        await self.close()

    async def open(self, workspace: Path | None = None) -> Snapshot:
        """Starts a fresh world; the folder ``workspace`` is copied in.

        Raises:
            SandboxError: There is no such folder, or the sandbox cannot start.
        """
        if workspace is not None and not workspace.is_dir():
            raise SandboxError(f"workspace {workspace} is not a folder")
        worker = await self._started()
        number = next(self._numbers)
        slot = worker.root / f"w{number}"
        channel = WorldChannel(asyncio.get_running_loop())
        world = World(f"w{number}", slot, 0, channel, gate=self._gate)
        try:
            await asyncio.to_thread(furnish, slot, workspace, self._limits)
            with world.channel.remote as remote:
                # The nursery listens at all times: a short message never blocks for long.
                send_fd(worker, remote.fileno())
            await world.hello()
            world.alone = True
        except EOFError:
            await self._remove(world)
            raise SandboxError(
                "the sandbox's worker is gone: close it and make a new one"
            ) from None
        except BaseException:
            await self._remove(world)
            raise
        self._worlds[world.id] = world
        self._weigh(world)
        return Snapshot(id=world.id, workspace=world.workspace)

    async def run(
        self, base: Snapshot, codes: Sequence[str], seed: int = 0, hold: bool = False
    ) -> list[Outcome]:
        """Runs every code from ``base``, none seeing another; outcomes in the order of codes.

        Args:
            base: The world to run from; several runs from one are possible, one after another.
            codes: Code of the candidates.
            seed: Seeds ``random`` and numpy; each candidate gets a stream of its own.
            hold: Whether a candidate stands still before its first call of a tool with side
                effects, until :meth:`finish`; its outcome says so by ``waits``.

        Raises:
            SandboxError: ``base`` is not a world of this sandbox, or has seen too many steps.
        """
        world = self._world(base.id)
        if world.step >= LAYERS:
            raise SandboxError(f"a world can go {LAYERS} steps; set max_steps to 14 or less")
        async with world.turn:
            candidates: list[World] = []
            try:
                await self._fork(world, len(codes), candidates)
                outcomes = await self._follow(candidates, codes, seed, hold)
            except BaseException:
                for candidate in candidates:
                    await self._remove(candidate)
                raise
            world.stop()
            if any(candidate.ended for candidate in candidates):
                world.end_orphans()
        return outcomes

    async def _follow(
        self, candidates: Sequence[World], codes: Sequence[str], seed: int, hold: bool
    ) -> list[Outcome]:
        assert self._follower is not None
        follower = self._follower
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [
                    group.create_task(follower.follow(c, code, derive_seed("run", seed, i), hold))
                    for i, (c, code) in enumerate(zip(candidates, codes, strict=True))
                ]
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None
        return [task.result() for task in tasks]

    async def finish(self, outcome: Outcome) -> Outcome:
        """Lets a candidate that stands still make its call and run on; gives what came of it.

        Raises:
            SandboxError: The outcome's world is gone, or it does not stand still.
        """
        world = self._world(outcome.id)
        if self._follower is None or outcome.waits is None:
            raise SandboxError("this candidate does not wait for anything")
        return await self._follower.finish(world)

    async def commit(self, outcome: Outcome) -> Snapshot:
        """Makes the world of ``outcome`` the next base; its siblings are gone.

        Raises:
            SandboxError: The outcome's world is gone, or the candidate did not survive.
        """
        world = self._world(outcome.id)
        if world.parent is None or world.process is None:
            raise SandboxError(f"the world of this outcome ({outcome.status}) is gone")
        if self._follower is not None and self._follower.is_waiting(world):
            raise SandboxError("this candidate waits before a call with side effects: finish it")
        base = world.parent
        family = [pid for child in base.children.values() for pid in child.pids]
        for sibling in list(base.children.values()):
            if sibling is not world:
                await self._remove(sibling)
        world.parent = None
        self._worlds.pop(base.id)
        base.end(family)
        # A stale path into the former workspace, kept in some variable, means the present one.
        os.rename(world.slot / "work", world.slot / "base")
        os.symlink(f"/proc/self/fd/{WORKSPACE_FD}", world.slot / "work")
        folders.remove(str(base.slot / "base"))
        empty(world.slot / "n")
        return Snapshot(id=world.id, workspace=world.workspace)

    async def discard(self, base: Snapshot) -> None:
        """Ends a world and all that descends from it; unknown ones are fine."""
        world = self._worlds.get(base.id)
        if world is not None:
            await self._remove(world)

    async def read_file(self, outcome: Outcome | Snapshot, path: str) -> bytes:
        """The bytes of a file in a live world's workspace, safely: no symlink is followed.

        Raises:
            SandboxError: The world is gone.
            OSError: There is no such file in the workspace.
        """
        workspace = self._world(outcome.id).workspace
        return await asyncio.to_thread(read_file, workspace, path)

    async def close(self) -> None:
        """Ends everything; calling it again is fine."""
        self._closed = True
        for world in list(self._worlds.values()):
            world.end()
        self._worlds.clear()
        self._desk.close()
        worker, self._worker = self._worker, None
        if worker is not None:
            await asyncio.shield(asyncio.to_thread(self._shut, worker))

    def _shut(self, worker: Worker) -> None:
        self._watcher.close()
        worker.stop()
        if self._gate is not None:
            self._gate.close()

    async def _started(self) -> Worker:
        async with self._starting:
            if self._closed:
                raise SandboxError("this sandbox is closed: make a new one")
            if self._worker is None:
                _allow_descriptors()
                texts = {n: f"{t.signature}\n\n{t.description}" for n, t in self._tools.items()}
                worker = await asyncio.to_thread(
                    start_worker,
                    self._limits,
                    texts,
                    self._preload,
                    tier=self._only,
                    folder=self._folder,
                    unsafe_local=self._unsafe_local,
                )
                self._worker, self.tier = worker, worker.tier
                self.tier_details = worker.details
                if worker.listener >= 0:
                    self._gate = ForkGate(
                        worker.listener, self._limits.processes, self._watcher.find
                    )
                self._follower = Follower(
                    self._desk,
                    self._limits,
                    self._watcher,
                    worker.root,
                    worker.groups,
                )
        return self._worker

    def _weigh(self, fresh: World) -> None:
        assert self._follower is not None and fresh.process is not None
        used = processes.usage(fresh.process.pid)
        self._follower.base_memory = used.resident if used else 0

    def _world(self, id: str) -> World:
        if id not in self._worlds:
            raise SandboxError(f"world {id!r} is gone, or belongs to another sandbox")
        return self._worlds[id]

    async def _fork(self, world: World, count: int, candidates: list[World]) -> None:
        """Forks candidates, each with a copy of the workspace; they wait for their code."""
        loop = asyncio.get_running_loop()
        large = folders.size_of(str(world.workspace)) > _IN_LINE
        for _ in range(count):
            number = next(self._numbers)
            slot = world.slot / "n" / str(number)
            name, channel = f"{world.id}.{number}", WorldChannel(loop)
            candidate = World(name, slot, world.step + 1, channel, world, gate=self._gate)
            candidates.append(candidate)
            self._worlds[candidate.id] = world.children[candidate.id] = candidate
            try:
                if large:
                    await asyncio.to_thread(equip, candidate, self._limits)
                else:
                    equip(candidate, self._limits)
            except OSError as error:
                raise SandboxError(
                    f"no room for a candidate's workspace: {error}; make room there, or give "
                    "ForkSandbox another folder"
                ) from error
        world.thaw(count)
        for start in range(0, count, _AT_ONCE):
            ask(world, candidates[start : start + _AT_ONCE])

    async def _remove(self, world: World) -> None:
        """Ends a world, its candidates and their folders."""
        family = [pid for child in world.children.values() for pid in child.pids]
        for child in list(world.children.values()):
            await self._remove(child)
        self._worlds.pop(world.id, None)
        if world.parent is not None:
            world.parent.children.pop(world.id, None)
        world.end(family)
        if self._worker is not None:  # else all folders went at once
            whole = self._worker.root / world.id.partition(".")[0]
            folders.remove(str(world.slot if world.parent else whole))


def _allow_descriptors() -> None:
    """Every world takes a few descriptors: a program may have as many as its hard limit says."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _DESCRIPTORS if hard == resource.RLIM_INFINITY else min(_DESCRIPTORS, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
