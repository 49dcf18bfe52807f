"""Masks: of things in boxes, by GrabCut where there are no weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from sport.tools.builtin import BUILTIN

skimage_data = pytest.importorskip("skimage.data")


def mask(folder: Path, picture: Image.Image, prompt: Any = None, **options: Path) -> np.ndarray:
    picture.save(folder / "p.png")
    tool = BUILTIN["segmentation"](**options)
    name = tool(folder, tool.bind(["p.png"] if prompt is None else ["p.png", prompt], {}))
    labels = np.asarray(Image.open(folder / str(name)))
    assert labels.shape == (picture.height, picture.width)
    return labels


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    return float((a & b).sum() / max(1, (a | b).sum()))


def disc(size: tuple[int, int], box: tuple[int, int, int, int]) -> np.ndarray:
    drawn = Image.new("1", size)
    ImageDraw.Draw(drawn).ellipse(box, fill=1)
    return np.asarray(drawn)


def test_coins_are_cut_out_of_a_photograph(tmp_path: Path, tell: Callable[[str], None]) -> None:
    """A coin is an ellipse that fills its box, which is given a few pixels too wide."""
    coins = Image.fromarray(skimage_data.coins())
    inner = [(305, 15, 365, 72), (191, 30, 240, 74), (80, 175, 124, 217), (18, 233, 75, 288)]
    labels = mask(tmp_path, coins, [[x1 - 4, y1 - 4, x2 + 4, y2 + 4] for x1, y1, x2, y2 in inner])
    found = [overlap(labels == i, disc(coins.size, box)) for i, box in enumerate(inner, start=1)]
    tell(f"segmentation: overlaps of {len(found)} coins {[round(o, 2) for o in found]}")
    assert min(found) > 0.85


def test_things_are_labelled_in_the_order_of_their_boxes_at_any_size(tmp_path: Path) -> None:
    for scale in (1, 5):
        picture = Image.new("RGB", (300 * scale, 200 * scale), (235, 235, 225))
        draw = ImageDraw.Draw(picture)
        circles = [(190, 60, 270, 140), (30, 50, 110, 130)]
        for circle, colour in zip(circles, ("#2244cc", "#cc3322"), strict=True):
            draw.ellipse([v * scale for v in circle], fill=colour)
        boxes = [[(v + d) * scale for v, d in zip(c, (-8, -8, 8, 8), strict=True)] for c in circles]
        labels = mask(tmp_path, picture, boxes)
        for i, circle in enumerate(circles, start=1):
            truth = disc(picture.size, tuple(v * scale for v in circle))  # type: ignore[arg-type]
            assert overlap(labels == i, truth) > 0.9


def test_without_boxes_what_stands_out_is_taken(tmp_path: Path) -> None:
    picture = Image.new("RGB", (300, 200), (235, 235, 225))
    ImageDraw.Draw(picture).ellipse((90, 40, 210, 160), fill="#228844")
    labels = mask(tmp_path, picture)
    assert overlap(labels == 1, disc(picture.size, (90, 40, 210, 160))) > 0.9


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        ([[1, 2, 3]], "is no box"),
        ([[50, 50, 50, 80]], "holds nothing"),
        ([[900, 0, 950, 20]], "300 x 200 pixels"),
        ([[0, 0, 10, 10]] * 33, "at most 32"),
    ],
)
def test_boxes_that_cannot_be_used_are_told(prompt: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        mask(tmp_path, Image.new("RGB", (300, 200)), prompt)


def test_tiny_pictures_and_boxes_of_the_whole_do_no_harm(tmp_path: Path) -> None:
    for size in ((1, 1), (2, 900), (40, 40)):
        mask(tmp_path, Image.new("RGB", size, "red"))
    assert mask(tmp_path, Image.new("RGB", (40, 40), "red"), [[0, 0, 99, 99]]).max() <= 1
