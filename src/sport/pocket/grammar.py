"""What the pocket world asks: problems with their pictures' content, answers and ideal moves.

A problem is drawn from a seed and a split. The three splits are disjoint by construction: each
owns a third of the two-word products and shops (``_owner`` of the pair of words), and a number
combination belongs to the split that its checksum names. The picture of a problem is drawn by
:mod:`sport.pocket.render`, the prices that only a search knows come from
:func:`sport.pocket.corpus.shop_price`.
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Split = Literal["train", "dev", "test"]
SPLITS: tuple[Split, ...] = ("train", "dev", "test")

SHAPES = ("circle", "square", "triangle", "star", "cross", "heart", "diamond", "moon")
COLOURS = ("red", "blue", "green", "orange", "purple", "black")
ADJECTIVES = (
    "brown", "fresh", "dark", "sweet", "sour", "white",
    "cold", "dried", "salted", "smoked", "spicy", "ripe",
)  # fmt: skip
NOUNS = (
    "rice", "tea", "bread", "milk", "juice", "soap", "corn", "cheese", "nuts", "fish",
    "jam", "oil", "beans", "honey", "pasta", "sugar", "flour", "grapes", "plums", "pears",
)  # fmt: skip
SHOP_FIRST = (
    "Blue", "Red", "Old", "New", "Grand", "Little", "North", "South", "Royal", "Silver",
)  # fmt: skip
SHOP_SECOND = ("Fox", "Bear", "Owl", "Wolf", "Hare", "Crow", "Deer", "Lion", "Swan", "Toad")
MONTHS = ("May", "June", "July", "March", "April", "August")
TITLES = ("Corner Market", "Daily Goods", "Fair Trade Hall", "Market Street", "Green Basket")

LARGEST_COUNT = 7
"""Largest number of equal objects in a scene."""


@dataclass(frozen=True)
class Sheet:
    """A picture of text: what stands on it, row by row, from top to bottom.

    ``title`` may be empty. The first cell of a row is a name, the others are numbers.
    """

    layout: Literal["receipt", "board", "note", "table", "chart"]
    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    @property
    def lines(self) -> tuple[str, ...]:
        """What a perfect reader reads, line by line."""
        head = ([self.title] if self.title else []) + (
            [" ".join(self.header)] if self.header else []
        )
        return (*head, *(" ".join(row) for row in self.rows))


@dataclass(frozen=True)
class Thing:
    """One object of a scene."""

    colour: str
    shape: str


@dataclass(frozen=True)
class Scene:
    """A picture of coloured objects; where they stand is the renderer's choice."""

    things: tuple[Thing, ...]

    def count(self, shape: str, colour: str | None = None) -> int:
        """How many objects there are of a shape (and colour)."""
        return sum(t.shape == shape and colour in (None, t.colour) for t in self.things)


@dataclass(frozen=True)
class Move:
    """An ideal step: the tool that it calls (``""`` for the final one), its thought and code."""

    tool: str
    thought: str
    code: str


@dataclass(frozen=True)
class Problem:
    """A query about a picture, with its answer and the ideal way to it.

    Attributes:
        kind: Family of the problem.
        query: What is asked.
        picture: What the picture shows.
        answer: The right number.
        moves: The ideal steps, in order; the last one answers.
        numbers: The numbers that enter the answer.
        words: The products and shops that it names.
        seed: Seed of the picture's style.
    """

    kind: str
    query: str
    picture: Sheet | Scene
    answer: float
    moves: tuple[Move, ...]
    numbers: tuple[float, ...]
    words: tuple[str, ...]
    seed: int

    @property
    def tools(self) -> tuple[str, ...]:
        """The gold chain of tools."""
        return tuple(m.tool for m in self.moves if m.tool)


def _owner(first: int, second: int) -> Split:
    return ("train", "train", "train", "dev", "test")[(first + 2 * second) % 5]


