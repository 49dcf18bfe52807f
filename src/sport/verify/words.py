"""What a query asks for, read off its words: amounts, prices, names, the operation it implies.

Only the wording of the language is used (how many, than, cost, capital letters), never what a
particular task is known to need. English; in other languages the cues are silent.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from sport.evals.answers import numbers_in

_WORD = re.compile(r"[^\W\d_]+")
_STOP = frozenset(
    """a about above all also altogether am amount an and any are around as asked at average be
    been before below between bigger both bought box but buy by calculate can cent cents chart
    cheaper cheapest column combined compare compute cost costing count counted dearer describe
    description detail did difference digit display displayed do does dollar dollars drawn each
    euro euros expensive fewer figure file find for from get give given go graph greater
    greatest had has have he her higher highest his how i if image in information into is it
    item its larger largest least less like line list listed longer look lower lowest many me
    mean menu more most much name named near need next no not number object of off older on one
    only or other our out over paid pay per photo photograph picture piece please present price
    priced put quantity question read receipt row said same say see seen sell selling she shop
    shorter should show shown sign smaller smallest sold some spend spent stand store sum table
    take taller tell text than that the their them then there these they thing this those time
    to together total two under unit up us use value visible was we were what when where which
    while who whole whose why will with word worth would written you your""".split()
)
_DATES = frozenset(
    """january february march april may june july august september october november december
    monday tuesday wednesday thursday friday saturday sunday""".split()
)
_AMOUNT = re.compile(
    r"\bhow (?:many|much)\b"
    r"|\b(?:number|total|sum|difference|price|cost|average|percentage|amount)s?\b",
    re.I,
)
_PRICE = re.compile(
    r"\b(?:prices?|costs?|priced|cheaper|cheapest|dearer|(?:more|less|most|least) expensive"
    r"|pay|paid|spend|spent|dollars?|euros?)\b|[$€£]",
    re.I,
)
_COMPARES = re.compile(r"\bhow (?:much|many) (?:more|less|fewer|\w+er)\b|\bdifference\b", re.I)
_TIMES = re.compile(r"\ball (?:of )?(?:the )?(?:\w+ ){1,3}(?:cost|together cost)\b", re.I)
_ADDS = re.compile(
    r"\b(?:how (?:many|much)|total|sum)\b.*\band\b|\baltogether\b|\bin total\b", re.I
)
_QUANTITY = re.compile(
    r"(?<![\w.,$€£])(\d+)\s+(?!(?:dollar|euro|cent|percent|per cent)s?\b)[^\W\d_]", re.I
)
_SENTENCE_START = re.compile(r"(?:^|[.?!:]\s+)[\"'(]*$")

SUBTRACT = frozenset({"Sub"})
MULTIPLY = frozenset({"Mult", "Add", "sum"})


@dataclass(frozen=True)
class Question:
    """A query, read.

    Attributes:
        tokens: Stems of all its words, in order.
        words: Stems of its content words.
        numbers: The numbers in it.
        quantities: Those of them that count things: they stand before a word that is no unit of
            money.
        names: Stems of the names in it: capitalised inside a sentence, dates left out.
        asks_amount: Whether the answer is a number.
        asks_price: Whether the answer is, or needs, a price.
        operations: The operations of which the answer needs one; empty if the words imply none.
    """

    tokens: tuple[str, ...]
    words: frozenset[str]
    numbers: frozenset[float]
    quantities: frozenset[float]
    names: frozenset[str]
    asks_amount: bool
    asks_price: bool
    operations: frozenset[str]


@lru_cache(maxsize=4096)
def read_question(query: str) -> Question:
    """Reads a query."""
    numbers = frozenset(numbers_in(query))
    asks_price = bool(_PRICE.search(query))
    return Question(
        tokens=stems(query),
        words=content(query),
        numbers=numbers,
        quantities=_quantities(query),
        names=_names(query),
        asks_amount=bool(_AMOUNT.search(query)),
        asks_price=asks_price,
        operations=_operations(query, asks_price and any(n > 1 for n in numbers)),
    )


@lru_cache(maxsize=65536)
def stem(word: str) -> str:
    """A word without its plural ending, in lower case."""
    word = word.lower()
    if len(word) > 4 and word.endswith("ies"):
        return word[:-3] + "y"
    if len(word) > 4 and word.endswith(("xes", "ches", "shes", "sses")):
        return word[:-2]
    if len(word) > 3 and word.endswith("s") and not word.endswith("ss"):
        return word[:-1]
    return word


_STOP_STEMS = frozenset(map(stem, _STOP)) | _STOP


def stems(text: str) -> tuple[str, ...]:
    """Stems of the words of a text, in order."""
    return tuple(stem(w) for w in _WORD.findall(text))


@lru_cache(maxsize=4096)
def content(text: str) -> frozenset[str]:
    """Stems of the words that name things: function words and words of asking left out."""
    return frozenset(s for s in stems(text) if len(s) > 1 and s not in _STOP_STEMS)


def is_function_word(stemmed: str) -> bool:
    """Whether a stem belongs to the wording of questions rather than to their subject."""
    return stemmed in _STOP_STEMS


def _names(query: str) -> frozenset[str]:
    found = set()
    for match in _WORD.finditer(query):
        word = match[0]
        starts = _SENTENCE_START.search(query[: match.start()])
        if word[0].isupper() and len(word) > 1 and not starts and word.lower() not in _DATES:
            found.add(stem(word))
    return frozenset(found)


def _quantities(query: str) -> frozenset[float]:
    return frozenset(float(n) for n in _QUANTITY.findall(query))


def _operations(query: str, times: bool) -> frozenset[str]:
    if _COMPARES.search(query):
        return SUBTRACT
    if times or _TIMES.search(query) or _ADDS.search(query):
        return MULTIPLY
    return frozenset()
