"""Faces: photographs with and without them, by the cascades that ship and by another one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from sport.tools.builtin import BUILTIN
from sport.tools.load import ToolNotFound

skimage_data = pytest.importorskip("skimage.data")
SAMPLES = Path(skimage_data.__path__[0])
SIDE, GAP = 100, 30


def sheet(crops: np.ndarray, columns: int = 5) -> Image.Image:
    """Small photographs pasted side by side on grey."""
    rows = -(-len(crops) // columns)
    pitch = SIDE + GAP
    picture = Image.new("L", (columns * pitch + GAP, rows * pitch + GAP), 128)
    for i, crop in enumerate(crops):
        small = Image.fromarray((crop * 255).astype(np.uint8))
        row, column = divmod(i, columns)
        place = (GAP + column * pitch, GAP + row * pitch)
        picture.paste(small.resize((SIDE, SIDE), Image.Resampling.BICUBIC), place)
    return picture


def found(folder: Path, picture: Image.Image, **options: Path) -> list[list[int]]:
    picture.save(folder / "p.png")
    boxes = BUILTIN["facedetection"](**options)(folder, {"image_path": "p.png"})
    assert isinstance(boxes, list)
    return boxes


def test_the_face_of_a_portrait_is_found_at_any_size(tmp_path: Path) -> None:
    astronaut = Image.fromarray(skimage_data.astronaut())
    for scale in (1, 5):
        picture = astronaut.resize((512 * scale, 512 * scale))
        (box,) = found(tmp_path, picture)
        middle = (box[0] + box[2]) / 2 / scale, (box[1] + box[3]) / 2 / scale
        assert abs(middle[0] - 223) < 25 and abs(middle[1] - 115) < 25
        assert 60 < (box[2] - box[0]) / scale < 180


def test_faces_are_counted(tmp_path: Path, tell: Callable[[str], None]) -> None:
    """Of 100 faces at most a tenth is missed; of 100 crops without one hardly any is taken."""
    crops = np.load(SAMPLES / "lfw_subset.npy")
    faces = sum(len(found(tmp_path, sheet(crops[i : i + 25]))) for i in range(0, 100, 25))
    others = sum(len(found(tmp_path, sheet(crops[i : i + 25]))) for i in range(100, 200, 25))
    tell(f"facedetection: {faces} of 100 faces of LFW; {others} in 100 crops without one")
    assert 90 <= faces <= 100 and others <= 3


def test_photographs_without_a_face_hold_none(tmp_path: Path, tell: Callable[[str], None]) -> None:
    sklearn_datasets = pytest.importorskip("sklearn.datasets")
    pictures = [
        getattr(skimage_data, name)()
        for name in ("chelsea", "coffee", "coins", "rocket", "brick", "moon", "page")
    ]
    pictures += list(sklearn_datasets.load_sample_images().images)
    counts = [len(found(tmp_path, Image.fromarray(p))) for p in pictures]
    tell(f"facedetection: {sum(counts)} faces in {len(counts)} photographs without one")
    assert sum(counts) == 0


def test_another_cascade_is_given_by_its_path(tmp_path: Path) -> None:
    cascade = Path(cv2.data.haarcascades) / "haarcascade_frontalface_alt2.xml"
    boxes = found(tmp_path, Image.fromarray(skimage_data.astronaut()), model=cascade)
    assert any(abs((b[0] + b[2]) / 2 - 223) < 25 for b in boxes)


@pytest.mark.parametrize("name", ["broken.xml", "broken.onnx", "missing.xml"])
def test_what_is_no_detector_is_named_before_the_run(name: str, tmp_path: Path) -> None:
    if name != "missing.xml":
        (tmp_path / name).write_text("nothing of use")
    with pytest.raises(ToolNotFound, match=rf"\[tool.facedetection\] model: .*{name}"):
        BUILTIN["facedetection"](model=tmp_path / name)


def test_an_empty_picture_has_no_face(tmp_path: Path) -> None:
    for size in ((320, 240), (1, 1), (3000, 2)):
        assert found(tmp_path, Image.new("RGB", size, "white")) == []
