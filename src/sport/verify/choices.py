"""The choices that a person made on ballots, in the run's ``agreement/<person>.jsonl``."""

from __future__ import annotations

import json
import re
from pathlib import Path

from sport.jsonl import append_lines, mend, read_lines
from sport.verify.agreement import Ballot, Choice


def check_person(name: str) -> str:
    """A name that can be a file's.

    Raises:
        ValueError: It cannot.
    """
    if not re.fullmatch(r"\w[\w.-]{0,63}", name):
        raise ValueError(f"{name!r} is no name: use letters, digits, . _ and -")
    return name


class ChoiceFile:
    """One person's choices on the steps of one run."""

    def __init__(self, run: Path, person: str) -> None:
        """Takes the run's folder and a name that :func:`check_person` let pass."""
        self._file = run / "agreement" / f"{person}.jsonl"

    def read(self) -> dict[str, Choice]:
        """The choices by the ballots' keys."""
        rows = [json.loads(line) for line in read_lines(self._file)]
        return {row["step"]: row["choice"] for row in rows}

    def add(self, ballot: Ballot, choice: Choice) -> None:
        """Records a choice."""
        mend(self._file)
        row = {"step": ballot.key, "choice": choice, "order": ballot.order}
        append_lines(self._file, [json.dumps(row)])
