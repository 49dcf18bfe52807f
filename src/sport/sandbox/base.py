"""What a sandbox is: worlds that fork, one a candidate, of which one goes on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from sport.types import Outcome, Record


class SandboxError(RuntimeError):
    """The sandbox itself cannot do its work; says why and what would mend it."""


class Limits(Record):
    """Bounds on one candidate, its children and threads included.

    Attributes:
        wall_s: Wall time, in seconds.
        cpu_s: CPU time, in seconds.
        memory_mb: Memory, in MiB.
        disk_mb: Size of its workspace, in MiB.
        processes: Number of processes and threads.
        output_chars: Characters of output that are kept.
    """

    wall_s: float = 30.0
    cpu_s: float = 20.0
    memory_mb: int = 2048
    disk_mb: int = 512
    processes: int = 32
    output_chars: int = 10_000


class Snapshot(Record):
    """Handle of a live world: interpreter state and workspace folder.

    Attributes:
        id: Handle inside its sandbox.
        workspace: The host's path of the workspace folder.
    """

    id: str
    workspace: Path


class Sandbox(Protocol):
    """Runs untrusted code from a snapshot, each candidate in a world of its own."""

    tier: str

    async def open(self, workspace: Path | None = None) -> Snapshot:
        """Starts a fresh world; the folder ``workspace`` is copied in."""
        ...

    async def run(
        self, base: Snapshot, codes: Sequence[str], seed: int = 0, hold: bool = False
    ) -> list[Outcome]:
        """Runs every code from ``base``, none seeing another; outcomes in the order of codes.

        With ``hold`` a candidate stands still before its first call of a tool with side effects.
        """
        ...

    async def finish(self, outcome: Outcome) -> Outcome:
        """Lets a candidate that stands still make its call and run on; gives what came of it."""
        ...

    async def commit(self, outcome: Outcome) -> Snapshot:
        """Makes the world of ``outcome`` the next base; its siblings are gone."""
        ...

    async def discard(self, base: Snapshot) -> None:
        """Ends a world and all that descends from it."""
        ...

    async def close(self) -> None:
        """Ends everything."""
        ...
