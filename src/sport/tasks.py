"""A user's own tasks: one JSON object a line, and which of them are held out.

::

    {"query": "How much do 3 tea cost?", "files": ["photos/board.jpg"]}
    {"query": "Who is dearer?", "files": ["a.png", "b.png"], "answer": "a", "id": "dearer"}

``query`` is needed; ``files`` are relative to the file of tasks, in the order in which the model
sees them, and ``captions`` says what each shows, for a verifier that sees no pictures. ``answer``
and ``tools`` (the ideal chain) are for scoring alone, ``kind`` names a family for break-downs.
"""

from __future__ import annotations

import codecs
import difflib
import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from sport.blobs import BlobStore
from sport.files import Intake
from sport.images import MAX_PIXELS
from sport.types import Gold, Task, derive_seed

KEYS = ("query", "files", "captions", "answer", "id", "tools", "kind")
"""Keys of a task."""

_ALIASES = {
    "question": "query", "prompt": "query", "instruction": "query", "text": "query",
    "image": "files", "images": "files", "file": "files", "image_path": "files", "picture": "files",
    "label": "answer", "solution": "answer", "gt_answer": "answer", "ground_truth": "answer",
    "task_id": "id", "type": "kind", "category": "kind",
}  # fmt: skip
_LONGEST_ID = 200
_SHOWN_PROBLEMS = 20


class TasksError(ValueError):
    """A file of tasks cannot be used.

    Attributes:
        problems: All that is wrong with it; the message shows the first twenty.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        """Keeps all problems, and shows as many as a person will read."""
        self.problems = tuple(problems)
        rest = len(problems) - _SHOWN_PROBLEMS
        more = [f"… and {rest} more problems"] if rest > 0 else []
        super().__init__("\n".join([*problems[:_SHOWN_PROBLEMS], *more]))


def load_tasks(path: Path, blobs: BlobStore, max_pixels: int = MAX_PIXELS) -> list[Task]:
    """Reads tasks and takes their files in.

    Args:
        path: A JSONL file; blank lines are skipped.
        blobs: Where the bytes of the files go.
        max_pixels: Area to which larger pictures are scaled down.

    Returns:
        The tasks, in the order of the file; those without an ``id`` are called after their line.

    Raises:
        TasksError: All that is wrong with the file, each with its line.
    """
    intake = Intake(path.parent.absolute(), blobs, max_pixels)
    tasks: list[Task] = []
    problems: list[str] = []
    lines: dict[str, int] = {}
    for number, line in _lines(path):
        task, found = _read_task(line, number, intake)
        if task is not None and task.id in lines:
            found = [*found, f"id {task.id!r} is line {lines[task.id]}'s already; ids must differ"]
        problems += [f"{path}, line {number}: {problem}" for problem in found]
        if task is not None:
            lines.setdefault(task.id, number)
            tasks.append(task)
    if problems:
        raise TasksError(problems)
    if not tasks:
        raise TasksError([f'{path} holds no task. Write one a line: {{"query": "…", "files": []}}'])
    return tasks


def split_by_file(
    tasks: Sequence[Task], share: float = 0.2, seed: int = 0
) -> tuple[list[Task], list[Task]]:
    """Holds a share of the tasks out, so that no file is on both sides.

    Tasks that share a file, directly or through others, stay together, as do tasks without files
    that ask the same. Which are held out depends on ``seed`` and on their ids, not on
    their order.

    Args:
        tasks: At least two that share no file.
        share: Share of the tasks to hold out, between 0 and 1: at most this much, but at least
            one group of tasks.
        seed: The recipe's.

    Returns:
        The tasks to explore and those held out, each in the order of ``tasks``.

    Raises:
        TasksError: All tasks hang together by their files.
    """
    if not 0 < share < 1:
        raise ValueError(f"share must lie between 0 and 1, not at {share}")
    groups = sorted(
        _connected(tasks), key=lambda group: derive_seed(seed, "held out", min(t.id for t in group))
    )
    if len(groups) < 2:
        why = f"All {len(tasks)} tasks share files" if len(tasks) > 1 else "There is one task"
        raise TasksError([f"{why}, so none can be held out. Add a task over another file."])
    chosen: list[Task] = []
    for group in groups[:-1]:
        if len(chosen) + len(group) <= share * len(tasks):
            chosen += group
    held = {t.id for t in chosen or min(groups, key=len)}
    return [t for t in tasks if t.id not in held], [t for t in tasks if t.id in held]


def _connected(tasks: Sequence[Task]) -> list[list[Task]]:
    """Groups of tasks that hang together by what they are over."""
    parents: dict[str, str] = {}

    def root(key: str) -> str:
        while parents.setdefault(key, key) != key:
            parents[key] = key = parents[parents[key]]
        return key

    keys = [[f.sha256 for f in t.files] or [" ".join(t.query.casefold().split())] for t in tasks]
    for shared in keys:
        for key in shared:
            parents[root(key)] = root(shared[0])
    groups: dict[str, list[Task]] = defaultdict(list)
    for task, shared in zip(tasks, keys, strict=True):
        groups[root(shared[0])].append(task)
    return list(groups.values())


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """The lines that hold something, with their numbers from 1."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise TasksError([f"{path} does not exist. Mend its path in the recipe."]) from None
    except IsADirectoryError:
        raise TasksError([f"{path} is a folder. Name the file of tasks in it."]) from None
    except OSError as error:
        raise TasksError([f"{path} cannot be read: {error.strerror}."]) from None
    try:
        text = data.removeprefix(codecs.BOM_UTF8).decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise TasksError([f"{path}, line {line}: this is not UTF-8. Save it as UTF-8."]) from None
    if text.lstrip()[:1] == "[" or text.strip().split("\n")[0].strip() == "{":
        raise TasksError([f"{path} is one JSON value over many lines. Write one task a line."])
    # Not `splitlines`: a JSON text may hold other line breaks, such as U+2028, as they are.
    yield from ((n, line) for n, line in enumerate(text.split("\n"), 1) if line.strip())


