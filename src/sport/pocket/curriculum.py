"""What the warm start learns from: encoded demonstrations, and a copying curriculum.

Copying a name or a quantity from a query into code is what everything else hangs on, and
imitation alone teaches it late; so short text-only rows that need nothing else are mixed in from
the start. Their names are random pairs of words and of made-up words, so that what is learnt is to
copy, not the names; prices stand between some of the quantities and their copies.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sport.pocket.grammar import (
    ADJECTIVES,
    COLOURS,
    NOUNS,
    SHAPES,
    SHOP_FIRST,
    SHOP_SECOND,
    make_problem,
    number_after,
)
from sport.pocket.render import render
from sport.pocket.teacher import Demonstration, demonstrate
from sport.pocket.tokenizer import ASSISTANT, END_OF_TURN, IMAGE, USER

IGNORED = -100

_COSTING = 0.5
"""Share of the copying rows that copy a quantity: one token among many, it is learnt last."""


@dataclass(frozen=True)
class Row:
    """One training sequence: token ids, labels (``IGNORED`` where nothing is learnt), picture."""

    ids: NDArray[np.int32]
    labels: NDArray[np.int32]
    picture: int


class RowBuilder:
    """Encodes chats as the chat template and the processor do (a test compares them)."""

    def __init__(self, processor: Any) -> None:
        self._tokenizer = processor.tokenizer
        side = processor.image_processor.size["height"]
        self._image = IMAGE * (side // processor.patch_size) ** 2

    def demonstration(self, query: str, demo: Demonstration, picture: int) -> Row:
        """A demonstrated trajectory over picture number ``picture``; actions are learnt."""
        parts = [(f"{USER}{self._image}Files: image_0.png\n{query}{END_OF_TURN}", False)]
        for i, action in enumerate(demo.actions):
            parts += [(ASSISTANT, False), (action, True), (END_OF_TURN, False)]
            if i < len(demo.observations):
                observation = f"{USER}Observation:\n{demo.observations[i]}{END_OF_TURN}"
                parts.append((observation, False))
        return self._row(parts, picture)

    def copying(self, rng: random.Random) -> Row:
        """A short text-only row whose code copies names from the query."""
        query, code = _copying(rng)
        action = f"Thought: I can compute the answer.\nCode:\n```py\n{code}\n```<end_action>"
        return self._row([(f"{USER}{query}{END_OF_TURN}{ASSISTANT}", False), (action, True)], -1)

    def _row(self, parts: list[tuple[str, bool]], picture: int) -> Row:
        ids: list[int] = []
        labels: list[int] = []
        for text, learnt in parts:
            tokens = self._tokenizer(text, add_special_tokens=False).input_ids
            ids += tokens
            labels += tokens if learnt else [IGNORED] * len(tokens)
        return Row(np.array(ids, np.int32), np.array(labels, np.int32), picture)


def _made_up(rng: random.Random) -> str:
    return "".join(rng.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(rng.randint(2, 5)))


def _word(rng: random.Random) -> str:
    group = rng.choice((ADJECTIVES, NOUNS, COLOURS, SHAPES, SHOP_FIRST, SHOP_SECOND))
    return _made_up(rng) if rng.random() < 0.15 else rng.choice(group)


def _name(rng: random.Random) -> str:
    return " ".join(_word(rng) for _ in range(rng.choice((1, 2, 2))))


def _costing(rng: random.Random) -> tuple[str, str]:
    """A quantity is to be copied, which single digits of prices may be taken for."""
    x, quantity = _name(rng), rng.randint(2, 9)
    prices = [f"{_name(rng)} {rng.randint(105, 995) / 100:.2f}" for _ in range(rng.randint(0, 3))]
    return (
        "\n".join([f"How much do {quantity} {x} cost?", *prices]),
        f"import re\nprice = {number_after(x, 'text')}\nfinal_answer(round({quantity} * price, 2))",
    )


def _copying(rng: random.Random) -> tuple[str, str]:
    if rng.random() < _COSTING:
        return _costing(rng)
    x, y = _name(rng), _name(rng)
    first, second = number_after(x, "text"), number_after(y, "text")
    forms = (
        (
            f"How much more does {x} cost than {y}?",
            f"import re\na = {first}\nb = {second}\nfinal_answer(round(a - b, 2))",
        ),
        (
            f"How many {x} are in the picture?",
            f'boxes = objectlocation(object="{x}", image_path="image_0.png")\nprint(len(boxes))',
        ),
        (
            f"What do all the {x} cost at {y}?",
            f'page = ask_search_agent(query="price of {x} at {y}")\nprint(page)',
        ),
    )
    return rng.choice(forms)


@dataclass(frozen=True)
class Lessons:
    """All that the warm start is trained on.

    Attributes:
        rows: Encoded demonstrations.
        pictures: ``(n, side, side, 3)`` bytes, scaled as the processor scales them.
        faulty: Share of spoilt actions.
        right: Share of demonstrations that end with the right answer.
    """

    rows: list[Row]
    pictures: NDArray[np.uint8]
    faulty: float
    right: float


def make_lessons(
    builder: RowBuilder, processor: Any, n: int, per_picture: int, first: int, clean: bool = False
) -> Lessons:
    """Demonstrates ``n`` problems of the training split, ``per_picture`` times each.

    ``first`` is the seed of the first problem: the loop's own tasks must lie elsewhere.
    """
    side = processor.image_processor.size["height"]
    pictures = np.empty((n, side, side, 3), np.uint8)
    rows: list[Row] = []
    faults = actions = right = 0
    for i in range(n):
        problem = make_problem("train", first + i)
        picture = render(problem).convert("RGB")
        pictures[i] = np.asarray(picture.resize((side, side), resample=3))
        for k in range(per_picture):
            demo = demonstrate(problem, random.Random(f"{first + i}/{k}"), clean)
            rows.append(builder.demonstration(problem.query, demo, i))
            faults, actions = faults + demo.faults, actions + len(demo.actions)
            right += isinstance(demo.answer, int | float) and (
                abs(demo.answer - problem.answer) < 0.01
            )
    return Lessons(rows, pictures, faults / max(1, actions), right / max(1, len(rows)))
