"""The watcher: sums what a candidate's processes use, and kills those that use too much.

Kernel limits bind one process and one file; this binds the candidate. It is a thread, so that it
does its work while the event loop is busy, and it sleeps while nothing runs.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from sport.sandbox import folders, processes
from sport.sandbox.base import Limits
from sport.sandbox.processes import Process
from sport.types import Status

_TICK_S = 0.025
_SHORTEST_S = 0.002
_FASTEST = 4 << 30
"""Bytes that a candidate writes or allocates in a second, about: those that are near a limit are
looked at more often, and workspaces that are far from it seldom."""

_IDLE_S = 2.0


@dataclass
class Watched:
    """A running candidate.

    Attributes:
        process: Its process.
        folders: Where it may write.
        tell: Called, in the watcher's thread, once there is a verdict: a process that the candidate
            left behind may hold its channel open, so the end of that cannot be waited for.
        base_memory: Resident memory of a fresh world, in bytes.
        started: When it started, by the monotonic clock.
        paused_s: Wall time that it spent waiting for tools, which does not count, in seconds.
        paused_since: When the tool call under way began.
        cpu_s: CPU time when it was last looked at, in seconds.
        verdict: Status and note, once it has gone too far.
        stopped: Whether it has been killed for that.
        next_disk: When its folders are looked at again.
        pause_s: How long it may be left alone after the last look, in seconds.
        tasks: How many processes and threads it has at most, as far as the gate on forks knows.
        forks: When that gate last let each of its threads fork.
    """

    process: Process
    folders: tuple[str, ...]
    tell: Callable[[], None]
    base_memory: int = 0
    started: float = field(default_factory=time.monotonic)
    paused_s: float = 0.0
    paused_since: float | None = None
    cpu_s: float = 0.0
    verdict: tuple[Status, str] | None = None
    stopped: bool = False
    next_disk: float = 0.0
    pause_s: float = _TICK_S
    tasks: int = 1
    forks: dict[int, float] = field(default_factory=dict)

    def pause(self) -> None:
        """A tool call begins."""
        self.paused_since = time.monotonic()

    def resume(self) -> None:
        """It ended."""
        if self.paused_since is not None:
            self.paused_s += time.monotonic() - self.paused_since
            self.paused_since = None

    def wall_s(self, now: float) -> float:
        """Wall time so far, without that of tools, in seconds."""
        since = self.paused_since
        return now - self.started - self.paused_s - (now - since if since is not None else 0.0)


def too_many(processes: int) -> tuple[Status, str]:
    """The verdict on a candidate that makes too many processes."""
    return "died", f"The code made more than {processes} processes and threads."


class Watcher:
    """Watches the running candidates of one sandbox."""

    def __init__(self, limits: Limits) -> None:
        """Nothing is watched yet, and no thread runs."""
        self._limits = limits
        self._watched: dict[int, Watched] = {}
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None

    def add(self, watched: Watched) -> None:
        """Watches a candidate from now on."""
        with self._lock:
            self._watched[watched.process.pid] = watched
        self._wake.set()
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="sport-watcher", daemon=True)
            self._thread.start()

    def find(self, pid: int) -> Watched | None:
        """The candidate whose first process this is; callable from any thread."""
        return self._watched.get(pid)

    def drop(self, watched: Watched) -> None:
        """Leaves a candidate alone; once this returns, the watcher kills it no more."""
        with self._lock:
            self._watched.pop(watched.process.pid, None)

    def close(self) -> None:
        """Ends the thread."""
        self._closed.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        idle_since = time.monotonic()
        while not self._closed.is_set():
            began, worked = time.monotonic(), time.thread_time()
            pause_s = _TICK_S
            for watched in list(self._watched.values()):
                # The lock is held for one candidate at a time: its process number stays its own
                # while it is looked at.
                with self._lock:
                    if watched.process.pid in self._watched:
                        self._look(watched, began)
                        pause_s = min(pause_s, watched.pause_s)
            now = time.monotonic()
            if self._watched:
                idle_since = now
            elif now - idle_since > _IDLE_S:
                self._wake.wait()
                idle_since = time.monotonic()
            self._wake.clear()
            # At most a fifth of one processor goes into watching; waiting for one is no watching.
            self._closed.wait(max(_SHORTEST_S, pause_s, 4 * (time.thread_time() - worked)))

    def _look(self, watched: Watched, now: float) -> None:
        age = now - watched.started
        if watched.stopped or age < _TICK_S:  # most candidates are done before
            watched.pause_s = _TICK_S if watched.stopped else _TICK_S - age
            return
        verdict = watched.verdict or self._judge(watched, now)
        if verdict is not None:
            watched.verdict = verdict
            watched.stopped = True
            watched.process.freeze()
            watched.process.kill()
            watched.tell()

    def _judge(self, watched: Watched, now: float) -> tuple[Status, str] | None:
        limits = self._limits
        if watched.wall_s(now) > limits.wall_s:
            return "timeout", f"The code ran longer than {limits.wall_s:g} s and was stopped."
        root = processes.usage(watched.process.pid)
        if root is None or root.ended:
            return "died", "The process ended before the code did."
        below = [u for p in processes.descendants(watched.process.pid) if (u := processes.usage(p))]
        watched.cpu_s = root.cpu_s + sum(u.cpu_s for u in below)
        if watched.cpu_s > limits.cpu_s:
            return "timeout", f"The code used more than {limits.cpu_s:g} s of CPU time."
        if root.threads + sum(u.threads for u in below) > limits.processes:
            return too_many(limits.processes)
        left = self._left(watched, root.resident + sum(u.resident for u in below))
        if left < 0:
            return "memory", f"The code used more than {limits.memory_mb} MiB of memory."
        if now >= watched.next_disk and self._disk(watched):
            return "disk", f"The code filled more than {limits.disk_mb} MiB of disk, or made more "\
                f"than {folders.MOST_ENTRIES} files."  # fmt: skip
        watched.pause_s = min(_TICK_S, left / _FASTEST, watched.next_disk - now)
        return None

    def _left(self, watched: Watched, at_most: int) -> int:
        """Bytes of memory that a candidate may yet take, if it has so many at most."""
        bound = (self._limits.memory_mb << 20) + watched.base_memory
        if at_most <= bound:
            return bound - at_most
        pid = watched.process.pid
        held = processes.hold(pid)  # an exact count takes long, and it would grow meanwhile
        left = bound - self._memory(pid)
        if left >= 0:
            processes.release(pid, held)
        return left

    @staticmethod
    def _memory(pid: int) -> int:
        """Bytes of memory of a process and all below it, what they share counted once.

        The larger of two counts, neither of which tells too much: the first leaves out what
        processes below share with each other alone, the second parts of what the candidate has in
        common with its world and its siblings.
        """
        root = processes.usage(pid)
        below = [processes.memory(p) for p in processes.descendants(pid)]
        alone = (root.resident if root else 0) + sum(m.private for m in below)
        fair = processes.memory(pid).fair + sum(m.fair for m in below)
        return max(alone, fair)

    def _disk(self, watched: Watched) -> bool:
        began = time.monotonic()
        room = self._limits.disk_mb << 20
        try:
            left = room - sum(map(folders.size_of, watched.folders)) - self._unlinked(watched)
        except folders.TooLarge:
            left = -1
        except OSError:
            left = 0  # it changes while it is counted: the next look tells
        now = time.monotonic()
        watched.next_disk = now + min(left / _FASTEST, 20 * (now - began))
        return left < 0

    def _unlinked(self, watched: Watched) -> int:
        """Bytes of files that a candidate removed and still has: no folder shows them.

        One that it keeps by a mapping alone counts as the largest that it could have written.
        """
        device = os.stat(watched.folders[0]).st_dev
        opened: dict[int, int] = {}
        mapped: set[int] = set()
        for pid in (watched.process.pid, *processes.descendants(watched.process.pid)):
            opened |= processes.unlinked_files(pid, device)
            mapped |= processes.unlinked_mappings(pid, device)
        return sum(opened.values()) + (len(mapped - opened.keys()) * self._limits.disk_mb << 20)
