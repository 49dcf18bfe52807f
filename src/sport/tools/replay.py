"""Tools that answer from a run's recorded calls, without anything behind them."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import JsonValue

from sport.tools.cache import NotRecorded
from sport.tools.calls import FILE, Answer, CallStore, call_key
from sport.tools.function import Tool
from sport.tools.load import ToolNotFound
from sport.tools.parameters import shaped
from sport.tools.schema import parameters
from sport.tools.values import decode

_SHOWN = 200


def replayed_tools(run: Path) -> dict[str, Tool]:
    """The tools of a run, by name, which answer as they did in it.

    A deterministic tool always answers an equal call as recorded. Another answers the first equal
    call as the first was answered, the second as the second, and so on.

    Raises:
        ToolNotFound: The folder holds no recorded calls.
    """
    file = run / "cache" / FILE
    if not file.is_file():
        raise ToolNotFound(f"replay: {run} is no run with recorded calls: {file} is missing")
    store = CallStore(file)
    cards = store.cards()
    if not cards:
        raise ToolNotFound(f"replay: {run} has recorded no tools")
    return {card["name"]: ReplayedTool(card, store, run) for card in cards}


class ReplayedTool(Tool):
    """A tool of another run, as that run recorded it."""

    def __init__(self, card: Mapping[str, Any], store: CallStore, run: Path) -> None:
        """Looks like the tool of ``card``, and answers from ``store``."""
        found, _ = parameters(card["input"], paths=False)
        super().__init__(
            shaped(self._never, card["name"], found, Any),
            description=card["description"],
            **card["properties"],
        )
        self.signature = str(card["signature"])
        self._store = store
        self._run = run
        self._lock = threading.Lock()
        self._used: Counter[str] = Counter()

    def compute(self, workspace: Path, arguments: Mapping[str, JsonValue]) -> Any:
        """The recorded answer.

        Raises:
            NotRecorded: There is none.
            Exception: The recorded one, by class and message.
        """
        key = call_key(self, workspace, arguments)
        answer = self._next(key)
        if answer is None:
            told = ", ".join(f"{k}={v!r}" for k, v in arguments.items())
            raise NotRecorded(
                f"the replay of {self._run.name} has no answer to "
                f"{self.name}({told[:_SHOWN]}{'…' if len(told) > _SHOWN else ''})"
            )
        if answer.error is not None:
            kind, message = answer.error
            raise type(kind, (Exception,), {})(message)
        return decode(answer.result)

    def _next(self, key: str) -> Answer | None:
        if self.deterministic:
            found = self._store.find(key)
            if found is not None:
                return found
        answers = self._store.answers(key)
        with self._lock:
            index = self._used[key]
            self._used[key] += 1
        if self.deterministic:
            return answers[-1] if answers else None
        return answers[index] if index < len(answers) else None

    def _never(self, **arguments: Any) -> Any:
        raise AssertionError("a replayed tool has no function")
