"""``objectlocation``: finds coloured shapes by classical means (OpenCV), without learnt weights."""

from __future__ import annotations

from dataclasses import dataclass

from sport.pocket.grammar import COLOURS, SHAPES

_ANY = frozenset({"object", "shape", "thing", "item"})
_FILLERS = frozenset({"a", "all", "an", "any", "each", "every", "the"})


@dataclass(frozen=True)
class Wanted:
    """What to find; ``None`` stands for any colour or any shape."""

    colour: str | None
    shape: str | None

    def fits(self, colour: str, shape: str) -> bool:
        """Whether an object is wanted."""
        return self.colour in (None, colour) and self.shape in (None, shape)


def parse_object(name: str) -> Wanted | None:
    """Reads ``"red star"``, ``"stars"`` or ``"blue objects"``; ``None`` if it is none of them."""
    words = [w for w in name.lower().split() if w not in _FILLERS]
    if not 1 <= len(words) <= 2:
        return None
    noun = _singular(words[-1])
    if noun is None:
        return None
    colour = words[0] if len(words) == 2 else None
    if colour is not None and colour not in COLOURS:
        return None
    return Wanted(colour, None if noun in _ANY else noun)


def _singular(word: str) -> str | None:
    known = (*SHAPES, *_ANY)
    return next(
        (w for w in (word, word.removesuffix("s"), word.removesuffix("es")) if w in known), None
    )
