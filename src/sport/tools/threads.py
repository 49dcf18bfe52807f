"""Threads that tools run in, bounded in number and time."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from typing import Any


class ToolThreads:
    """A few threads that call tools. One that a tool keeps for too long is given up and replaced.

    Threads cannot be ended from outside; a given-up one ends when its tool returns, and does not
    hold up the end of the program.
    """

    def __init__(self, count: int) -> None:
        """Threads start at the first call."""
        self._count = count
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._threads = 0

    async def call(self, work: Callable[[], Any], timeout_s: float) -> Any:
        """Runs ``work`` in a thread.

        Args:
            work: What to do.
            timeout_s: Bound from when a thread is free for it, in seconds.

        Raises:
            TimeoutError: It took longer.
            Exception: Whatever it raises.
        """
        job = _Job(work, asyncio.get_running_loop())
        if self._threads < self._count:
            self._start()
        self._jobs.put(job)
        try:
            await job.begun
            return await asyncio.wait_for(asyncio.shield(job.result), timeout_s)
        except TimeoutError:
            if not job.result.done():
                job.abandoned = True
                self._start()
            raise
        except asyncio.CancelledError:
            if job.begun.done() and not job.result.done():
                job.abandoned = True
                self._start()
            job.cancelled = True
            raise

    def _start(self) -> None:
        self._threads += 1
        threading.Thread(target=self._serve, name="sport-tool", daemon=True).start()

    def _serve(self) -> None:
        while (job := self._jobs.get()) is not None:
            job.run()
            if job.abandoned:
                return

    def close(self) -> None:
        """Ends the threads that are free."""
        for _ in range(self._threads):
            self._jobs.put(None)


class _Job:
    def __init__(self, work: Callable[[], Any], loop: asyncio.AbstractEventLoop) -> None:
        self._work = work
        self._loop = loop
        self.begun: asyncio.Future[None] = loop.create_future()
        self.result: asyncio.Future[Any] = loop.create_future()
        self.abandoned = False
        self.cancelled = False

    def run(self) -> None:
        if self.cancelled:
            return
        self._tell(self.begun, None, None)
        try:
            value = self._work()
        except BaseException as error:
            self._tell(self.result, None, error)
        else:
            self._tell(self.result, value, None)

    def _tell(self, future: asyncio.Future[Any], value: Any, error: BaseException | None) -> None:
        try:
            self._loop.call_soon_threadsafe(_settle, future, value, error)
        except RuntimeError:
            pass  # the loop is closed: nobody waits any more


def _settle(future: asyncio.Future[Any], value: Any, error: BaseException | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(value)
    elif isinstance(error, StopIteration):  # a future cannot hold it
        future.set_exception(RuntimeError(f"StopIteration: {error}"))
    else:
        future.set_exception(error)
        future.exception()  # it is looked at here: nobody may be waiting any more
