"""The published scorers: cases by hand, and second transcriptions of each published rule."""

import json
import re
import string
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sport.evals.scorers import gaia_match, gta_match
from sport.evals.variants import variants

CASES = [
    json.loads(line)
    for line in (Path(__file__).parents[1] / "data" / "scorer_cases.jsonl").read_text().splitlines()
]


@pytest.mark.parametrize("scorer", ["gta", "mat", "sport", "gaia"])
def test_cases_by_hand(scorer: str) -> None:
    wrong = []
    mine = [case for case in CASES if case["scorer"] == scorer]
    for case in mine:
        prediction, truth = case["prediction"], case["truth"]
        found = (
            gaia_match(prediction, truth)
            if scorer == "gaia"
            else gta_match(prediction, truth, scorer)
        )
        if found is not case["match"]:
            wrong.append(f"{prediction!r} against {truth!r}: {found}; {case['why']}")
    assert not wrong, "\n".join(wrong)
    assert len(mine) >= 70


def test_every_case_has_its_reason() -> None:
    assert len(CASES) >= 200 and all(case["why"] for case in CASES)


# Texts of the characters on which scorers differ: edges of words, signs, separators.
TEXT = st.text(alphabet="aAb1 2,;.$%-_\n+([é", max_size=8)
ALIASES = st.lists(TEXT, max_size=3)
ANSWERS = st.fixed_dictionaries(
    {
        "whitelist": st.lists(ALIASES, max_size=3),
        "blacklist": st.none() | st.lists(ALIASES, max_size=2),
    }
)


def word(character: str) -> bool:
    return character.isalnum() or character == "_"


def edge(text: str, place: int) -> bool:
    """Whether a word begins or ends at a place, spelt out."""
    before = place > 0 and word(text[place - 1])
    after = place < len(text) and word(text[place])
    return before != after


def stands(alias: str, text: str) -> bool:
    """Whether an alias stands somewhere between two edges of words, without regular expressions."""
    length = len(alias)
    return any(
        text[i : i + length].lower() == alias.lower() and edge(text, i) and edge(text, i + length)
        for i in range(len(text) - length + 1)
    )


@given(TEXT, ANSWERS)
def test_gta_is_the_published_rule(text: str, answer: dict[str, Any]) -> None:
    found = sum(any(stands(alias, text) for alias in group) for group in answer["whitelist"])
    black = [alias for group in answer["blacklist"] or [] for alias in group]
    # A blacklist of empty groups is the empty alternative, which stands at any edge.
    black = black or ([""] if answer["blacklist"] else [])
    # So is a group without aliases.
    found += sum(not group and stands("", text) for group in answer["whitelist"])
    right = found == len(answer["whitelist"]) and not any(stands(alias, text) for alias in black)
    assert gta_match(text, answer, "gta") is (right and text != "")


@given(TEXT, ANSWERS)
def test_mat_is_the_published_rule(text: str, answer: dict[str, Any]) -> None:
    missing = [
        group
        for group in answer["whitelist"]
        if not [alias for alias in group if text.lower().find(alias.lower()) >= 0]
    ]
    assert gta_match(text, answer, "mat") is (not missing)


NUMBER = st.integers(0, 20_000).map(str)
EXPANDED = TEXT | NUMBER | NUMBER.map("{}cm".format) | NUMBER.map("{}PM".format)
WORDS = dict(zip("0 1 2 3 4 5 6 7 8 9 10".split(), "zero one two three four five six seven eight nine ten".split(), strict=True))  # fmt: skip # noqa: E501


def spoken(alias: str) -> set[str]:
    """Another transcription of the list of variants, for aliases that are numbers."""
    texts = {alias}
    if alias in WORDS:
        texts.add(WORDS[alias])
    if alias == "0":
        texts.add("no")
    digits = re.match(r"\d*", alias)[0]  # type: ignore[index]
    if len(digits) >= 4 and not digits.startswith("0"):
        grouped = digits
        for place in range(len(digits) - 3, 0, -3):
            grouped = grouped[:place] + "," + grouped[place:]
        texts.add(grouped + alias[len(digits) :])
    if alias.endswith("cm"):
        texts.add(alias.replace("cm", " cm"))
    if alias.endswith("PM"):
        texts |= {alias.replace("PM", " PM"), alias.replace("PM", "p.m.")}
    return texts


@given(NUMBER | NUMBER.map("{}cm".format) | NUMBER.map("{}PM".format))
def test_the_variants_are_those_of_the_list(alias: str) -> None:
    assert set(variants(alias)) == spoken(alias)


@given(TEXT, st.lists(st.lists(EXPANDED, max_size=2), max_size=2))
def test_sport_is_mat_with_an_expanded_gold(text: str, groups: list[list[str]]) -> None:
    answer = {"whitelist": groups, "blacklist": [["a"]]}
    more = {"whitelist": [[v for a in g for v in variants(a)] for g in groups], "blacklist": None}
    assert gta_match(text, answer, "sport") is gta_match(text, more, "mat")
    if gta_match(text, answer, "mat"):
        assert gta_match(text, answer, "sport"), "an expanded gold takes nothing away"


def number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def same_number(text: str, truth: float) -> bool:
    kept = "".join(c for c in text if c not in "$%,")
    value = number(kept)
    return truth == (float("inf") if value is None else value)


def packed(text: str) -> str:
    return "".join(text.split()).lower()


def split(text: str) -> list[str]:
    return text.replace(";", ",").split(",")


@given(TEXT | NUMBER, TEXT | NUMBER)
def test_gaia_is_the_published_rule(text: str, truth: str) -> None:
    value = number(truth)
    if value is not None:
        right = same_number(text, value)
    elif len(split(truth)) > 1:
        right = len(split(text)) == len(split(truth)) and all(
            packed(a) == packed(b) if number(b) is None else same_number(a, float(b))
            for a, b in zip(split(text), split(truth), strict=True)
        )
    else:
        kept = ["".join(c for c in packed(t) if c not in string.punctuation) for t in (text, truth)]
        right = kept[0] == kept[1]
    assert gaia_match(text, truth) is right


@given(st.integers() | st.floats(allow_nan=False) | st.booleans() | st.lists(st.integers()))
def test_what_is_no_text_is_rendered(value: object) -> None:
    answer = {"whitelist": [["1"]], "blacklist": None}
    for protocol in ("gta", "mat", "sport"):
        assert gta_match(value, answer, protocol) is gta_match(str(value), answer, protocol)
    assert gaia_match(value, "1") is gaia_match(str(value), "1")


def test_an_unknown_protocol_is_refused() -> None:
    with pytest.raises(ValueError, match="give one of gta, mat, sport"):
        gta_match("1", None, "gaia")  # type: ignore[arg-type]
