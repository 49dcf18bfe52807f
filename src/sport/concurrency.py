"""Waiting for many coroutines at once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from typing import TypeVar

T = TypeVar("T")


async def all_of(coroutines: Sequence[Awaitable[T]]) -> list[T]:
    """All results in order; the first error ends the others and is raised as it is."""
    running = [asyncio.ensure_future(c) for c in coroutines]
    try:
        return list(await asyncio.gather(*running))
    except BaseException:
        for task in running:
            task.cancel()
        # They must have let go of worlds and connections before anything else happens.
        await asyncio.gather(*running, return_exceptions=True)
        raise
