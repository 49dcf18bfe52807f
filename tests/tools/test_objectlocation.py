"""Finding objects: exact counts in scenes, tight boxes, mostly nothing elsewhere."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sport.pocket.grammar import Problem, Scene, Sheet, Thing, make_problem
from sport.pocket.render import object_boxes, render
from sport.tools.objectlocation import find_objects, objectlocation


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    """Two red stars, a blue star and a red heart."""
    things = (("red", "star"), ("blue", "star"), ("red", "heart"), ("red", "star"))
    picture = Scene(tuple(Thing(*thing) for thing in things))
    render(Problem("", "", picture, 0.0, (), (), (), 11)).save(tmp_path / "scene.png")
    return tmp_path / "scene.png"


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("red star", 2),
        ("red stars", 2),
        ("the Red Star", 2),
        ("star", 3),
        ("stars", 3),
        ("red objects", 3),
        ("object", 4),
        ("blue hearts", 0),
        ("cross", 0),
        ("crosses", 0),
        ("red", 0),
        ("dog", 0),
        ("pink star", 0),
        ("red star fish", 0),
        ("", 0),
    ],
)
def test_names_of_objects(scene: Path, name: str, count: int) -> None:
    assert len(objectlocation(name, scene)) == count


def test_boxes_are_sorted_from_top_to_bottom(scene: Path) -> None:
    boxes = objectlocation("object", scene)
    assert boxes == sorted(boxes, key=lambda box: (box[1], box[0]))
    assert all(isinstance(v, int) for box in boxes for v in box)


def overlap(a: list[int], b: list[int]) -> float:
    """Intersection over union."""
    across = max(0, min(a[2], b[2]) - max(a[0], b[0]))
    down = max(0, min(a[3], b[3]) - max(a[1], b[1]))
    both = across * down
    return both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both)


def test_scenes_are_counted_exactly_and_boxes_are_tight() -> None:
    drawn = [make_problem("test", seed) for seed in range(200)]
    scenes = [p for p in drawn if isinstance(p.picture, Scene)]
    exact = 0
    for p in scenes:
        found = find_objects(np.asarray(render(p)))
        placed = object_boxes(p)
        names = Counter((colour, shape) for colour, shape, _ in found)
        exact += names == Counter((thing.colour, thing.shape) for thing, _ in placed)
        for _, box in placed:
            assert max((overlap(box, f) for _, _, f in found), default=0) > 0.6
    assert exact >= 0.97 * len(scenes)


def test_sheets_hold_nothing_of_note() -> None:
    drawn = [make_problem("test", seed) for seed in range(100)]
    sheets = [p for p in drawn if isinstance(p.picture, Sheet)]
    assert sum(bool(find_objects(np.asarray(render(p)))) for p in sheets) <= 0.05 * len(sheets)


def test_a_large_picture_is_looked_at_whole(scene: Path, tmp_path: Path) -> None:
    small = Image.open(scene)
    small.resize((small.width * 6, small.height * 6)).save(tmp_path / "large.png")
    boxes = objectlocation("red stars", scene)
    large = objectlocation("red stars", tmp_path / "large.png")
    assert len(large) == len(boxes)
    for box, found in zip(boxes, large, strict=True):
        assert overlap([v * 6 for v in box], found) > 0.8


@pytest.mark.parametrize("name", ["astronaut", "coffee", "coins", "rocket", "page"])
def test_photographs_mostly_hold_nothing(name: str, tmp_path: Path) -> None:
    data = pytest.importorskip("skimage.data")
    Image.fromarray(getattr(data, name)()).save(tmp_path / "photo.png", compress_level=1)
    assert len(objectlocation("object", tmp_path / "photo.png")) <= 1


def test_tiny_pictures_do_no_harm(tmp_path: Path) -> None:
    for size in ((1, 1), (5000, 1)):
        Image.new("RGB", size, "red").save(tmp_path / "tiny.png")
        assert objectlocation("object", tmp_path / "tiny.png") == []
