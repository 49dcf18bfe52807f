"""Draws the pictures of the pocket world: sheets of text and scenes of objects.

Everything about a picture follows from its problem's content and seed: size, layout, fonts,
colours, places, light and noise.
"""

from __future__ import annotations

import random

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sport.pocket.draw_scene import draw_scene
from sport.pocket.draw_sheet import draw_sheet
from sport.pocket.grammar import Problem, Sheet

WIDTHS, HEIGHTS = (320, 420), (240, 320)
"""Bounds of a picture's size, in pixels."""


def render(problem: Problem) -> Image.Image:
    """Draws the picture of a problem.

    Returns:
        An RGB picture of 320 to 420 by 240 to 320 pixels, the same for the same problem.
    """
    rng = random.Random(f"picture/{problem.seed}")
    size = (rng.randint(*WIDTHS), rng.randint(*HEIGHTS))
    picture = problem.picture
    if isinstance(picture, Sheet):
        drawn = draw_sheet(picture, size, rng)
    else:
        drawn = draw_scene(picture, size, rng)
    return _photographed(drawn, problem.seed)


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
