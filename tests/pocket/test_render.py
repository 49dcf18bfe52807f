"""Pictures: deterministic, varied, legible, and as their problems say."""

from __future__ import annotations

from itertools import count, islice
from pathlib import Path

import numpy as np
import pytest

from sport.pocket.grammar import COLOURS, SHAPES, Problem, Scene, Sheet, Thing, make_problem
from sport.pocket.render import object_boxes, render
from sport.tools.objectlocation import find_objects
from sport.tools.ocr import ocr


def problem(picture: Sheet | Scene, seed: int = 1) -> Problem:
    return Problem("", "", picture, 0.0, (), (), (), seed)


def problems(kind: type, n: int) -> list[Problem]:
    drawn = (make_problem("train", seed) for seed in count())
    return list(islice((p for p in drawn if isinstance(p.picture, kind)), n))


def test_equal_problems_give_equal_pixels_and_other_seeds_others() -> None:
    for content in (Sheet("note", "", (), (("star", "3"),)), Scene((Thing("red", "star"),))):
        one, same, other = (render(problem(content, seed)) for seed in (5, 5, 6))
        assert one.tobytes() == same.tobytes()
        assert one.tobytes() != other.tobytes()


def test_sizes_are_varied_within_their_bounds() -> None:
    sizes = {render(p).size for p in problems(Scene, 20) + problems(Sheet, 20)}
    assert len(sizes) > 30
    assert all(320 <= width <= 420 and 240 <= height <= 320 for width, height in sizes)


@pytest.mark.parametrize("layout", ["receipt", "board", "note", "table", "chart"])
def test_rows_are_legible(layout: str, tmp_path: Path) -> None:
    sheets = [p for p in problems(Sheet, 90) if p.picture.layout == layout][:3]  # type: ignore[union-attr]
    assert len(sheets) == 3
    missed = []
    for p in sheets:
        assert isinstance(p.picture, Sheet)
        render(p).save(tmp_path / "sheet.png", compress_level=1)
        read = ocr(tmp_path / "sheet.png").split("\n")
        missed += [row for row in p.picture.rows if " ".join(row) not in read]
    assert not missed


def test_every_shape_is_found_in_every_colour() -> None:
    for shape in SHAPES:
        scene = Scene(tuple(Thing(colour, shape) for colour in COLOURS))
        found = find_objects(np.asarray(render(problem(scene))))
        assert sorted((colour, s) for colour, s, _ in found) == sorted(
            (colour, shape) for colour in COLOURS
        )


def test_objects_do_not_touch_and_lie_inside() -> None:
    crowd = [Scene(tuple(Thing("red", "circle") for _ in range(20)))]
    for p in [*map(problem, crowd), *problems(Scene, 50)]:
        width, height = render(p).size
        boxes = [box for _, box in object_boxes(p)]
        assert isinstance(p.picture, Scene) and len(boxes) == len(p.picture.things)
        for i, (x1, y1, x2, y2) in enumerate(boxes):
            assert 0 <= x1 < x2 <= width and 0 <= y1 < y2 <= height
            for a1, b1, a2, b2 in boxes[i + 1 :]:
                assert x2 <= a1 or a2 <= x1 or y2 <= b1 or b2 <= y1


def test_sheets_have_no_objects() -> None:
    assert object_boxes(problem(Sheet("note", "", (), (("star", "3"),)))) == []
