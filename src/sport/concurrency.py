"""Waiting for coroutines: for many at once, and from code that is not asynchronous."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")


async def all_of(
    coroutines: Sequence[Awaitable[T]], patient: tuple[type[Exception], ...] = ()
) -> list[T]:
    """All results in order; the first error ends the others and is raised as it is.

    Args:
        coroutines: What is to be done at once.
        patient: Errors that end nothing: they are raised when the others have ended by themselves.
    """
    running = [asyncio.ensure_future(c) for c in coroutines]
    pending = set(running)
    try:
        while pending:
            done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_EXCEPTION)
            for task in done:
                if (error := task.exception()) is not None and not isinstance(error, patient):
                    raise error
        return [task.result() for task in running]
    except BaseException:
        for task in running:
            task.cancel()
        # They must have let go of worlds and connections before anything else happens.
        await asyncio.gather(*running, return_exceptions=True)
        raise


def run_to_end(coroutine: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that runs in an event loop of its own, whoever calls.

    Inside of a running event loop that one waits meanwhile: call it in a thread there.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(coroutine)
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, coroutine).result()
