"""Looking at processes in ``/proc``, and ending whole trees of them. Standard library only."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Collection, Iterator
from typing import NamedTuple

from sport.sandbox import gil_io

_TICKS = os.sysconf("SC_CLK_TCK")
_ROUNDS = 500
_PAUSE_S = 0.001
_PAGE = os.sysconf("SC_PAGE_SIZE")


class Usage(NamedTuple):
    """What one process uses.

    Attributes:
        ended: Whether its first thread has ended; others may go on, and hold its memory.
        stopped: Whether a signal has stopped it.
        cpu_s: CPU time of it and of the children that it has reaped, in seconds.
        threads: Number of threads; one that has ended and waits to be reaped has its last.
        resident: Resident memory, in bytes.
    """

    ended: bool
    stopped: bool
    cpu_s: float
    threads: int
    resident: int

    @property
    def over(self) -> bool:
        """Whether all of it has ended, and it only waits to be reaped."""
        return self.ended and self.threads <= 1


def usage(pid: int) -> Usage | None:
    """What a process uses; ``None`` if there is none."""
    found = _usage(f"/proc/{pid}")
    if found is not None and found.ended and not found.over:
        # A first thread that has ended shows no memory any more: the others do.
        others = (_usage(f"/proc/{pid}/task/{thread}") for thread in _threads(pid))
        found = found._replace(resident=max((u.resident for u in others if u), default=0))
    return found


def _usage(folder: str) -> Usage | None:
    try:
        text = gil_io.read(f"{folder}/stat", 1024)
    except OSError:
        return None
    # The name, in parentheses, may hold anything.
    fields = text[text.rindex(b")") + 2 :].split()
    cpu = sum(int(f) for f in fields[11:15]) / _TICKS
    ended, stopped = fields[0] in (b"Z", b"X"), fields[0] == b"T"
    return Usage(ended, stopped, cpu, int(fields[17]), int(fields[21]) * _PAGE)


def _threads(pid: int) -> list[int]:
    with contextlib.suppress(OSError):
        return [int(thread) for thread in gil_io.names(f"/proc/{pid}/task")]
    return []


class Memory(NamedTuple):
    """What the kernel tells of a process's memory, in bytes; 0 where it cannot be told.

    Attributes:
        private: What it shares with no other.
        fair: All of it, what it shares divided by the number of those who share.
    """

    private: int
    fair: int


def memory(pid: int) -> Memory:
    """Memory of a process, by the first thread that lives."""
    for thread in _threads(pid):
        with contextlib.suppress(OSError):
            fd = gil_io.open(f"/proc/{thread}/smaps_rollup", os.O_RDONLY)
            try:
                # It may wait for a lock of the process: nobody else is to wait with it.
                lines = [line.split() for line in os.read(fd, 4096).splitlines()]
            finally:
                gil_io.close(fd)
            told = {name: int(size) << 10 for name, size, *_ in lines[1:]}
            private = told.get(b"Private_Clean:", 0) + told.get(b"Private_Dirty:", 0)
            return Memory(private, told.get(b"Pss:", 0))
    return Memory(0, 0)


def unlinked_files(pid: int, device: int) -> dict[int, int]:
    """Files of a device that a process holds open and that have no name any more.

    Each thread may have descriptors of its own.

    Returns:
        Their sizes on the disk by inode, in bytes.
    """
    found: dict[int, int] = {}
    for thread in _threads(pid):
        folder = f"/proc/{pid}/task/{thread}/fd"
        with contextlib.suppress(OSError):
            for fd in gil_io.names(folder):
                with contextlib.suppress(OSError):
                    status = gil_io.status(f"{folder}/{fd}")
                    if status.st_dev == device and not status.st_nlink:
                        found[status.st_ino] = status.st_blocks * 512
    return found


def unlinked_mappings(pid: int, device: int) -> set[int]:
    """Inodes of a device that a process has mapped and that have no name any more.

    One mapped page keeps a whole file, after the last descriptor was closed, and only root can
    ask how large it is.
    """
    found: set[int] = set()
    wanted = f"{os.major(device):02x}:{os.minor(device):02x}".encode()
    for thread in _threads(pid):
        with contextlib.suppress(OSError):
            for line in gil_io.read(f"/proc/{thread}/maps").splitlines(keepends=True):
                if line.endswith(b" (deleted)\n"):
                    _, _, _, where, inode, _ = line.split(None, 5)
                    if where == wanted:
                        found.add(int(inode))
            break
    return found


def children(pid: int) -> list[int]:
    """Processes whose parent is ``pid``."""
    found: list[int] = []
    for thread in _threads(pid):
        with contextlib.suppress(OSError):
            below = gil_io.read(f"/proc/{pid}/task/{thread}/children", 1 << 16)
            found += [int(child) for child in below.split()]
    return found


def descendants(pid: int, spared: Collection[int] = ()) -> list[int]:
    """Processes below ``pid``, the nearest first; without ``spared`` and what is below those."""
    found: list[int] = []
    frontier = [pid]
    while frontier:
        below = [child for parent in frontier for child in children(parent)]
        frontier = [child for child in below if child not in spared]
        found += frontier
    return found


def tasks(pid: int) -> int:
    """Processes and threads of ``pid`` and all below it, with those that were not reaped yet."""
    return sum(u.threads for p in (pid, *descendants(pid)) if (u := usage(p)))


def lineage(thread: int) -> Iterator[int]:
    """The process that a thread belongs to, its parent, and so on up."""
    of = thread
    key = b"Tgid:"
    while of:
        try:
            lines = gil_io.read(f"/proc/{of}/status", 1024).splitlines()
        except OSError:
            return
        of = next((int(line.split()[1]) for line in lines if line.startswith(key)), 0)
        key = b"PPid:"
        if of:
            yield of


def send(pid: int, number: int) -> None:
    """Sends a signal to a process that may be gone already."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)


