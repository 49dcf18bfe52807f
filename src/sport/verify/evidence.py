"""What the tools have shown so far: the texts, the counts and the numbers that may be relied on."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

from pydantic import JsonValue

from sport.evals.answers import numbers_in
from sport.types import ToolCall
from sport.verify.words import content, stems

_NOTHING = re.compile(
    r"\W*(?:no|none|nothing|not found|n/a|null|unknown|empty)\b[^\d\n]{0,60}", re.I
)
_QUAD = re.compile(r"[\[(]\s*(?:-?\d+(?:\.\d+)?\s*,\s*){3}-?\d+(?:\.\d+)?\s*[\])]")
_MAX_TEXT = 50_000  # a page may be long, a judgement must stay cheap


def is_empty(result: JsonValue) -> bool:
    """Whether a tool returned nothing: no text, no items, or a short "no results"."""
    if isinstance(result, str):
        return not result.strip() or _NOTHING.fullmatch(result.strip()) is not None
    return result is None or (isinstance(result, list | dict) and not result)


def is_box(value: JsonValue) -> bool:
    """Whether a value is a box ``[x1, y1, x2, y2]`` in pixels."""
    if not isinstance(value, list) or len(value) != 4:
        return False
    if not all(isinstance(x, int | float) and not isinstance(x, bool) for x in value):
        return False
    x1, y1, x2, y2 = (float(x) for x in value if isinstance(x, int | float))
    return x2 > x1 and y2 > y1


def key(number: float) -> float:
    """A number as it is compared: equal to six decimals."""
    return round(number, 6)


def numbers_of(text: str) -> set[float]:
    """The numbers in a text, those inside printed box coordinates left out.

    Coordinates are small enough to make an invented count look as if it had been observed.
    """
    return {key(n) for n in numbers_in(_QUAD.sub(" ", text[:_MAX_TEXT]))}


@dataclass(frozen=True)
class Finding:
    """What one successful call of a tool showed.

    Attributes:
        step: Index of its step.
        tool: Name of the tool.
        signature: The call, for comparison with others.
        files: Names of the task's files that it was given.
        wording: Its text arguments, file names left out.
        text: The text that it returned; ``""`` where it returned none.
        counts: Lengths of the lists that it returned.
        coordinates: Numbers that belong to boxes.
        numbers: Numbers that it reported, box coordinates left out; counts included.
        empty: Whether it returned nothing.
    """

    step: int
    tool: str
    signature: str
    files: frozenset[str]
    wording: str
    text: str
    counts: frozenset[int]
    coordinates: frozenset[float]
    numbers: frozenset[float]
    empty: bool

    @cached_property
    def words(self) -> frozenset[str]:
        """Content words that it showed or was asked about with success."""
        asked = frozenset() if self.empty or self.text else content(self.wording)
        return content(self.text) | asked

    @cached_property
    def rows(self) -> tuple[tuple[tuple[str, ...], frozenset[float]], ...]:
        """The lines of its text that have a name and numbers: stems of the name, the numbers."""
        lines = ((stems(line), numbers_of(line)) for line in self.text[:_MAX_TEXT].splitlines())
        return tuple((name, frozenset(found)) for name, found in lines if name and found)


def finding(step: int, call: ToolCall, files: Iterable[str]) -> Finding:
    """Reads the result of a call that did not fail."""
    strings = [v for v in call.arguments.values() if isinstance(v, str)]
    names = frozenset(f for f in files if any(_base(s) == f for s in strings))
    texts: list[str] = []
    counts: set[int] = set()
    coordinates: set[float] = set()
    numbers: set[float] = set()
    for value in _walk(call.result, counts):
        if isinstance(value, str):
            texts.append(value)
        elif isinstance(value, list):
            coordinates.update(key(float(x)) for x in value if isinstance(x, int | float))
        elif not isinstance(value, bool) and isinstance(value, int | float):
            numbers.add(key(float(value)))
    text = "\n".join(texts)
    return Finding(
        step=step,
        tool=call.name,
        signature=signature(call),
        files=names,
        wording=" ".join(s for s in strings if _base(s) not in names),
        text=text,
        counts=frozenset(counts),
        coordinates=frozenset(coordinates),
        numbers=frozenset(numbers | numbers_of(text) | {float(c) for c in counts}),
        empty=is_empty(call.result),
    )


def signature(call: ToolCall) -> str:
    """A call as text: equal for the same tool with the same arguments."""
    arguments = {k: _base(v) if isinstance(v, str) else v for k, v in call.arguments.items()}
    return f"{call.name}({json.dumps(arguments, sort_keys=True)})"


def _base(path: str) -> str:
    return path.strip().removeprefix("/workspace/").removeprefix("./")


def _walk(value: JsonValue, counts: set[int]) -> Iterator[JsonValue]:
    """The leaves of a result, boxes whole; the lengths of other lists go into ``counts``."""
    if isinstance(value, list) and not is_box(value):
        counts.add(len(value))
        for item in value:
            yield from _walk(item, counts)
    elif isinstance(value, dict):
        for item in value.values():
            yield from _walk(item, counts)
    else:
        yield value
