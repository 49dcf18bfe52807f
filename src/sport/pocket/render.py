"""Draws the pictures of the pocket world: sheets of text and scenes of objects.

Everything about a picture follows from its problem's content and seed: size, layout, fonts,
colours, places, light and noise.
"""

from __future__ import annotations

import random

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sport.pocket.draw_scene import draw_scene, place_things
from sport.pocket.draw_sheet import draw_sheet
from sport.pocket.grammar import Problem, Sheet, Thing

WIDTHS, HEIGHTS = (320, 420), (240, 320)
"""Bounds of a picture's size, in pixels."""


def render(problem: Problem) -> Image.Image:
    """Draws the picture of a problem.

    Returns:
        An RGB picture of 320 to 420 by 240 to 320 pixels, the same for the same problem.
    """
    size, rng = _begin(problem)
    picture = problem.picture
    if isinstance(picture, Sheet):
        drawn = draw_sheet(picture, size, rng)
    else:
        drawn = draw_scene(picture, size, rng)
    return _photographed(drawn, problem.seed)


def object_boxes(problem: Problem) -> list[tuple[Thing, list[int]]]:
    """The objects in a problem's picture with their boxes ``[x1, y1, x2, y2]``, in pixels.

    From top to bottom, then from left to right; none in a sheet.
    """
    if isinstance(problem.picture, Sheet):
        return []
    places = place_things(problem.picture, *_begin(problem))
    found = [(place.thing, place.box) for place in places]
    return sorted(found, key=lambda item: (item[1][1], item[1][0]))


def _begin(problem: Problem) -> tuple[tuple[int, int], random.Random]:
    """The size of a problem's picture, and the generator of all that is drawn."""
    rng = random.Random(f"picture/{problem.seed}")
    return (rng.randint(*WIDTHS), rng.randint(*HEIGHTS)), rng


def _photographed(image: Image.Image, seed: int) -> Image.Image:
    """Adds uneven light and a sensor's noise, equal in the three channels."""
    rng = np.random.Generator(np.random.PCG64(seed))
    height, width = image.height, image.width
    across, down = rng.uniform(-14, 14, size=2)
    light = (
        np.linspace(-across, across, width, dtype=np.float32)[None, :]
        + np.linspace(-down, down, height, dtype=np.float32)[:, None]
    )
    noise = rng.standard_normal((height, width), dtype=np.float32) * np.float32(rng.uniform(1, 5))
    pixels: NDArray[np.float32] = np.asarray(image, np.float32) + (light + noise)[:, :, None]
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
