"""The published rows: figures as they were printed, and what reproduces each."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path
from typing import Any

from sport.config import RecipeError
from sport.types import Record

FILE = Path(__file__).with_name("published.toml")

TOOLS = (
    "visualizer",
    "objectlocation",
    "facedetection",
    "segmentation",
    "ocr",
    "image_generator",
    "image_edit",
    "inspect_file_as_text",
    "ask_search_agent",
)
"""The paper's tools; ``final_answer`` is every agent's."""


class PublishedRow(Record):
    """A row of the paper's table.

    Attributes:
        name: What --like calls it.
        agent: The agent, as printed.
        controller: The controller, as printed.
        figures: By column, verbatim as printed.
        note: What must be known to read it.
        setup: The recipe that reproduces it; empty where too little is published.
        tuned: Whether its controller was tuned, and has to be given.
    """

    name: str
    agent: str
    controller: str
    figures: Mapping[str, str]
    note: str = ""
    setup: Mapping[str, Any] = {}
    tuned: bool = False


@lru_cache(maxsize=1)
def published_rows() -> Sequence[PublishedRow]:
    """All rows, in the order of the table."""
    data = tomllib.loads(FILE.read_text(encoding="utf-8"))
    return [_row(row, data["setups"]) for row in data["rows"]]


def published_row(name: str) -> PublishedRow:
    """The row of a name.

    Raises:
        RecipeError: There is none.
    """
    rows = {row.name: row for row in published_rows()}
    if name not in rows:
        near = get_close_matches(name, rows, 1)
        hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(rows)}"
        raise RecipeError(f"there is no published row {name!r}; {hint}")
    return rows[name]


def _row(row: Mapping[str, Any], setups: Mapping[str, Any]) -> PublishedRow:
    told = dict(row.get("setup", {}))
    if not told:
        return PublishedRow.model_validate(row)
    policy = {**setups[told["base"]]["policy"], "model": told["model"]}
    setup = {
        "agent": told["agent"],
        "policy": policy,
        "tools": list(TOOLS),
        "explore": {"max_steps": 8, "max_errors": 5},
        "sampling": {"max_new_tokens": 1024},
    }
    return PublishedRow.model_validate({**row, "setup": setup, "tuned": told.get("tuned", False)})
