"""That nothing of a benchmark is learnt from: runs of words that tasks share with its questions.

A task is contaminated where eight words in a row are those of a benchmark's question, whatever the
case and punctuation; a question of five to seven words counts where the whole of it stands in the
task, a shorter one where it is the whole task. GTA's questions are known by hashes that are
shipped; other benchmarks, GAIA among them, by their data, which a recipe names in
``evaluation.keep_apart``.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path

from sport.config import Recipe
from sport.jsonl import StoreError
from sport.store import Run
from sport.types import Task

WORDS_IN_A_ROW = 8
"""Length of the runs of words that are compared."""

SHIPPED = Path(__file__).parent / "fingerprints"
"""Hashes of the questions of published benchmarks: their texts cannot be had from these."""

_FEWEST = 5
"""Words of the shortest question that is looked for inside a longer task."""

_SHOWN = 10
_WORD = re.compile(r"\w+")

Fingerprints = Mapping[str, str]
"""Names of a benchmark's items, by the hashes of their runs of words."""


class ContaminationError(ValueError):
    """Tasks that are, or were, learnt from hold items of a benchmark; names both."""


def hashes(text: str) -> Iterator[str]:
    """The hashes of a text's runs of words; of the whole text where it is shorter than one."""
    words = _WORD.findall(text.casefold())
    if len(words) < WORDS_IN_A_ROW:
        yield _hash("whole", *words)
    for start in range(len(words) - WORDS_IN_A_ROW + 1):
        yield _hash("run", *words[start : start + WORDS_IN_A_ROW])


def fingerprints(name: str, questions: Mapping[str, str]) -> dict[str, str]:
    """The fingerprints of a benchmark's questions, which are given by their ids."""
    return {h: f"{name} {key}" for key, text in questions.items() for h in hashes(text)}


def check(tasks: Iterable[Task], *known: Fingerprints) -> None:
    """Finds tasks that share words with a benchmark.

    Args:
        tasks: What is, or was, learnt from.
        known: Fingerprints of benchmarks.

    Raises:
        ContaminationError: There are some.
    """
    hits = [f"task {task.id!r} is {item}" for task in tasks for item in items_of(task, known)]
    if hits:
        more = f"\n… and {len(hits) - _SHOWN} more" if len(hits) > _SHOWN else ""
        raise ContaminationError(
            f"{len(hits)} tasks to learn from share {WORDS_IN_A_ROW} words in a row with items of "
            "a benchmark, and would make its figures worthless:\n"
            + "\n".join(hits[:_SHOWN])
            + f"{more}\nTake these tasks out, and tune from a run without them."
        )


def check_tasks(tasks: Iterable[Task], recipe: Recipe) -> None:
    """Checks tasks against all benchmarks that a recipe keeps apart; see :func:`check`."""
    check(tasks, *kept_apart(recipe))


def kept_apart(recipe: Recipe) -> tuple[Fingerprints, ...]:
    """The fingerprints of all benchmarks of which a recipe must not learn.

    Raises:
        ContaminationError: A folder that it names holds no benchmark.
    """
    own = (_of_data(recipe.path(folder)) for folder in recipe.evaluation.keep_apart)
    return (shipped(), *own)


def check_run(run: Run) -> list[str]:
    """Checks what a run learnt from, or the run that tuned the controller that it evaluates.

    Returns:
        What could not be checked, in words.

    Raises:
        ContaminationError: Something is contaminated.
    """
    settings = run.recipe.benchmark
    if settings is None:
        check_tasks(run.tasks(), run.recipe)
        return []
    if settings.trained_in is None or settings.name == "pocket":
        return []  # the pocket world keeps its splits apart by itself
    try:
        trained = Run.open(settings.trained_in)
    except StoreError as error:
        return [f"contamination could not be checked: {error}"]
    items = {t.id: t.query for split in _SPLITS[settings.name] for t in run.tasks(split)}
    check(trained.tasks(), shipped(), fingerprints(settings.name, items))
    return []


_SPLITS = {"gta": ("test",), "gaia": ("validation",)}


@lru_cache(maxsize=1)
def shipped() -> Fingerprints:
    """The fingerprints that are shipped."""
    found: dict[str, str] = {}
    for file in sorted(SHIPPED.glob("*.txt")):
        for line in file.read_text().splitlines():
            item, *its = line.split()
            found |= dict.fromkeys(its, f"{file.stem} {item}")
    return found


def shipped_lines(questions: Mapping[str, str]) -> Iterator[str]:
    """The lines of a file of :data:`SHIPPED`: an item's id, and its hashes."""
    yield from (" ".join([key, *hashes(text)]) for key, text in questions.items())


def _of_data(folder: Path) -> Fingerprints:
    """The fingerprints of a benchmark whose data lie in a folder."""
    from sport.evals.gaia import GAIAError, questions
    from sport.evals.gta.data import GTAError, load_items

    try:
        return fingerprints("gta", {item.id: item.query for item in load_items(folder)})
    except GTAError as not_gta:
        try:
            return fingerprints("gaia", questions(folder))
        except GAIAError as not_gaia:
            raise ContaminationError(
                f"evaluation.keep_apart: {folder} holds the data of no benchmark that is known. "
                f"As GTA's: {not_gta}. As GAIA's: {not_gaia}"
            ) from None


def items_of(task: Task, known: Iterable[Fingerprints]) -> list[str]:
    """The benchmarks' items that a task shares words with."""
    words = _WORD.findall(task.query.casefold())
    parts = (
        words[start : start + length]
        for length in range(_FEWEST, WORDS_IN_A_ROW)
        for start in range(len(words) - length + 1)
    )
    its = [*hashes(task.query), *(_hash("whole", *part) for part in parts)]
    return list(dict.fromkeys(found[h] for found in known for h in its if h in found))


def _hash(*words: str) -> str:
    return hashlib.blake2b(" ".join(words).encode(), digest_size=8).hexdigest()