def products(split: Split) -> list[str]:
    """The two-word products that a split owns; every word occurs in every split."""
    return [
        f"{a} {n}"
        for i, a in enumerate(ADJECTIVES)
        for j, n in enumerate(NOUNS)
        if _owner(i, j) == split
    ]


def shops(split: Split) -> list[str]:
    """The shops that a split owns."""
    return [
        f"{a} {n}"
        for i, a in enumerate(SHOP_FIRST)
        for j, n in enumerate(SHOP_SECOND)
        if _owner(i, j) == split
    ]


def numbers_split(*numbers: float) -> Split:
    """The split that owns a combination of numbers."""
    checksum = zlib.crc32(",".join(f"{x:.2f}" for x in numbers).encode())
    return ("train", "train", "train", "dev", "test")[checksum % 5]


def make_problem(split: Split, seed: int) -> Problem:
    """Draws a problem; the same split and seed give the same one."""
    rng = random.Random(f"{split}/{seed}")
    return rng.choice(_KINDS)(split, rng)


# The moves. Values stay in variables and come out of observations by code, as good agents do.

_READ = Move(
    "ocr",
    "I will read the text in the picture.",
    'text = ocr(image_path="image_0.png")\nprint(text)',
)


def _locate(what: str, name: str = "boxes") -> Move:
    return Move(
        "objectlocation",
        f"I will find each {what} in the picture.",
        f'{name} = objectlocation(object="{what}", image_path="image_0.png")\nprint(len({name}))',
    )


def _search(what: str, shop: str) -> Move:
    return Move(
        "ask_search_agent",
        f"I will search the price of {what} at {shop}.",
        f'page = ask_search_agent(query="price of {what} at {shop}")\nprint(page)',
    )


def number_after(name: str, source: str) -> str:
    """Code that takes the first number after a name out of an observed text."""
    return f'float(re.search(r"{name}\\D*([\\d.]+)", {source})[1])'


def _answer(code: str) -> Move:
    needs = "import re\n" if "re.search" in code else ""
    return Move("", "I can compute the answer.", needs + code)


# The kinds.


def _price(rng: random.Random) -> float:
    return rng.randint(105, 995) / 100


def _price_sheet(
    split: Split, rng: random.Random, rows: int, owns: Callable[[list[float]], tuple[float, ...]]
) -> tuple[Sheet, list[str], list[float]]:
    names = rng.sample(products(split), rows)
    while True:
        prices = [_price(rng) for _ in names]
        if len(set(prices)) == rows and numbers_split(*owns(prices)) == split:
            break
    sheet = Sheet(
        rng.choice(("receipt", "board")),
        rng.choice(("", *TITLES)),
        (),
        tuple((n, f"{p:.2f}") for n, p in zip(names, prices, strict=True)),
    )
    return sheet, names, prices


def _cost(split: Split, rng: random.Random) -> Problem:
    quantity, pick = rng.randint(2, 9), rng.randrange(3)
    sheet, names, prices = _price_sheet(
        split, rng, rng.randint(3, 5), lambda p: (quantity, p[pick])
    )
    name = names[pick]
    code = f"price = {number_after(name, 'text')}\nfinal_answer(round({quantity} * price, 2))"
    return Problem(
        "cost",
        f"How much do {quantity} {name} cost?",
        sheet,
        round(quantity * prices[pick], 2),
        (_READ, _answer(code)),
        (quantity, prices[pick]),
        (name,),
        rng.getrandbits(32),
    )


def _difference(split: Split, rng: random.Random) -> Problem:
    sheet, names, prices = _price_sheet(
        split, rng, rng.randint(3, 5), lambda p: (max(p[:2]), min(p[:2]))
    )
    (high, dear), (low, cheap) = sorted(
        zip(prices[:2], names[:2], strict=True), key=lambda x: -x[0]
    )
    order = list(sheet.rows)
    rng.shuffle(order)
    sheet = Sheet(sheet.layout, sheet.title, (), tuple(order))
    code = (
        f"a = {number_after(dear, 'text')}\nb = {number_after(cheap, 'text')}\n"
        "final_answer(round(a - b, 2))"
    )
    return Problem(
        "difference",
        f"How much more does {dear} cost than {cheap}?",
        sheet,
        round(high - low, 2),
        (_READ, _answer(code)),
        (high, low),
        (dear, cheap),
        rng.getrandbits(32),
    )


