"""What synthesis has paid for: answers, and what was made of them, kept as soon as they are had.

Synthesis is a function of its recipe and of what it was answered. One that was killed is done
again from the start, with what it had been answered out of the journal: nothing is asked, searched
or made twice, and it ends with the same tasks.
"""

from __future__ import annotations

import json
from pathlib import Path

import orjson
from pydantic import JsonValue

from sport.jsonl import StoreError, append_lines, mend, read_lines


class Journal:
    """JSON values by key, in a file that only grows."""

    def __init__(self, file: Path) -> None:
        """Goes on where ``file`` ends; a torn last line is cut off.

        Raises:
            StoreError: Another line is broken.
        """
        self._file = file
        mend(file)
        self._known: dict[str, JsonValue] = {}
        for number, line in enumerate(read_lines(file), 1):
            try:
                row = orjson.loads(line)
                self._known[row["key"]] = row["value"]
            except (orjson.JSONDecodeError, KeyError, TypeError):
                raise StoreError(
                    f"{file}, line {number}: this is no entry of a journal. Delete the line: what "
                    "it held is asked for again."
                ) from None

    def __contains__(self, key: str) -> bool:
        return key in self._known

    def __getitem__(self, key: str) -> JsonValue:
        return self._known[key]

    def keep(self, key: str, value: JsonValue) -> None:
        """Keeps a value; it is on the disk when this returns."""
        append_lines(self._file, [json.dumps({"key": key, "value": value})])
        self._known[key] = value
