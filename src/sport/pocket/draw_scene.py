"""Draws scenes: coloured objects that do not touch, on a light ground."""

from __future__ import annotations

import colorsys
import math
import random
from collections.abc import Callable
from dataclasses import dataclass

from PIL import Image, ImageDraw

from sport.pocket.grammar import Scene, Thing

HUES = {"red": 0.0, "orange": 30.0, "green": 125.0, "blue": 218.0, "purple": 285.0}
"""Hue of each colour, in degrees; black has none."""

_OVERSAMPLED = 4

Point = tuple[float, float]
Colour = tuple[int, int, int]


@dataclass(frozen=True)
class Place:
    """Where an object stands: its centre and radius in pixels, its turn in radians."""

    thing: Thing
    x: float
    y: float
    radius: float
    turn: float

    @property
    def outline(self) -> list[Point]:
        """The corners of its outline, in pixels of the picture."""
        cosine, sine = math.cos(self.turn) * self.radius, math.sin(self.turn) * self.radius
        return [
            (self.x + u * cosine - v * sine, self.y + u * sine + v * cosine)
            for u, v in outline(self.thing.shape)
        ]

    @property
    def box(self) -> list[int]:
        """The box ``[x1, y1, x2, y2]`` around it, in pixels."""
        xs, ys = zip(*self.outline, strict=True)
        return [math.floor(min(xs)), math.floor(min(ys)), math.ceil(max(xs)), math.ceil(max(ys))]


def place_things(scene: Scene, size: tuple[int, int], rng: random.Random) -> list[Place]:
    """Places a scene's objects, at most 20: each stands in a cell of its own."""
    columns, rows = (4, 3) if len(scene.things) <= 10 else (5, 4)
    width, height = size[0] / columns, size[1] / rows
    cells = rng.sample(range(columns * rows), len(scene.things))
    places = []
    for thing, cell in zip(scene.things, cells, strict=True):
        radius = min(width, height) / 2 * rng.uniform(0.65, 0.88)
        x = (cell % columns + 0.5) * width + rng.uniform(-1, 1) * (width / 2 - radius - 2)
        y = (cell // columns + 0.5) * height + rng.uniform(-1, 1) * (height / 2 - radius - 2)
        places.append(Place(thing, x, y, radius, math.radians(rng.uniform(-8, 8))))
    return places


def draw_scene(scene: Scene, size: tuple[int, int], rng: random.Random) -> Image.Image:
    """Draws a scene of at most 20 objects that do not touch, on a plain or shaded ground."""
    places = place_things(scene, size, rng)
    image = Image.new("RGB", size, _ground(rng))
    if rng.random() < 0.5:
        ramp = Image.linear_gradient("L").resize(size)
        image.paste(Image.new("RGB", size, _ground(rng)), (0, 0), ramp)
    for place in places:
        _draw(image, place, _paint(place.thing.colour, rng))
    return image


def _ground(rng: random.Random) -> Colour:
    """A light colour with little saturation, which no object has."""
    base = rng.randint(215, 240)
    red, green, blue = (base + rng.randint(-8, 8) for _ in range(3))
    return red, green, blue


def _draw(image: Image.Image, place: Place, colour: Colour) -> None:
    """Draws an object on its own patch, oversampled for smooth edges."""
    side = math.ceil(2 * place.radius) + 4
    left, top = math.floor(place.x - side / 2), math.floor(place.y - side / 2)
    mask = Image.new("L", (side * _OVERSAMPLED, side * _OVERSAMPLED))
    corners = [((x - left) * _OVERSAMPLED, (y - top) * _OVERSAMPLED) for x, y in place.outline]
    ImageDraw.Draw(mask).polygon(corners, fill=255)
    image.paste(colour, (left, top), mask.resize((side, side), Image.Resampling.BOX))


def _paint(colour: str, rng: random.Random) -> Colour:
    """A shade of a colour."""
    if colour == "black":
        grey = rng.randint(15, 45)
        return grey, grey, grey
    hue = HUES[colour] + rng.uniform(-6, 6)
    bright = (0.9, 1.0) if colour == "orange" else (0.55, 0.8)
    rgb = colorsys.hsv_to_rgb(hue % 360 / 360, rng.uniform(0.75, 0.95), rng.uniform(*bright))
    red, green, blue = (round(255 * c) for c in rgb)
    return red, green, blue


# Outlines, in the unit circle.


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


def outline(shape: str) -> list[Point]:
    """Corners of a shape that fills the unit circle, y downwards."""
    return _OUTLINES[shape]()
