"""The gate on forks: the kernel asks here before a candidate gets another process or thread.

A watcher that looks now and then is too late for a burst. By seccomp's user notification every
``fork``, ``vfork`` and ``clone`` waits for an answer, whoever the user is. If the host dies, the
calls fail: nothing waits for one that is gone.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import select
import struct
import threading
import time
from collections.abc import Callable
from typing import NamedTuple

from sport.sandbox import processes
from sport.sandbox.watch import Watched, too_many

SLACK = 8
"""Forks that may be under way while processes are counted: they were let through, and nobody can
tell whether they have happened yet."""

_UNDER_WAY_S = 0.5
"""After so long a fork that was let through has happened, or never will."""

_AGAIN_MS = 5
_NOTICE = struct.Struct("=QIIiIQ6Q")  # struct seccomp_notif
_ANSWER = struct.Struct("=QqiI")  # struct seccomp_notif_resp
_IDENTITY = struct.Struct("=Q")
_RECEIVE, _SEND, _IS_VALID = 0xC0502100, 0xC0182101, 0x40082102
_CONTINUE = 1


class _Request(NamedTuple):
    """A fork that waits for its answer: its number, and the thread that asks."""

    id: int
    thread: int


class ForkGate:
    """Answers the forks of one sandbox's worlds and candidates, in a thread of its own.

    Args:
        listener: Descriptor that the kernel asks by; a copy of it is taken.
        limit: Processes and threads of one candidate.
        find: The running candidate whose first process this is, if it is one's.
    """

    def __init__(self, listener: int, limit: int, find: Callable[[int], Watched | None]) -> None:
        """Starts the thread; the worker must not have been asked for a world yet."""
        self._listener = os.dup(listener)
        self._limit = limit
        self._find = find
        self._nursery = 0
        self._admitted: dict[int, int] = {}
        self._held: list[_Request] = []
        self._stop = os.eventfd(0)
        self._thread = threading.Thread(target=self._run, name="sport-forks", daemon=True)
        self._thread.start()

    def admit(self, world: int, count: int) -> None:
        """Lets a world fork candidates.

        Args:
            world: Its process.
            count: How many; some more are let through, since a signal makes a fork ask again.
        """
        self._admitted[world] = count + SLACK

    def dismiss(self, world: int) -> None:
        """From now on the world has no business forking."""
        self._admitted.pop(world, None)

    def close(self) -> None:
        """Ends the thread; end the worker before, which may be forking."""
        os.eventfd_write(self._stop, 1)
        self._thread.join()
        os.close(self._stop)
        os.close(self._listener)

    def _run(self) -> None:
        poll = select.poll()
        poll.register(self._listener, select.POLLIN)
        poll.register(self._stop, select.POLLIN)
        while True:
            events = dict(poll.poll(_AGAIN_MS if self._held else None))
            if self._stop in events:
                return
            asked = events.get(self._listener, 0)
            if asked & select.POLLIN:
                self._receive()
            elif asked:
                poll.unregister(self._listener)  # all who could ask are gone
            self._held = [request for request in self._held if not self._settle(request)]

    def _receive(self) -> None:
        notice = bytearray(_NOTICE.size)
        with contextlib.suppress(OSError):  # whoever asked was killed meanwhile
            fcntl.ioctl(self._listener, _RECEIVE, notice)
            id, thread, *_ = _NOTICE.unpack(notice)
            self._held.append(_Request(id, thread))

    def _settle(self, request: _Request) -> bool:
        """Answers a request if it can be answered now; else it is asked again."""
        if self._is_expected(request.thread):
            return self._answer(request, 0)
        candidate = self._candidate(request.thread)
        if not self._is_valid(request):
            return True  # the thread is gone, and its number may be another's
        if candidate is None:
            return self._answer(request, errno.EAGAIN)  # what an ended candidate left
        if candidate.verdict is not None:
            return True  # no answer: it waits until it is killed, and does no harm meanwhile
        return self._judge(candidate, request)

    def _is_expected(self, thread: int) -> bool:
        """Whether the host has asked for this fork: of the nursery, or of a world."""
        # Before the nursery has forked there is nobody else who could ask.
        self._nursery = self._nursery or thread
        left = self._admitted.get(thread, 0)
        if left:
            self._admitted[thread] = left - 1
        return bool(left) or thread == self._nursery

    def _candidate(self, thread: int) -> Watched | None:
        for pid in processes.lineage(thread):
            candidate = self._find(pid)
            if candidate is not None:
                return candidate
        return None

    def _judge(self, candidate: Watched, request: _Request) -> bool:
        """Lets a fork through or convicts the candidate; false if it is too early to tell."""
        now = time.monotonic()
        # Whoever asks again has done what it was let do before.
        candidate.forks.pop(request.thread, None)
        if candidate.tasks >= self._limit:
            candidate.forks = {
                t: at for t, at in candidate.forks.items() if now - at < _UNDER_WAY_S
            }
            # Twice: the children of a process that ends meanwhile move up, past the one who counts.
            seen = max(processes.tasks(candidate.process.pid) for _ in range(2))
            candidate.tasks = seen + len(candidate.forks)
            if seen >= self._limit:
                candidate.verdict = too_many(self._limit)
                return True
            if candidate.tasks >= self._limit + SLACK:
                return False
        candidate.tasks += 1
        candidate.forks[request.thread] = now
        return self._answer(request, 0)

    def _is_valid(self, request: _Request) -> bool:
        try:
            fcntl.ioctl(self._listener, _IS_VALID, _IDENTITY.pack(request.id))
        except OSError:
            return False
        return True

    def _answer(self, request: _Request, error: int) -> bool:
        """Lets the call go on, or fail by ``error``."""
        answer = _ANSWER.pack(request.id, 0, -error, 0 if error else _CONTINUE)
        with contextlib.suppress(OSError):  # it was killed while it waited
            fcntl.ioctl(self._listener, _SEND, answer)
        return True
