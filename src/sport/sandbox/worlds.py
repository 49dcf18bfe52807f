"""The host's side of worlds: their handles, folders and descriptors."""

from __future__ import annotations

import asyncio
import fcntl
import os
import shutil
import socket
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sport.sandbox import folders
from sport.sandbox.base import Limits, SandboxError
from sport.sandbox.cgroups import Group
from sport.sandbox.channel import WorldChannel
from sport.sandbox.forks import ForkGate
from sport.sandbox.frames import BadFrame, pack
from sport.sandbox.launch import Worker
from sport.sandbox.processes import Process, end_descendants
from sport.sandbox.world import WORKSPACE_FD

_HELLO_S = 30.0


@dataclass(eq=False)
class World:
    """A live world: a process, its channel and its folder.

    Attributes:
        id: Handle inside the sandbox.
        slot: Its folder: ``work`` (``base`` once it is committed) is the workspace, and ``n``
            holds the slots of its candidates.
        step: How many candidates' code its state has seen.
        channel: To its process.
        parent: The world that it was forked from, while it is a candidate.
        output: Block of memory that it prints to, while it runs.
        listing: Stamps of its files before it ran.
        process: Its process; ``None`` before the first message and after the end.
        alone: Whether nothing can be below it: it is stopped or trusted, and was looked through.
        ended: Whether it has ended.
        group: Its control group, where there is one.
        gate: What its forks have to pass, where there is one.
        children: Candidates forked from it.
        turn: Held while candidates are forked from it.
    """

    id: str
    slot: Path
    step: int
    channel: WorldChannel
    parent: World | None = None
    output: int = -1
    listing: folders.Listing = field(default_factory=dict)
    process: Process | None = None
    alone: bool = False
    ended: bool = False
    group: Group | None = None
    gate: ForkGate | None = None
    children: dict[str, World] = field(default_factory=dict)
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def workspace(self) -> Path:
        """The workspace, in the host."""
        return self.slot / ("work" if self.parent is not None else "base")

    async def hello(self) -> None:
        """Waits for the first message, which tells which process it is.

        Raises:
            EOFError: It ended before.
        """
        try:
            async with asyncio.timeout(_HELLO_S):
                await self.channel.receive()
            self.process = Process(self.channel.pid)
        except (TimeoutError, ProcessLookupError, BadFrame):
            raise EOFError from None

    def end(self, spared: Collection[int] = ()) -> None:
        """Kills it and all below it but ``spared``; lets go of everything but the folder."""
        if self.process is not None:
            self._dismiss()
            if not self.alone:
                self.process.freeze(spared)
            self.process.kill()
            self.process.close()
            self.process = None
        if self.group is not None:
            self.group.end()
            self.group = None
        self.ended = True
        self.channel.close()
        self.close_output()

    def end_orphans(self) -> None:
        """Kills what candidates that died have left to it.

        Not while a candidate is about to start, since nobody knows its process yet.
        """
        starting = any(c.process is None and not c.ended for c in self.children.values())
        if self.process is not None and not starting:
            family = [pid for child in self.children.values() for pid in child.pids]
            end_descendants(self.process.pid, family)

    def thaw(self, count: int) -> None:
        """Lets it go on, in order to fork ``count`` candidates."""
        if self.process is not None and self.gate is not None:
            self.gate.admit(self.process.pid, count)
        if self.process is not None and self.step:
            self.alone = False  # its code may do what it likes until it is stopped again
            self.process.thaw()

    def stop(self) -> None:
        """Stops it; a fresh world, which has run no code, need not be stopped."""
        self._dismiss()
        if self.process is not None and self.step:
            self.process.stop()

    def _dismiss(self) -> None:
        if self.process is not None and self.gate is not None:
            self.gate.dismiss(self.process.pid)

    @property
    def pids(self) -> list[int]:
        """Its process, as a list of none or one."""
        return [self.process.pid] if self.process is not None else []

    def close_output(self) -> None:
        """Lets go of the output."""
        if self.output >= 0:
            os.close(self.output)
            self.output = -1


def furnish(slot: Path, workspace: Path | None, limits: Limits) -> None:
    """The folders of a fresh world."""
    slot.mkdir()
    (slot / "n").mkdir()
    os.symlink(f"/proc/self/fd/{WORKSPACE_FD}", slot / "work")
    if workspace is None:
        (slot / "base").mkdir()
        return
    try:
        size = folders.import_folder(workspace, str(slot / "base"))
    except (OSError, shutil.Error, folders.TooLarge) as error:
        raise SandboxError(f"workspace {workspace} cannot be copied in: {error}") from error
    if size > limits.disk_mb << 20:
        raise SandboxError(
            f"workspace {workspace} takes {size >> 20} MiB: more than disk_mb = {limits.disk_mb}"
        )


def equip(candidate: World, limits: Limits) -> None:
    """A candidate's own folders, and the block of memory that it prints to."""
    assert candidate.parent is not None
    os.mkdir(candidate.slot)
    os.mkdir(candidate.slot / "n")
    work = str(candidate.slot / "work")
    candidate.listing = folders.copy_workspace(str(candidate.parent.workspace), work)
    room = os.memfd_create("output", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    candidate.output = room
    os.ftruncate(room, 4 * limits.output_chars)
    _seal(room)


def _seal(fd: int) -> None:
    """Fixes the size of a block of memory, so that a candidate cannot fill the machine by it."""
    seals = fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, seals)


def ask(world: World, candidates: Sequence[World]) -> None:
    """Asks a world to fork candidates; they get their ends of the channels, and their output."""
    fds = [fd for c in candidates for fd in (c.channel.remote.fileno(), c.output)]
    try:
        world.channel.send_fds({}, fds)
    except EOFError:
        pass  # the world is dead: its candidates find their channels closed
    finally:
        for candidate in candidates:
            candidate.channel.remote.close()


def send_fd(worker: Worker, fd: int) -> None:
    """Asks the worker to fork a fresh world, whose channel is ``fd``.

    Raises:
        EOFError: The worker is gone.
    """
    try:
        socket.send_fds(worker.control, [pack({})], [fd])
    except OSError:
        raise EOFError from None


def empty(folder: Path) -> None:
    """Removes what a folder holds."""
    for name in os.listdir(folder):
        path = folder / name
        if path.is_dir() and not path.is_symlink():
            folders.remove(str(path))
        else:
            path.unlink()
