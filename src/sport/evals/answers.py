"""Whether an answer is the right one: numbers as numbers, text as text.

The plain rule for the pocket world and for a user's own tasks; published benchmarks bring theirs.
"""

from __future__ import annotations

import math
import re
import unicodedata

from pydantic import JsonValue

TOLERANCE = 0.011
"""How far a number may be off: a cent, and the rounding of one."""

NUMBER = re.compile(
    r"(?<![\w.])[-+]?(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+|(?=\.\d))(?:\.\d*)?(?:[eE][-+]?\d+)?"
)
"""A number in running text: a sign, commas between thousands, decimals, an exponent."""


def numbers_in(text: str) -> list[float]:
    """The numbers in a text, in order; commas are thousands, never decimals."""
    return [float(m.replace(",", "")) for m in NUMBER.findall(text.replace("−", "-"))]


def as_number(value: JsonValue) -> float | None:
    """The number that a value is, or that a text holds if it holds exactly one.

    A bool is no number, and neither is NaN. ``"$3.50"``, ``"1,234.5"`` and ``"12 cm"`` are.
    """
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, str):
        found = numbers_in(value)
        value = found[0] if len(found) == 1 else None
    if not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def same_answer(given: JsonValue, gold: JsonValue) -> bool:
    """Whether ``given`` is the answer ``gold``.

    A number (or a text that is nothing but one, such as ``"$3.50"``) is compared within
    :data:`TOLERANCE`; other text without regard to case and spaces; lists item by item, and
    objects key by key.
    """
    if isinstance(gold, bool) or gold is None:
        return given is gold
    if isinstance(gold, list):
        return (
            isinstance(given, list)
            and len(given) == len(gold)
            and all(map(same_answer, given, gold))
        )
    if isinstance(gold, dict):
        return (
            isinstance(given, dict)
            and given.keys() == gold.keys()
            and all(same_answer(given[k], v) for k, v in gold.items())
        )
    if isinstance(gold, str) and not _is_bare_number(gold):
        return isinstance(given, str) and _plain(given) == _plain(gold)
    want, have = as_number(gold), as_number(given)
    return want is not None and have is not None and abs(want - have) <= TOLERANCE


def _is_bare_number(text: str) -> bool:
    rest = text.strip().strip("$€£%").strip().replace("−", "-")
    return NUMBER.fullmatch(rest) is not None


def _plain(text: str) -> str:
    return "".join(unicodedata.normalize("NFKC", text).casefold().split())
