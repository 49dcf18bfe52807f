"""Reading a verdict out of a judging model's text: tolerant of prose, strict about its content."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from sport.types import Verdict
from sport.verify.base import VerdictError
from sport.verify.prompt import Mode

_SHOWN = 200
_DECODER = json.JSONDecoder()
_OPENING = re.compile(r'\{(?=\s*["}])')
"""Where an object may begin: every other brace is passed over, for trying each is slow."""


def read_verdict(text: str, mode: Mode, n: int) -> Verdict:
    """The verdict in a text, in the numbering that was shown, from 0.

    The JSON may stand in prose or in a code fence; the last object that has the right key counts.

    Raises:
        VerdictError: There is none that can be used; the message tells the model what to mend.
    """
    found = [data for data in objects(text) if mode in data]
    if not found:
        raise VerdictError(f'there is no JSON object with the key "{mode}" in {text[:_SHOWN]!r}')
    data = found[-1]
    reason = str(data.get("reason") or "no reason given")
    if mode == "best":
        return _best(data["best"], n, reason)
    if mode == "ranking":
        return _ranking(data["ranking"], n, reason)
    return _scores(data["scores"], n, reason)


def _best(value: Any, n: int, reason: str) -> Verdict:
    if value is None:
        return Verdict(best=None, reason=f"abstained: {reason}")
    if not _is_number(value, n):
        raise VerdictError(f'"best" is {value!r}; it must be a whole number from 1 to {n}, or null')
    return Verdict(best=value - 1, reason=reason)


def _ranking(value: Any, n: int, reason: str) -> Verdict:
    if not isinstance(value, list) or sorted(map(repr, value)) != sorted(
        repr(i) for i in range(1, n + 1)
    ):
        raise VerdictError(f'"ranking" is {value!r}; it must hold every number from 1 to {n} once')
    places = {number - 1: place for place, number in enumerate(value)}
    scores = tuple(float(n - 1 - places[i]) for i in range(n))
    return Verdict(best=value[0] - 1, reason=reason, scores=scores)


def _scores(value: Any, n: int, reason: str) -> Verdict:
    good = isinstance(value, list) and len(value) == n and all(map(_is_score, value))
    if not good:
        raise VerdictError(f'"scores" is {value!r}; it must hold {n} numbers from 0 to 10')
    scores = tuple(float(v) for v in value)
    top = max(scores)
    if top == 0:
        return Verdict(best=None, reason=f"abstained: all scores are 0: {reason}", scores=scores)
    return Verdict(best=scores.index(top), reason=reason, scores=scores)


def _is_number(value: Any, n: int) -> bool:
    return type(value) is int and 1 <= value <= n


def _is_score(value: Any) -> bool:
    return type(value) in (int, float) and 0 <= value <= 10


def objects(text: str) -> Iterator[dict[str, Any]]:
    """The JSON objects in a text, in order, those inside others left out."""
    found = _OPENING.search(text)
    while found is not None:
        start = found.start()
        try:
            data, end = _DECODER.raw_decode(text, start)
        except (json.JSONDecodeError, RecursionError):
            end = start + 1
        else:
            if isinstance(data, dict):
                yield data
        found = _OPENING.search(text, end)
