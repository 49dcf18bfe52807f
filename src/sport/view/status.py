"""Where a run stands, from the state that its process writes beside it."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sport.progress import STALE_S, STATE
from sport.store import Run


@dataclass(frozen=True)
class Status:
    """Where a run stands.

    Attributes:
        word: ``running``, ``finished``, ``stopped`` or ``failed``.
        line: What it does, or why it ended.
        done: Tasks of the stage that are done.
        total: Tasks of the stage, where it is done task by task.
        again: The command that goes on.
    """

    word: str
    line: str = ""
    done: int = 0
    total: int | None = None
    again: str = ""

    @property
    def running(self) -> bool:
        """Whether a process is writing the run."""
        return self.word == "running"


def status_of(run: Run) -> Status:
    """The status of a run."""
    state = _read(run.path / STATE)
    word = state.get("state", "stopped")
    if word == "running" and time.time() - state["updated"] > STALE_S:
        return Status("stopped", "Its process ended without a word.", again=state["again"])
    if word in ("ended", "stopped") and _complete(run):
        return Status("finished")
    if word == "ended":
        word = "stopped"
    return Status(
        word,
        state.get("line", ""),
        state.get("done", 0),
        state.get("total"),
        "" if word == "running" else state.get("again", ""),
    )


def _read(file: Path) -> dict[str, Any]:
    try:
        state = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # none yet, or torn when the machine went down
        return {}
    return state if isinstance(state, dict) and {"updated", "again"} <= state.keys() else {}


def _complete(run: Run) -> bool:
    """Whether the last round of the recipe has been measured."""
    return any(row["round"] >= run.recipe.rounds and not row["control"] for row in run.metrics())