def _chart(split: Split, rng: random.Random) -> Problem:
    names = rng.sample(NOUNS, rng.randint(3, 5))
    while True:
        values = [rng.randint(10, 99) for _ in names]
        high, low = max(values[:2]), min(values[:2])
        if high != low and numbers_split(high, low) == split:
            break
    larger, smaller = (names[0], names[1]) if values[0] == high else (names[1], names[0])
    rows = [(n, str(v)) for n, v in zip(names, values, strict=True)]
    rng.shuffle(rows)
    code = (
        f"a = {number_after(larger, 'text')}\nb = {number_after(smaller, 'text')}\n"
        "final_answer(round(a - b, 2))"
    )
    return Problem(
        "chart",
        f"How much larger is {larger} than {smaller} in the chart?",
        Sheet("chart", rng.choice(("", "Sales", "Stock", "Orders")), (), tuple(rows)),
        float(high - low),
        (_READ, _answer(code)),
        (high, low),
        (larger, smaller),
        rng.getrandbits(32),
    )


def _table(split: Split, rng: random.Random) -> Problem:
    names, months = rng.sample(products(split), rng.randint(3, 4)), rng.sample(MONTHS, 2)
    pick = rng.randrange(len(names))
    while True:
        cells = [(rng.randint(10, 99), rng.randint(10, 99)) for _ in names]
        if numbers_split(*cells[pick]) == split:
            break
    name = names[pick]
    code = (
        f'row = re.search(r"{name}\\D*(\\d+)\\D+(\\d+)", text)\n'
        "final_answer(int(row[1]) + int(row[2]))"
    )
    return Problem(
        "table",
        f"How many {name} were sold in {months[0]} and {months[1]}?",
        Sheet(
            "table",
            "",
            tuple(months),
            tuple((n, str(a), str(b)) for n, (a, b) in zip(names, cells, strict=True)),
        ),
        float(sum(cells[pick])),
        (_READ, _answer(code)),
        cells[pick],
        (name,),
        rng.getrandbits(32),
    )


def _things(rng: random.Random, wanted: list[Thing], avoid: Callable[[Thing], bool]) -> Scene:
    things = list(wanted)
    for _ in range(rng.randint(1, 4)):
        other = Thing(rng.choice(COLOURS), rng.choice(SHAPES))
        if not avoid(other):
            things.append(other)
    rng.shuffle(things)
    return Scene(tuple(things))


def _count(split: Split, rng: random.Random) -> Problem:
    shape, colour, n = rng.choice(SHAPES), rng.choice(COLOURS), rng.randint(1, LARGEST_COUNT)
    scene = _things(
        rng, [Thing(colour, shape)] * n, lambda t: t.shape == shape and t.colour == colour
    )
    return Problem(
        "count",
        f"How many {colour} {shape} are in the picture?",
        scene,
        float(n),
        (_locate(f"{colour} {shape}"), _answer("final_answer(len(boxes))")),
        (n,),
        (),
        rng.getrandbits(32),
    )


def _colours(split: Split, rng: random.Random) -> Problem:
    shape = rng.choice(SHAPES)
    many, few = rng.sample(COLOURS, 2)
    low = rng.randint(1, 4)
    high = low + rng.randint(1, 3)
    scene = _things(
        rng,
        [Thing(many, shape)] * high + [Thing(few, shape)] * low,
        lambda t: t.shape == shape and t.colour in (many, few),
    )
    return Problem(
        "colours",
        f"How many more {many} {shape} than {few} {shape} are there?",
        scene,
        float(high - low),
        (
            _locate(f"{many} {shape}", "first"),
            _locate(f"{few} {shape}", "second"),
            _answer("final_answer(len(first) - len(second))"),
        ),
        (high, low),
        (),
        rng.getrandbits(32),
    )


