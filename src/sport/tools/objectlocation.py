"""``objectlocation``: finds coloured shapes by classical means (OpenCV), without learnt weights.

Pixels are sorted into six colours, connected ones of a colour make a region, and a region is of
the shape whose template, turned by up to 16 degrees, it covers best. It knows the shapes of the
pocket world and nothing else: in sheets and photographs it mostly finds nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from sport.pocket.draw_scene import outline
from sport.pocket.grammar import COLOURS, SHAPES
from sport.tools.images import load_rgb

_HUES = {"red": 0, "orange": 30, "green": 125, "blue": 218, "purple": 285}
_LARGEST_SIDE = 640
"""Larger pictures are looked at smaller: it bounds the time, and shapes do not need more."""
_SMALLEST, _LARGEST = 150, 0.2
"""Bounds of an object's area: in pixels, and as a share of the picture."""
_GRID, _SCALE = 40, 12.0
"""Templates are of 40 by 40 pixels, with an area of 12 by 12."""
_COVER = 0.85
"""Least intersection over union of a region and its template."""

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


def objectlocation(object: str, image_path: Path) -> list[list[int]]:
    """Finds simple objects of one colour in a picture.

    Args:
        object: What to find, such as "red star", "stars" or "blue objects". Shapes: circle,
            square, triangle, star, cross, heart, diamond, moon. Colours: red, blue, green,
            orange, purple, black.
        image_path: The picture.

    Returns:
        One box [x1, y1, x2, y2] in pixels for each object found, from top to bottom; an empty
        list if there is none, or if it cannot look for such an object.
    """
    wanted = parse_object(object)
    if wanted is None:
        return []
    boxes = [
        b for colour, shape, b in find_objects(load_rgb(image_path)) if wanted.fits(colour, shape)
    ]
    return sorted(boxes, key=lambda box: (box[1], box[0]))


def find_objects(pixels: NDArray[np.uint8]) -> list[tuple[str, str, list[int]]]:
    """All objects in an RGB picture: colour, shape and box ``[x1, y1, x2, y2]``."""
    height, width = pixels.shape[:2]
    shrink = max(1.0, max(height, width) / _LARGEST_SIDE)
    if shrink > 1:
        size = (max(1, round(width / shrink)), max(1, round(height / shrink)))
        pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA).astype(np.uint8)
    found = []
    for colour, mask in _colour_masks(pixels).items():
        count, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=4)
        for i in range(1, count):
            x, y, w, h, area = (int(v) for v in stats[i])
            if not _SMALLEST <= area <= _LARGEST * mask.size:
                continue
            shape = _shape(labels[y : y + h, x : x + w] == i)
            if shape is not None:
                box = [round(v * shrink) for v in (x, y, x + w, y + h)]
                found.append((colour, shape, box))
    return found


def _colour_masks(pixels: NDArray[np.uint8]) -> dict[str, NDArray[np.uint8]]:
    """Which pixels are of which colour; those of the ground are of none."""
    smooth = cv2.GaussianBlur(pixels, (3, 3), 0)
    hue, saturation, value = cv2.split(cv2.cvtColor(smooth, cv2.COLOR_RGB2HSV_FULL))
    nearest = _nearest_hue()[hue]
    nearest[(saturation < 90) | (value < 70)] = 255
    masks = {colour: (nearest == k).astype(np.uint8) for k, colour in enumerate(_HUES)}
    return {**masks, "black": ((value < 110) & (nearest == 255)).astype(np.uint8)}


@lru_cache(maxsize=1)
def _nearest_hue() -> NDArray[np.uint8]:
    """The index of the nearest colour for each hue of OpenCV's full circle; 255 if none is near."""
    degrees = np.arange(256)[:, None] * 360 / 256
    away = np.abs((degrees - np.array(list(_HUES.values())) + 180) % 360 - 180)
    nearest: NDArray[np.uint8] = away.argmin(axis=1).astype(np.uint8)
    return np.where(away.min(axis=1) > 35, np.uint8(255), nearest)


def _shape(region: NDArray[np.bool_]) -> str | None:
    """The shape of a region, ``None`` if it resembles none."""
    moments = cv2.moments(region.astype(np.uint8), binaryImage=True)
    area = moments["m00"]
    x, y = moments["m10"] / area, moments["m01"] / area
    scale = _SCALE / math.sqrt(area)
    move = np.array([[scale, 0, _GRID / 2 - scale * x], [0, scale, _GRID / 2 - scale * y]])
    sample = cv2.warpAffine(
        region.astype(np.float32), move, (_GRID, _GRID), flags=cv2.INTER_AREA
    ).ravel()
    names, templates, sizes = _templates()
    both = templates @ sample
    cover = both / (sizes + sample @ sample - both)
    best = int(cover.argmax())
    return names[best] if cover[best] >= _COVER else None


@lru_cache(maxsize=1)
def _templates() -> tuple[list[str], NDArray[np.float32], NDArray[np.float32]]:
    """Names, pixels ``(n, 1600)`` and squared norms of all shapes in all turns."""
    names, rows = [], []
    for shape in SHAPES:
        for degrees in range(-16, 17, 4):
            names.append(shape)
            rows.append(_template(np.array(outline(shape)), math.radians(degrees)).ravel())
    templates = np.stack(rows)
    return names, templates, (templates * templates).sum(axis=1)


def _template(corners: NDArray[np.float64], turn: float) -> NDArray[np.float32]:
    cosine, sine = math.cos(turn), math.sin(turn)
    turned = corners @ np.array([[cosine, sine], [-sine, cosine]])
    fine = 64
    moments = cv2.moments((turned * fine).astype(np.float32))
    centre = np.array([moments["m10"], moments["m01"]]) / moments["m00"] / fine
    scale = _SCALE * fine / math.sqrt(moments["m00"])
    points = ((turned - centre) * scale + _GRID / 2) * 4
    big = np.zeros((_GRID * 4, _GRID * 4), np.float32)
    cv2.fillPoly(big, [points.round().astype(np.int32)], 1.0)
    return cv2.resize(big, (_GRID, _GRID), interpolation=cv2.INTER_AREA).astype(np.float32)


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
