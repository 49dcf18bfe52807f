"""Calls of a model that come at once, given to it together."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

Many = Callable[[Sequence[dict[str, Any]]], Sequence[Any]]
"""Takes the arguments of several calls, by name, and gives their results in the same order."""


@dataclass(eq=False)
class _Entry:
    arguments: dict[str, Any]
    done: bool = False
    result: Any = None
    error: BaseException | None = None


class Batcher:
    """Gathers the calls that come while a batch is computed into the next one.

    Nobody waits for company: a call that comes alone is computed at once. Safe to call from any
    thread; whoever waits first computes the next batch.
    """

    def __init__(self, many: Many, most: int) -> None:
        """Computes up to ``most`` calls together by ``many``."""
        self._many = many
        self._most = most
        self._turn = threading.Condition()
        self._queue: list[_Entry] = []
        self._busy = False

    def __call__(self, **arguments: Any) -> Any:
        """The result of one call.

        Raises:
            Exception: What ``many`` raises for this call alone.
        """
        entry = _Entry(arguments)
        with self._turn:
            self._queue.append(entry)
        while not entry.done:
            with self._turn:
                self._turn.wait_for(lambda: entry.done or not self._busy)
                if entry.done:
                    break
                self._busy = True
                batch, self._queue = self._queue[: self._most], self._queue[self._most :]
            try:
                self._compute(batch)
            finally:
                with self._turn:
                    self._busy = False
                    self._turn.notify_all()
        if entry.error is not None:
            raise entry.error
        return entry.result

    def _compute(self, batch: Sequence[_Entry]) -> None:
        try:
            results = list(self._many([entry.arguments for entry in batch]))
            if len(results) != len(batch):
                raise ValueError(f"a batch of {len(batch)} calls gave {len(results)} results")
            for entry, result in zip(batch, results, strict=True):
                entry.result = result
        except BaseException as error:
            if len(batch) == 1:
                batch[0].error = error
            else:  # one that cannot be computed must not fail the others
                for entry in batch:
                    self._compute([entry])
        for entry in batch:
            entry.done = True


def batched(one: Callable[..., Any], many: Many, most: int = 8) -> Callable[..., Any]:
    """A function like ``one``, for a tool, whose calls are computed together where they come so.

    Args:
        one: Gives name, signature and docstring; never called.
        many: Computes several calls.
        most: Calls of one batch.
    """
    batcher = Batcher(many, most)

    @functools.wraps(one)
    def call(**arguments: Any) -> Any:
        return batcher(**arguments)

    return call
