"""GAIA (arXiv 2311.12983): the official folder's validation split, its levels and its scorer.

Its authors ask that its questions are neither published again nor trained on: none is in this
repository, and none leaves the run's folder.
"""

from __future__ import annotations

import json
import re
import string
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sport.blobs import BlobStore
from sport.evals.base import Score
from sport.evals.metrics import score_steps
from sport.evals.scorers import gaia_match
from sport.evals.statistics import wilson
from sport.files import Intake
from sport.types import Gold, Task, Trajectory

LEVELS = (1, 2, 3)
_FOLDERS = (".", "validation", "2023/validation")


class GAIAError(ValueError):
    """GAIA's data cannot be used; names the file, the line and the mend."""


class _Line(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    task_id: str
    question: str = Field(alias="Question", min_length=1)
    level: int = Field(alias="Level", ge=1, le=3)
    answer: str = Field(alias="Final answer")
    file_name: str = ""


class GAIABenchmark:
    """The questions of ``metadata.jsonl``.

    Attributes:
        name: ``gaia``.
    """

    name = "gaia"
    splits: tuple[str, ...] = ("validation",)

    def __init__(self, data: Path, blobs: BlobStore, max_pixels: int) -> None:
        """Reads all questions and takes their files in.

        Raises:
            GAIAError: All that is wrong with them.
        """
        file = _find(data)
        intake = Intake(file.parent.absolute(), blobs, max_pixels)
        self._tasks: list[Task] = []
        problems: list[str] = []
        for number, line in enumerate(_text(file).split("\n"), 1):
            if line.strip():
                task, found = _task(line, intake)
                problems += [f"{file}, line {number}: {problem}" for problem in found]
                self._tasks += [task] if task else []
        counts = Counter(task.id for task in self._tasks)
        twice = {key: n for key, n in counts.items() if n > 1}
        problems += [f"{file}: task_id {key!r} stands there {n} times" for key, n in twice.items()]
        hidden = sum(t.gold is not None and t.gold.answer == "?" for t in self._tasks)
        if hidden:
            problems.append(
                f"{file}: {hidden} answers are hidden ('?'): this is the test split, whose answers "
                "are not published; give the folder 2023/validation"
            )
        if not self._tasks and not problems:
            problems = [f"{file} holds no question"]
        if problems:
            raise GAIAError("\n".join(problems[:20]))

    def tasks(self, split: str) -> list[Task]:
        """The questions, with gold; their kind is their level."""
        return self._tasks

    def score(self, task: Task, trajectory: Trajectory) -> Score:
        """By the official scorer. There are no gold chains, so there is no ToolAcc."""
        assert task.gold is not None
        given, truth = trajectory.final_answer, str(task.gold.answer)
        answer = None if given is None else given.value
        usual = score_steps(task, trajectory, gaia_match(answer, truth), [], [])
        near = answer is not None and _bare(truth) in _bare(str(answer))
        return usual.model_copy(update={"near": near and bool(_bare(truth))})

    def figures(self, scores: Sequence[Score]) -> Mapping[str, Any]:
        """Right answers and questions by level."""
        levels = {}
        for level in LEVELS:
            mine = [s for s in scores if s.kind == f"level {level}"]
            right = sum(bool(s.answer) for s in mine)
            levels[f"L{level}"] = {
                "right": right,
                "n": len(mine),
                "ans_acc": right / len(mine) if mine else None,
                "ans_acc_ci": wilson(right, len(mine)) if mine else None,
            }
        return {"levels": levels}


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise GAIAError(f"{file} is not UTF-8 text. Download it anew.") from None


def questions(data: Path) -> dict[str, str]:
    """The questions by id, without their files.

    Raises:
        GAIAError: They cannot be read.
    """
    file = _find(data)
    lines = [line for line in _text(file).split("\n") if line.strip()]
    try:
        read = [_Line.model_validate_json(line) for line in lines]
    except ValidationError as error:
        raise GAIAError(f"{file}: {error.errors()[0]['msg']}") from None
    return {line.task_id: line.question for line in read}


def _find(data: Path) -> Path:
    if data.is_file():
        return data
    for folder in _FOLDERS:
        if (data / folder / "metadata.jsonl").is_file():
            return data / folder / "metadata.jsonl"
    raise GAIAError(
        f"{data}: GAIA's metadata.jsonl is not there. Accept the terms at "
        "https://huggingface.co/datasets/gaia-benchmark/GAIA, download the folder "
        "2023/validation, and give it with --data."
    )


def _task(line: str, intake: Intake) -> tuple[Task | None, list[str]]:
    try:
        data = json.loads(line)
        read = _Line.model_validate(data)
    except json.JSONDecodeError as error:
        return None, [f"this is not JSON: {error.msg}"]
    except ValidationError as error:
        first = error.errors()[0]
        return None, [f"{'.'.join(map(str, first['loc']))}: {first['msg']}"]
    names = [read.file_name] if read.file_name else []
    files, problems = intake.take(names)
    gold = Gold(answer=read.answer)
    task = Task(
        id=read.task_id, query=read.question, files=files, kind=f"level {read.level}", gold=gold
    )
    return task, problems


def _bare(text: str) -> str:
    return re.sub(rf"[\s{re.escape(string.punctuation)}]", "", text).lower()
