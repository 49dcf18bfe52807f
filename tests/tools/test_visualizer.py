"""The captioner: the sort of picture, and never a number or a word of it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from PIL import Image

from sport.pocket.grammar import make_problem
from sport.pocket.reference import ReferenceTools
from sport.pocket.render import render
from sport.tools.visualizer import BARS, OBJECTS, OTHER, TEXT, visualizer


def test_pictures_of_the_pocket_world_are_told_apart(tmp_path: Path) -> None:
    problems = [make_problem("test", seed) for seed in range(60)]
    right = 0
    for problem in problems:
        render(problem).save(tmp_path / "x.png", compress_level=1)
        caption = visualizer("How many stars are there?", tmp_path / "x.png")
        right += caption == ReferenceTools(problem).visualizer("", "x.png")
    assert right >= 0.97 * len(problems)


@pytest.mark.parametrize("name", ["astronaut", "coffee", "rocket", "camera", "brick", "grass"])
def test_photographs_are_not_described(name: str, tmp_path: Path) -> None:
    data = pytest.importorskip("skimage.data")
    Image.fromarray(getattr(data, name)()).save(tmp_path / "photo.png")
    assert visualizer("What is it?", tmp_path / "photo.png") == OTHER


def test_a_scanned_page_is_text(tmp_path: Path) -> None:
    data = pytest.importorskip("skimage.data")
    Image.fromarray(data.page()).save(tmp_path / "page.png")
    assert visualizer("What is it?", tmp_path / "page.png") == TEXT


def test_an_empty_picture_is_not_described(tmp_path: Path) -> None:
    for size in ((300, 200), (1, 1), (4000, 1)):
        Image.new("RGB", size, "white").save(tmp_path / "empty.png")
        assert visualizer("What is it?", tmp_path / "empty.png") == OTHER


def test_no_caption_holds_a_number() -> None:
    assert not re.search(r"\d|one|two|three", " ".join((TEXT, BARS, OBJECTS)))
