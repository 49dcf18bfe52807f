"""Draws scenes: coloured objects that do not touch, on a light ground."""

from __future__ import annotations

import colorsys
import math
import random
from collections.abc import Callable

from PIL import Image, ImageDraw

from sport.pocket.grammar import Scene, Thing

HUES = {"red": 0.0, "orange": 30.0, "green": 125.0, "blue": 218.0, "purple": 285.0}
"""Hue of each colour, in degrees; black has none."""

_OVERSAMPLED = 4

Point = tuple[float, float]


def draw_scene(scene: Scene, size: tuple[int, int], rng: random.Random) -> Image.Image:
    """Draws a scene of at most 20 objects; each stands in a cell of its own."""
    image = Image.new("RGB", size, _ground(rng))
    if rng.random() < 0.5:
        _shade(image, _ground(rng))
    columns, rows = (4, 3) if len(scene.things) <= 10 else (5, 4)
    width, height = size[0] / columns, size[1] / rows
    cells = rng.sample(range(columns * rows), len(scene.things))
    for thing, cell in zip(scene.things, cells, strict=True):
        radius = min(width, height) / 2 * rng.uniform(0.6, 0.9)
        x = (cell % columns + 0.5) * width + rng.uniform(-1, 1) * (width / 2 - radius - 1)
        y = (cell // columns + 0.5) * height + rng.uniform(-1, 1) * (height / 2 - radius - 1)
        _draw_thing(image, thing, (x, y), radius, rng)
    return image


def _ground(rng: random.Random) -> tuple[int, int, int]:
    """A light colour with little saturation, which no object has."""
    base = rng.randint(215, 240)
    red, green, blue = (base + rng.randint(-8, 8) for _ in range(3))
    return red, green, blue


def _shade(image: Image.Image, colour: tuple[int, int, int]) -> None:
    ramp = Image.linear_gradient("L").resize(image.size)
    image.paste(Image.new("RGB", image.size, colour), (0, 0), ramp)


def _draw_thing(
    image: Image.Image, thing: Thing, centre: Point, radius: float, rng: random.Random
) -> None:
    turn = math.radians(rng.uniform(-8, 8))
    side = math.ceil(2 * radius) + 4
    big = side * _OVERSAMPLED
    scale = radius * _OVERSAMPLED
    cosine, sine = math.cos(turn) * scale, math.sin(turn) * scale
    mask = Image.new("L", (big, big))
    outline = [
        (big / 2 + x * cosine - y * sine, big / 2 + x * sine + y * cosine)
        for x, y in _OUTLINES[thing.shape]()
    ]
    ImageDraw.Draw(mask).polygon(outline, fill=255)
    mask = mask.resize((side, side), Image.Resampling.BOX)
    image.paste(
        _paint(thing.colour, rng), (round(centre[0] - side / 2), round(centre[1] - side / 2)), mask
    )


def _paint(colour: str, rng: random.Random) -> tuple[int, int, int]:
    """A shade of a colour."""
    if colour == "black":
        grey = rng.randint(15, 45)
        return grey, grey, grey
    hue = HUES[colour] + rng.uniform(-6, 6)
    bright = (0.9, 1.0) if colour == "orange" else (0.55, 0.8)
    rgb = colorsys.hsv_to_rgb(hue % 360 / 360, rng.uniform(0.75, 0.95), rng.uniform(*bright))
    red, green, blue = (round(255 * c) for c in rgb)
    return red, green, blue


# Outlines, inside the unit circle, y downwards.


def _circle() -> list[Point]:
    return _arc((0, 0), 0.95, 0, 360)


def _arc(centre: Point, radius: float, start: float, end: float) -> list[Point]:
    steps = 48
    angles = (math.radians(start + (end - start) * i / steps) for i in range(steps + 1))
    return [(centre[0] + radius * math.cos(a), centre[1] + radius * math.sin(a)) for a in angles]


def _square() -> list[Point]:
    return [(-0.75, -0.75), (0.75, -0.75), (0.75, 0.75), (-0.75, 0.75)]


def _triangle() -> list[Point]:
    return [(0, -0.95), (0.9, 0.7), (-0.9, 0.7)]


def _star() -> list[Point]:
    angles = [math.radians(-90 + 36 * i) for i in range(10)]
    radii = [1.0 if i % 2 == 0 else 0.4 for i in range(10)]
    return [(r * math.cos(a), r * math.sin(a)) for r, a in zip(radii, angles, strict=True)]


def _cross() -> list[Point]:
    a, b = 0.28, 0.92
    corners = [(-a, -b), (a, -b), (a, -a), (b, -a), (b, a), (a, a)]
    return corners + [(-x, -y) for x, y in corners]


def _heart() -> list[Point]:
    angles = [math.radians(6 * i) for i in range(60)]
    return [
        (
            16 * math.sin(a) ** 3 / 17.5,
            -(13 * math.cos(a) - 5 * math.cos(2 * a) - 2 * math.cos(3 * a) - math.cos(4 * a) + 2.5)
            / 17.5,
        )
        for a in angles
    ]


def _diamond() -> list[Point]:
    return [(0, -0.97), (0.66, 0), (0, 0.97), (-0.66, 0)]


def _moon() -> list[Point]:
    """A crescent: the outer circle from horn to horn, and back along an inner one."""
    outer = _arc((0.1, 0), 0.9, 50, 310)
    horn_x, horn_y = outer[-1]
    inner_x = 0.55
    radius = math.hypot(horn_x - inner_x, horn_y)
    angle = math.degrees(math.atan2(horn_y, horn_x - inner_x)) % 360
    return outer + _arc((inner_x, 0), radius, angle, 360 - angle)


_OUTLINES: dict[str, Callable[[], list[Point]]] = {
    "circle": _circle,
    "square": _square,
    "triangle": _triangle,
    "star": _star,
    "cross": _cross,
    "heart": _heart,
    "diamond": _diamond,
    "moon": _moon,
}