def _shape_scene(rng: random.Random, shape: str, n: int) -> Scene:
    wanted = [Thing(rng.choice(COLOURS), shape) for _ in range(n)]
    return _things(rng, wanted, lambda t: t.shape == shape)


def _note(rng: random.Random, shape: str, n: int) -> Sheet:
    others = rng.sample([s for s in SHAPES if s != shape], rng.randint(1, 3))
    rows = [(shape, str(n)), *((s, str(rng.randint(1, 9))) for s in others)]
    rng.shuffle(rows)
    return Sheet("note", rng.choice(("", "Stock", "In the box")), (), tuple(rows))


def _stock(split: Split, rng: random.Random) -> Problem:
    """The picture decides the tool: the same words over a scene and over a written note."""
    shape, n = rng.choice(SHAPES), rng.randint(1, LARGEST_COUNT)
    query = f"How many {shape} are there?"
    if rng.random() < 0.5:
        picture: Sheet | Scene = _shape_scene(rng, shape, n)
        moves = (_locate(shape), _answer("final_answer(len(boxes))"))
    else:
        picture = _note(rng, shape, n)
        moves = (
            _READ,
            _answer(f"count = {number_after(shape, 'text')}\nfinal_answer(round(count, 2))"),
        )
    return Problem("stock", query, picture, float(n), moves, (n,), (), rng.getrandbits(32))


def _total(split: Split, rng: random.Random) -> Problem:
    """Three steps, the first one decided by the picture."""
    from sport.pocket.corpus import shop_price

    while True:
        shop, shape = rng.choice(shops(split)), rng.choice(SHAPES)
        n, price = rng.randint(2, LARGEST_COUNT), shop_price(shop, shape)
        if numbers_split(n, price) == split:
            break
    query = f"What do all the {shape} cost at {shop}?"
    take = f"price = {number_after(shape, 'page')}\n"
    if rng.random() < 0.5:
        picture: Sheet | Scene = _shape_scene(rng, shape, n)
        first = _locate(shape)
        last = _answer(f"{take}final_answer(round(len(boxes) * price, 2))")
    else:
        picture, first = _note(rng, shape, n), _READ
        last = _answer(
            f"count = {number_after(shape, 'text')}\n{take}final_answer(round(count * price, 2))"
        )
    return Problem(
        "total",
        query,
        picture,
        round(n * price, 2),
        (first, _search(shape, shop), last),
        (n, price),
        (shop,),
        rng.getrandbits(32),
    )


def _cheaper(split: Split, rng: random.Random) -> Problem:
    from sport.pocket.corpus import shop_price, shop_products

    while True:
        shop = rng.choice(shops(split))
        name = rng.choice(shop_products(shop, split))
        there = shop_price(shop, name)
        here = round(there + rng.randint(10, 400) / 100, 2)
        if here <= 9.95 and numbers_split(here, there) == split:
            break
    others = rng.sample([p for p in products(split) if p != name], rng.randint(2, 3))
    rows = [(name, f"{here:.2f}"), *((o, f"{_price(rng):.2f}") for o in others)]
    rng.shuffle(rows)
    code = (
        f"a = {number_after(name, 'text')}\nb = {number_after(name, 'page')}\n"
        "final_answer(round(a - b, 2))"
    )
    return Problem(
        "cheaper",
        f"How much cheaper is {name} at {shop}?",
        Sheet(rng.choice(("receipt", "board")), rng.choice(("", *TITLES)), (), tuple(rows)),
        round(here - there, 2),
        (_READ, _search(name, shop), _answer(code)),
        (here, there),
        (name, shop),
        rng.getrandbits(32),
    )


_KINDS = (_cost, _difference, _chart, _table, _count, _colours, _stock, _total, _cheaper)
KINDS = tuple(k.__name__.removeprefix("_") for k in _KINDS)
"""Names of the kinds."""
