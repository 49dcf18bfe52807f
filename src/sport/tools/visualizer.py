"""``visualizer``: a captioner by rules that says what sort of picture it is, and no more.

It has no learnt weights. It never names a number, a word or a thing, since it cannot know them.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from sport.tools.images import load_rgb
from sport.tools.objectlocation import find_objects

TEXT = "A printed sheet with several lines of text; I cannot read them reliably."
BARS = "A chart with horizontal bars; I cannot read its values."
OBJECTS = "Some coloured objects on a plain ground; I cannot count them reliably."
OTHER = "A photograph or a drawing; I cannot tell what it shows."

_LARGEST_SIDE = 640


def visualizer(question: str, image_path: Path) -> str:
    """Looks at a picture and says in one sentence what sort of picture it is.

    It cannot read, count or recognise things, whatever the question.

    Args:
        question: What is to be known of the picture.
        image_path: The picture.

    Returns:
        One sentence.
    """
    pixels = _bounded(load_rgb(image_path))
    if _has_bars(pixels):
        return BARS
    if _has_only_objects(pixels):
        return OBJECTS
    return TEXT if _has_lines(pixels) else OTHER


def _bounded(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    height, width = pixels.shape[:2]
    shrink = max(height, width) / _LARGEST_SIDE
    if shrink <= 1:
        return pixels
    size = (max(1, round(width / shrink)), max(1, round(height / shrink)))
    return cv2.resize(pixels, size, interpolation=cv2.INTER_AREA).astype(np.uint8)


def _has_bars(pixels: NDArray[np.uint8]) -> bool:
    """Whether two or more coloured rectangles of one height start at one left edge."""
    hsv = cv2.cvtColor(cv2.GaussianBlur(pixels, (3, 3), 0), cv2.COLOR_RGB2HSV)
    mask = (hsv[:, :, 1] > 70).astype(np.uint8)
    _, _, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=4)
    bars = [
        (int(x), int(h))
        for x, _, w, h, area in stats[1:]
        if h >= 10 and w >= 8 and area > 0.9 * w * h and w < 0.9 * pixels.shape[1]
    ]
    return any(sum(abs(x - x0) <= 2 and abs(h - h0) <= 2 for x, h in bars) >= 2 for x0, h0 in bars)


def _has_only_objects(pixels: NDArray[np.uint8]) -> bool:
    """Whether next to everything that stands out of the ground is a coloured object."""
    ground = np.median(pixels.reshape(-1, 3), axis=0)
    rest = np.abs(pixels - ground).max(axis=2) > 70
    boxes = [box for _, _, box in find_objects(pixels)]
    for x1, y1, x2, y2 in boxes:
        rest[max(0, y1 - 2) : y2 + 2, max(0, x1 - 2) : x2 + 2] = False
    return bool(boxes) and float(rest.mean()) < 0.02


def _has_lines(pixels: NDArray[np.uint8]) -> bool:
    """Whether most marks are small and stand beside marks of their height, on an even ground."""
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    contrast = cv2.absdiff(grey, cv2.medianBlur(grey, 31))
    if (contrast < 16).mean() < 0.75:
        return False
    marks = (contrast > 50).astype(np.uint8)
    _, _, stats, middles = cv2.connectedComponentsWithStats(marks, connectivity=8)
    size, height, area = stats[1:, 2], stats[1:, 3], stats[1:, 4]
    glyph = (height >= 5) & (height <= 40) & (size <= 120) & (area >= 8)
    y, height, area = middles[1:, 1][glyph], height[glyph], area[glyph]
    beside = np.abs(y[:, None] - y) < height[:, None] / 2
    alike = (height < 2 * height[:, None]) & (height[:, None] < 2 * height)
    in_line = (beside & alike).sum(axis=1) >= 4
    return float(area[in_line].sum()) > 0.4 * max(1, int(marks.sum()))