def _read_task(line: str, number: int, intake: Intake) -> tuple[Task | None, list[str]]:
    """The task of a line if there is one, and what is wrong with it."""
    try:
        data = json.loads(line, object_pairs_hook=_without_doubles, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        return None, [f"this is not JSON: {error.msg} at column {error.colno}"]
    except (ValueError, RecursionError) as error:
        return None, [f"this is not JSON that can be read: {error}"]
    if not isinstance(data, dict):
        return None, ['a task is a JSON object, such as {"query": "…", "files": ["a.jpg"]}']
    problems = [_unknown(key) for key in data if key not in KEYS]
    problems += _problems_of_texts(data)
    problems += _problems_of_lists(data)
    problems += _problems_of_answer(data.get("answer"))
    names = data.get("files", [])
    files, missing = intake.take(names if _is_texts(names) else [])
    problems += missing
    captions = data.get("captions", [])
    if captions and _is_texts(captions) and _is_texts(names) and len(captions) != len(names):
        problems.append(f"`captions` has {len(captions)} texts for {len(names)} `files`")
    identity = str(data.get("id", f"task-{number}"))
    if problems:
        # The id alone is kept, so that a double is told in the same breath.
        return Task(id=identity, query="") if _encodable(identity) else None, problems
    tools = tuple(t for t in data.get("tools", ()) if t != "final_answer")
    answer = data.get("answer")
    gold = Gold(answer=answer, tools=tools) if answer is not None or tools else None
    if captions:
        told = zip(files, captions, strict=True)
        files = tuple(f.model_copy(update={"caption": c.strip()}) for f, c in told)
    query, kind = data["query"].strip(), data.get("kind", "")
    return Task(id=identity, query=query, files=files, kind=kind, gold=gold), []


def _problems_of_texts(data: dict[str, Any]) -> list[str]:
    problems = []
    query, identity, kind = data.get("query"), data.get("id", "x"), data.get("kind", "")
    if "query" not in data:
        problems.append("`query` is missing")
    elif not isinstance(query, str) or not query.strip():
        problems.append("`query` must be a text that is not empty")
    if isinstance(identity, bool) or not isinstance(identity, str | int):
        problems.append("`id` must be a text")
    elif not 0 < len(str(identity)) <= _LONGEST_ID or not str(identity).isprintable():
        problems.append(f"`id` must be 1 to {_LONGEST_ID} printable characters")
    if not isinstance(kind, str):
        problems.append("`kind` must be a text")
    problems += [
        f"`{key}` holds half of a surrogate pair, which is no character"
        for key, value in (("query", query), ("kind", kind))
        if isinstance(value, str) and not _encodable(value)
    ]
    return problems


def _problems_of_lists(data: dict[str, Any]) -> list[str]:
    return [
        f"`{key}` must be a list of texts, such as {example}"
        for key, example in (
            ("files", '["a.jpg"]'),
            ("captions", '["a street"]'),
            ("tools", '["ocr"]'),
        )
        if not _is_texts(data.get(key, []))
    ]


def _problems_of_answer(answer: Any) -> list[str]:
    if answer in ("", [], {}):
        return ["`answer` is empty; leave it out where there is none"]
    try:
        json.dumps(answer, ensure_ascii=False, allow_nan=False).encode()
    except ValueError as error:
        return [f"`answer` cannot be stored: {error}"]
    return []


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(v, str) and v for v in value)


def _encodable(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _unknown(key: str) -> str:
    close = difflib.get_close_matches(key.lower(), KEYS, n=1, cutoff=0.5)
    nearest = _ALIASES.get(key.lower()) or (close[0] if close else None)
    hint = f" Did you mean `{nearest}`?" if nearest else ""
    return f"unknown key `{key}`.{hint} Known: {', '.join(KEYS)}."


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) < len(pairs):
        doubled = next(k for k, _ in pairs if sum(k == other for other, _ in pairs) > 1)
        raise ValueError(f"key `{doubled}` stands twice")
    return result


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON number")
