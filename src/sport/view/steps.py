"""A step as people look at it: its candidates in columns, and what became of each."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from markupsafe import Markup
from PIL import Image
from pydantic import JsonValue
from pygments import highlight
from pygments.formatters.html import HtmlFormatter
from pygments.lexers.python import PythonLexer

from sport.images import FORMATS
from sport.tune.config import PairConfig
from sport.tune.pairs import KEPT, fates
from sport.types import Candidate, File, Step, Trajectory
from sport.untrusted import clip, shown

Box = tuple[float, float, float, float]

_MOST_BOXES = 200
_DIFF_LINES = 400
_LARGEST = 1e6
"""Pixels; a box beyond is none."""
_HIGHLIGHTED = 4_000
"""Characters; the lexer's patterns take time that grows far faster than the code."""
_LEXER = PythonLexer(stripnl=False)
_FORMATTER = HtmlFormatter(nowrap=True, classprefix="k-")


@dataclass(frozen=True)
class Picture:
    """A picture with the boxes that a tool found in it, in its pixels."""

    file: File
    title: str
    boxes: tuple[Box, ...] = ()
    width: int = 0
    height: int = 0


@dataclass(frozen=True)
class Column:
    """One candidate of a step.

    Attributes:
        number: From 1, as people count.
        candidate: The candidate.
        best: Whether the verifier named it.
        went_on: Whether its world went on.
        fate: What became of it as a preference pair; empty where nothing is to be said.
        paired: Whether it is one side of a pair.
        score: The verifier's score, where there is one.
        code: Its code, highlighted; its text where there is no code.
        pictures: What it produced, and what it looked at where boxes were found.
        diff: Its code against the best one's: ``(sign, line)``; empty where there is none.
    """

    number: int
    candidate: Candidate
    best: bool
    went_on: bool
    fate: str
    paired: bool
    score: float | None
    code: Markup
    pictures: tuple[Picture, ...]
    diff: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class StepView:
    """A step and its columns, in the order in which candidates were sampled, or another."""

    step: Step
    columns: tuple[Column, ...]
    pairs: int


def step_views(trajectory: Trajectory, config: PairConfig) -> list[StepView]:
    """All steps of a trajectory.

    Args:
        trajectory: The trajectory.
        config: Which pairs the run keeps.
    """
    known = {file.name: file for file in trajectory.task.images}
    views = []
    for step, fate in zip(trajectory.steps, fates(trajectory, config), strict=True):
        views.append(_step_view(step, fate, known))
        if step.winner is not None:
            known |= {file.name: file for file in step.winner.observation.images}
    return views


def _step_view(step: Step, fate: Mapping[int, str], known: Mapping[str, File]) -> StepView:
    best = step.verdict.best
    chosen = None if best is None else step.candidates[best].action.code
    pairs = sum(word == KEPT for word in fate.values())
    columns = tuple(
        Column(
            number=i + 1,
            candidate=candidate,
            best=i == best,
            went_on=i == step.chosen,
            fate=_fate(i == best, fate.get(i, ""), pairs, len(step.candidates)),
            paired=fate.get(i) == KEPT or (i == best and pairs > 0),
            score=step.verdict.scores[i] if step.verdict.scores else None,
            code=code_html(candidate),
            pictures=tuple(_pictures(candidate, known)),
            diff=() if i == best else tuple(_diff(chosen, candidate.action.code)),
        )
        for i, candidate in enumerate(step.candidates)
    )
    return StepView(step, columns, pairs)


def _fate(best: bool, word: str, pairs: int, candidates: int) -> str:
    if candidates < 2:
        return ""
    if best:
        return (
            f"chosen in {pairs} pair{'' if pairs == 1 else 's'}" if pairs else "no pair came of it"
        )
    return "rejected in a pair" if word == KEPT else f"no pair: {word}"


def blind_columns(candidates: Sequence[Candidate], task_images: Sequence[File]) -> list[Column]:
    """Candidates without any word of a verdict, numbered in the order given."""
    known = {file.name: file for file in task_images}
    return [
        Column(
            number=i + 1,
            candidate=candidate,
            best=False,
            went_on=False,
            fate="",
            paired=False,
            score=None,
            code=code_html(candidate),
            pictures=tuple(_pictures(candidate, known)),
        )
        for i, candidate in enumerate(candidates)
    ]


def code_html(candidate: Candidate) -> Markup:
    """A candidate's code with its parts marked by classes, all of it escaped."""
    action = candidate.action
    if action.code is None or len(action.code) > _HIGHLIGHTED:
        text = action.text if action.code is None else action.code
        return Markup(Markup.escape(shown(clip(text))))
    return Markup(highlight(shown(clip(action.code)), _LEXER, _FORMATTER).rstrip("\n"))


def _diff(chosen: str | None, code: str | None) -> Iterator[tuple[str, str]]:
    """Lines of the chosen code (``-``), of this one (``+``) and of both (a space)."""
    if chosen is None or code is None or chosen == code:
        return
    before = shown(clip(chosen)).splitlines()[:_DIFF_LINES]
    after = shown(clip(code)).splitlines()[:_DIFF_LINES]
    for kind, i, j, k, m in difflib.SequenceMatcher(None, before, after).get_opcodes():
        if kind == "equal":
            yield from ((" ", line) for line in before[i:j])
            continue
        yield from (("-", line) for line in before[i:j])
        yield from (("+", line) for line in after[k:m])


def _pictures(candidate: Candidate, known: Mapping[str, File]) -> Iterator[Picture]:
    mine = {file.name: file for file in candidate.observation.images}
    found: dict[str, list[Box]] = {}
    for call in candidate.outcome.tool_calls if candidate.outcome else ():
        boxes = list(boxes_in(call.result))
        names = [PurePosixPath(a).name for a in call.arguments.values() if isinstance(a, str)]
        name = next((n for n in names if n in mine or n in known), None)
        if boxes and name is not None:
            found.setdefault(name, []).extend(boxes)
    for name, file in mine.items():
        if name not in found:
            yield Picture(file, f"{name}, produced")
    for name, boxes in found.items():
        yield _boxed(mine.get(name) or known[name], boxes)


def _boxed(file: File, boxes: Sequence[Box]) -> Picture:
    title = f"{file.name} with {len(boxes)} box{'' if len(boxes) == 1 else 'es'}"
    try:
        with Image.open(file.path, formats=FORMATS) as image:
            width, height = image.size
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return Picture(file, title)  # PIL raises any of these for bytes that are no picture
    return Picture(file, title, tuple(boxes[:_MOST_BOXES]), width, height)


def boxes_in(value: JsonValue) -> Iterator[Box]:
    """The boxes ``[x1, y1, x2, y2]`` anywhere in a tool's result."""
    if isinstance(value, dict):
        value = list(value.values())
    if not isinstance(value, list):
        return
    numbers = [v for v in value if isinstance(v, int | float) and not isinstance(v, bool)]
    if len(value) == len(numbers) == 4:
        x1, y1, x2, y2 = numbers
        if 0 <= x1 < x2 < _LARGEST and 0 <= y1 < y2 < _LARGEST:
            yield float(x1), float(y1), float(x2), float(y2)
        return
    for item in value[:_MOST_BOXES]:
        yield from boxes_in(item)