def hold(pid: int) -> set[int]:
    """Stops ``pid`` and everything below it.

    Returns:
        Those that were running, for :func:`release`.
    """
    held: set[int] = set()
    for _ in range(_ROUNDS):
        tree = [p for p in (pid, *descendants(pid)) if p not in held]
        running = [p for p in tree if (u := usage(p)) and not u.over and not u.stopped]
        if not running:
            break  # else one of them may have forked before it stopped
        for process in running:
            send(process, signal.SIGSTOP)
        held.update(running)
    return held


def release(pid: int, held: Collection[int]) -> None:
    """Lets those go on that :func:`hold` has stopped; who had been stopped before stays so."""
    for process in (pid, *descendants(pid)):
        if process in held:
            send(process, signal.SIGCONT)


def end_descendants(pid: int, spared: Collection[int] = ()) -> int:
    """Kills everything below ``pid``; stop ``pid`` first, so that it makes no more.

    ``pid`` adopts orphans, so nothing below it escapes by the end of its parent.

    Args:
        pid: A process.
        spared: Those below it that are left alone, with all that is below them.

    Returns:
        How many processes were killed.
    """
    killed: set[int] = set()
    found: list[int] = []
    for _ in range(_ROUNDS):
        before, found = found, descendants(pid, spared)
        alive = [child for child in found if _alive(child)]
        if not alive and found == before:
            break  # else one that ended meanwhile may have left its children to another
        for child in alive:
            send(child, signal.SIGSTOP)
        for child in alive:
            send(child, signal.SIGKILL)
        killed.update(alive)
        if alive:
            time.sleep(_PAUSE_S)
    return len(killed)


def _alive(pid: int) -> bool:
    now = usage(pid)
    return now is not None and not now.over


class Process:
    """A world's process, held so that a number that is used again is never mistaken for it."""

    def __init__(self, pid: int) -> None:
        """Takes hold of a running process.

        Raises:
            ProcessLookupError: It is gone already.
        """
        self.pid = pid
        self._fd = os.pidfd_open(pid)

    def freeze(self, spared: Collection[int] = ()) -> int:
        """Stops it and kills everything below it but ``spared``; returns how many that were."""
        return end_descendants(self.pid, spared) if self._signal(signal.SIGSTOP) else 0

    def stop(self) -> None:
        """Stops it."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Lets it go on."""
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        """Kills it alone."""
        self._signal(signal.SIGKILL)

    def close(self) -> None:
        """Lets go of it."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _signal(self, number: int) -> bool:
        if self._fd < 0:
            return False
        try:
            signal.pidfd_send_signal(self._fd, number)
        except ProcessLookupError:
            return False
        return True
