"""Things that a caption names, by rules about English word order alone.

A thing begins behind ``a``, ``an``, ``the``, a number or a word such as ``several``, and ends
before the next preposition, conjunction, auxiliary, comma or verb form; its last word is its head.
Heads that name no thing (``view``, ``red``, ``left``) are left out, and so is what is ``without``.
The rules would rather miss a thing than name a wrong one: what stands behind no such word is not
found.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

_SINGULAR = frozenset({"a", "an", "one", "another"})
_PLURAL = frozenset(
    "two three four five six seven eight nine ten several many some few various".split()
)
_STOPS = frozenset(
    """a about above across after against alone along amid among an and are around as asleep
    at awake away be because been before behind being below beneath beside between beyond both
    but by can close down during each every facing for from full has have having he her his
    how in inside into is it its just like made near next not of off on onto or other our out
    outside over past per she so such than that the their them there these they this those
    through to toward towards under underneath up upon was were what when where which while
    who whose will with within without you your""".split()
)
_NO_THINGS = frozenset(
    """angle area back background beginning big bit black blue blurry bottom bright brown
    bunch camera center centre close close-up closeup collection color colour corner couple
    dark day different direction distance edge end few foreground front gold golden gray green
    grey group half huge image kind large left light little long lot low lower main middle
    moment multiple night number old open orange other pair part photo photograph picture
    piece pink place point purple red rest right round row same scene sense series set setting
    short shot side silver small sort space state style tall thing things time top touch type
    upper variety view viewer way wet white wooden word words yellow young""".split()
)
_ING = frozenset(
    """awning bedding building ceiling clearing clothing crossing drawing dumpling earring
    evening fencing icing king landing lightning morning painting pudding railing ring sibling
    spring string swing topping wedding wing""".split()
)
UNMENTIONED = frozenset(
    """arm building cloth cloud colour door eye face floor foot grass ground hair hand head leaf leg
    light man paper person roof road shadow shirt sign sky street table tree wall water window
    woman""".split()
)
"""Heads of things that many pictures show and captions leave out."""

_MANY = {"children": "child", "feet": "foot", "geese": "goose", "men": "man", "mice": "mouse"}
_MANY |= {"people": "person", "teeth": "tooth", "women": "woman"}
_LONGEST = 3
_TOKEN = re.compile(r"[A-Za-z]+(?:['-][A-Za-z]+)*|[^\sA-Za-z]")


@dataclass(frozen=True)
class Thing:
    """A thing that a caption names.

    Attributes:
        head: The stem of its last word, by which things are compared.
        shown: How a question names it, such as ``a tabby cat``.
        brief: The same without what is said of it: ``a cat``; empty behind ``the``.
        plural: Whether there are several of it.
    """

    head: str
    shown: str
    brief: str
    plural: bool


def things(caption: str) -> list[Thing]:
    """The things that a caption names, in their order, each head once."""
    tokens = _TOKEN.findall(caption)
    found: dict[str, Thing] = {}
    for position, token in enumerate(tokens):
        before = token.lower()
        lacking = position and tokens[position - 1].lower() in ("no", "not", "without")
        if before in _SINGULAR | _PLURAL | {"the"} and not lacking:
            thing = _thing(before, list(_run(tokens[position + 1 :], before)))
            if thing is not None:
                found.setdefault(thing.head, thing)
    return list(found.values())


def stems(text: str) -> frozenset[str]:
    """The stems of all words of a text."""
    return frozenset(stem(token) for token in _TOKEN.findall(text) if token[0].isalpha())


def stem(word: str) -> str:
    """A word without the endings of the plural and of the possessive."""
    word = word.lower().removesuffix("'s")
    if word in _MANY:
        return _MANY[word]
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if re.search(r"(?:s|x|z|ch|sh)es$", word):
        return word[:-2]
    return word[:-1] if _is_plural(word) else word


def _is_plural(word: str) -> bool:
    ends = word.endswith("s") and not word.endswith(("ss", "us", "is"))
    return (len(word) > 3 and ends) or word in _MANY


def _run(tokens: Sequence[str], before: str) -> Iterator[str]:
    """The words of the thing that begins with the first of these."""
    for number, token in enumerate(tokens[:_LONGEST]):
        word = token.lower()
        if not word[0].isalpha() or word in _STOPS:
            return
        if number and word.endswith(("ing", "ed", "ly")) and word not in _ING:
            return  # What it does, or what is done with it.
        if number and before not in _PLURAL and _is_plural(word):
            return  # The verb of a single thing.
        yield token
        if before not in _SINGULAR and _is_plural(word):
            return  # What comes behind several things is a verb.


def _thing(before: str, words: Sequence[str]) -> Thing | None:
    if not words:
        return None
    last = words[-1]
    plural = before in _PLURAL or (before == "the" and _is_plural(last.lower()))
    if before in _PLURAL and not _is_plural(last.lower()):
        return None
    if last.lower() in _NO_THINGS or len(last) < 3 or last.lower().endswith(("ed", "ly")):
        return None
    if before == "the":
        return Thing(stem(last), f"the {' '.join(words)}", "", plural)
    if plural:
        return Thing(stem(last), " ".join(words), last, True)
    return Thing(stem(last), _with_article(" ".join(words)), _with_article(last), False)


def _with_article(words: str) -> str:
    return f"{'an' if words[0].lower() in 'aeiou' else 'a'} {words}"
