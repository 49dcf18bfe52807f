r"""Whether an answer counts, by the rules of the published benchmarks, each as it was published.

Three scorers of GTA are in use, and they differ:

- ``gta``, the benchmark's own (OpenCompass, ``GTABenchEvaluator.iscorrect``): in each group of
  aliases one must stand as ``\b(?:alias|…)\b``, whatever the case, and no alias of the blacklist
  may. ``\b`` is the edge of a word, so an alias that begins or ends with something else, such as
  ``-2`` or ``50%``, is only found beside a letter, a digit or an underscore.
- ``mat``, T3-Agent's (arXiv 2412.15606): one alias of each group as a lower-cased substring; the
  blacklist is ignored, and only answers with a whitelist count.
- ``sport`` (arXiv 2504.21561): as ``mat``, with the gold answers expanded
  (:func:`sport.evals.variants.variants`).

GAIA's scorer is ``question_scorer`` of its leaderboard (arXiv 2311.12983).
"""

from __future__ import annotations

import re
import string
from collections.abc import Sequence
from typing import Any, Literal, get_args

from sport.evals.variants import variants

Protocol = Literal["gta", "mat", "sport"]
"""Which of the scorers of GTA."""

PROTOCOLS: tuple[Protocol, ...] = get_args(Protocol)

_PUNCTUATION = str.maketrans("", "", string.punctuation)


def gta_match(
    prediction: object, gt_answer: dict[str, Any] | list[str] | None, protocol: Protocol
) -> bool | None:
    """Whether a final answer is right by one of the scorers of GTA.

    Args:
        prediction: The answer. What is no text is rendered by ``str``; ``None`` is a missing
            answer, which is wrong.
        gt_answer: As the dataset has it: ``{"whitelist": […], "blacklist": […] or None}``, a list
            of reference sentences, or ``None`` where the answer is an image.
        protocol: The scorer.

    Returns:
        ``None`` where it cannot be scored here: an image; sentences, for which ``gta`` has a
        similarity in place of a match (:func:`sport.evals.similarity.similarity`) and the other
        two have nothing.

    Raises:
        ValueError: There is no such protocol.
    """
    if protocol not in PROTOCOLS:
        raise ValueError(f"protocol {protocol!r}: give one of {', '.join(PROTOCOLS)}")
    if isinstance(gt_answer, list) and protocol == "gta" and prediction is None:
        return False  # a missing answer needs no similarity
    if not isinstance(gt_answer, dict):
        return None
    if prediction is None:
        return False
    text = prediction if isinstance(prediction, str) else str(prediction)
    if protocol == "gta":
        return _by_words(text, gt_answer)
    expand = variants if protocol == "sport" else _as_it_is
    return _by_substrings(
        text, [[v for a in group for v in expand(a)] for group in _white(gt_answer)]
    )


def gaia_match(prediction: object, truth: str) -> bool:
    """Whether a final answer is right by GAIA's scorer.

    A truth that is a number is compared as a number, after ``$``, ``%`` and ``,`` are taken out of
    the answer; one with ``,`` or ``;`` as a list of as many elements, each a number or text
    without white space and case; any other without white space, punctuation and case.

    Args:
        prediction: The answer. What is no text is rendered by ``str``; ``None`` is a missing
            answer, which is wrong.
        truth: The benchmark's answer.
    """
    if prediction is None:
        return False
    text = prediction if isinstance(prediction, str) else str(prediction)
    if _is_float(truth):
        return _number(text) == float(truth)
    if "," in truth or ";" in truth:
        given, wanted = re.split("[,;]", text), re.split("[,;]", truth)
        return len(given) == len(wanted) and all(map(_same_element, given, wanted))
    return _bare(text).translate(_PUNCTUATION) == _bare(truth).translate(_PUNCTUATION)


def _white(answer: dict[str, Any]) -> Sequence[Sequence[str]]:
    groups: Sequence[Sequence[str]] = answer["whitelist"]
    return groups


def _as_it_is(alias: str) -> tuple[str, ...]:
    return (alias,)


def _by_words(text: str, answer: dict[str, Any]) -> bool:
    if not text:
        return False  # the benchmark counts no answer that is empty
    if not all(_stands(group, text) for group in _white(answer)):
        return False
    blacklist = answer.get("blacklist")
    return not blacklist or not _stands([alias for group in blacklist for alias in group], text)


def _stands(aliases: Sequence[str], text: str) -> bool:
    pattern = rf"\b(?:{'|'.join(map(re.escape, aliases))})\b"
    return re.search(pattern, text, re.IGNORECASE) is not None


def _by_substrings(text: str, groups: Sequence[Sequence[str]]) -> bool:
    lowered = text.lower()
    return all(any(alias.lower() in lowered for alias in group) for group in groups)


def _is_float(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _number(text: str) -> float:
    for sign in "$%,":
        text = text.replace(sign, "")
    try:
        return float(text)
    except ValueError:
        return float("inf")  # as published: it equals no number but an infinite truth


def _same_element(given: str, wanted: str) -> bool:
    if _is_float(wanted):
        return _number(given) == float(wanted)
    return _bare(given) == _bare(wanted)


def _bare(text: str) -> str:
    return re.sub(r"\s", "", text).lower()
