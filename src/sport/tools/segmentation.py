"""``segmentation``: masks of things, by GrabCut (Rother et al., 2004) or by SAM 2.

Both give one palette picture of the size of the input: the pixels of the k-th box hold k, the rest
0, so that it is a map of labels to a program and coloured to the eye.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sport.tools.images import load_rgb
from sport.tools.made import made_png

MOST_BOXES = 32
_LARGEST_SIDE = 640
_ROUNDS = 4
_MARGIN = 0.04
"""Without boxes, what lies further inside than this share of the sides may be the object."""
_AROUND = 0.3
"""So much of a box's sides is looked at around it."""
_COLOURS = ((230, 60, 60), (60, 120, 230), (60, 180, 90), (240, 180, 40), (150, 80, 200),
            (50, 190, 200), (240, 120, 40), (200, 60, 150))  # fmt: skip

Mask = NDArray[np.bool_]


class Segmenter(Protocol):
    """Makes masks."""

    def __call__(self, pixels: NDArray[np.uint8], boxes: list[list[int]] | None) -> list[Mask]:
        """One mask for each box; without boxes one for each thing found.

        Args:
            pixels: ``(height, width, 3)``, RGB.
            boxes: ``[x1, y1, x2, y2]`` in pixels, within the picture.

        Returns:
            Masks of shape ``(height, width)``.
        """


def segmentation_tool(segment: Segmenter) -> Callable[..., Path]:
    """Makes a ``segmentation`` of something that makes masks."""

    def segmentation(image_path: Path, prompt: list[list[int]] | None = None) -> Path:
        """Cuts things out of a picture.

        Args:
            image_path: The picture.
            prompt: Boxes [[x1, y1, x2, y2], ...] in pixels around the things; without it, what
                stands out in the picture is taken.

        Returns:
            Path of a mask of the picture's size: pixels of the first box's thing are 1, those of
            the second's 2, and so on, and the rest is 0.
        """
        pixels = load_rgb(image_path)
        boxes = None if prompt is None else _checked(prompt, pixels.shape[1], pixels.shape[0])
        return made_png(label_map(segment(pixels, boxes), pixels.shape[:2]), "mask.png")

    return segmentation


def label_map(masks: list[Mask], shape: tuple[int, ...]) -> Image.Image:
    """Masks in one palette picture; where two overlap, the smaller one lies on top."""
    labels = np.zeros(shape, np.uint8)
    for i in sorted(range(len(masks)), key=lambda k: -int(masks[k].sum())):
        labels[masks[i]] = i + 1
    picture = Image.fromarray(labels)
    colours = [_COLOURS[i % len(_COLOURS)] for i in range(255)]
    picture.putpalette([0, 0, 0, *(value for colour in colours for value in colour)])
    return picture


def _checked(prompt: list[list[int]], width: int, height: int) -> list[list[int]]:
    if len(prompt) > MOST_BOXES:
        raise ValueError(f"{len(prompt)} boxes are too many: give at most {MOST_BOXES} at a time")
    boxes = []
    for box in prompt:
        if len(box) != 4:
            raise ValueError(f"{box} is no box: give [x1, y1, x2, y2]")
        x1, x2 = (min(max(0, x), width) for x in (box[0], box[2]))
        y1, y2 = (min(max(0, y), height) for y in (box[1], box[3]))
        if x2 - x1 < 2 or y2 - y1 < 2:
            raise ValueError(
                f"{box} holds nothing of the picture, which is {width} x {height} pixels: give "
                "[x1, y1, x2, y2] with x1 < x2 <= width and y1 < y2 <= height"
            )
        boxes.append([x1, y1, x2, y2])
    return boxes


def grab_cut(pixels: NDArray[np.uint8], boxes: list[list[int]] | None) -> list[Mask]:
    """Masks by GrabCut: around a box is ground, and what in it is unlike the ground is the thing.

    Only the neighbourhood of a box is looked at: another thing of the same sort further away would
    teach that such things are ground.
    """
    height, width = pixels.shape[:2]
    if boxes is None:
        x, y = max(1, round(width * _MARGIN)), max(1, round(height * _MARGIN))
        boxes = [[x, y, width - x, height - y]]
    masks = []
    for x1, y1, x2, y2 in boxes:
        x, y = max(2, round((x2 - x1) * _AROUND)), max(2, round((y2 - y1) * _AROUND))
        left, top = max(0, x1 - x), max(0, y1 - y)
        near = pixels[top : y2 + y, left : x2 + x]
        mask = np.zeros((height, width), np.bool_)
        mask[top : y2 + y, left : x2 + x] = _one(near, (x1 - left, y1 - top, x2 - left, y2 - top))
        masks.append(mask)
    return masks


def _one(near: NDArray[np.uint8], box: tuple[int, int, int, int]) -> Mask:
    """The thing in a box of a picture of the box and what is around it."""
    size = (near.shape[1], near.shape[0])
    shrink = max(1.0, max(size) / _LARGEST_SIDE)
    small_size = (max(1, round(size[0] / shrink)), max(1, round(size[1] / shrink)))
    small = cv2.resize(near, small_size, interpolation=cv2.INTER_AREA).astype(np.uint8)
    state = _guess(small.shape[:2], [round(v / shrink) for v in box])
    if {cv2.GC_BGD, cv2.GC_PR_FGD} <= set(np.unique(state).tolist()):
        cv2.setRNGSeed(0)
        grounds = np.zeros((1, 65)), np.zeros((1, 65))
        cv2.grabCut(small, state, (0, 0, 0, 0), *grounds, _ROUNDS, cv2.GC_INIT_WITH_MASK)
    thing = np.isin(state, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.uint8)
    return np.asarray(cv2.resize(thing, size, interpolation=cv2.INTER_NEAREST), dtype=np.bool_)


def _guess(shape: tuple[int, int], box: list[int]) -> NDArray[np.uint8]:
    """The ellipse in a box is perhaps the thing, the box's corners perhaps not, the rest is not."""
    x1, y1, x2, y2 = box
    down, across = np.ogrid[: shape[0], : shape[1]]
    x = (across + 0.5 - (x1 + x2) / 2) / max(1, (x2 - x1) / 2)
    y = (down + 0.5 - (y1 + y2) / 2) / max(1, (y2 - y1) / 2)
    state = np.full(shape, cv2.GC_BGD, np.uint8)
    state[(np.abs(x) <= 1) & (np.abs(y) <= 1)] = cv2.GC_PR_BGD
    state[x * x + y * y <= 1] = cv2.GC_PR_FGD
    return state
