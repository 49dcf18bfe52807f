"""Edits: each by what it does to the pixels; what needs a model is told so."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sport.tools.builtin import BUILTIN

skimage_data = pytest.importorskip("skimage.data")


@pytest.fixture(scope="module")
def cat() -> Image.Image:
    return Image.fromarray(skimage_data.chelsea())


def edited(folder: Path, picture: Image.Image, prompt: str) -> np.ndarray:
    picture.save(folder / "p.png", compress_level=1)
    tool = BUILTIN["image_edit"]()
    name = tool(folder, tool.bind([prompt, "p.png"], {}))
    return np.asarray(Image.open(folder / str(name)))


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("crop to [10, 20, 110, 90]", lambda p: p[20:90, 10:110]),
        ("Crop the left half.", lambda p: p[:, : p.shape[1] // 2]),
        ("Please rotate the image by 90 degrees", lambda p: np.rot90(p, -1)),
        ("rotate 90 degrees counterclockwise", np.rot90),
        ("rotate it 180°", lambda p: np.rot90(p, 2)),
        ("flip horizontally", lambda p: p[:, ::-1]),
        ("mirror the picture", lambda p: p[:, ::-1]),
        ("flip it upside down", lambda p: p[::-1]),
        ("invert the colours", lambda p: 255 - p),
        ("flip it, then crop to [0, 0, 50, 40] and rotate 180 degrees",
         lambda p: np.rot90(p[:, ::-1][:40, :50], 2)),
    ],
)  # fmt: skip
def test_exact_edits(prompt: str, expected: object, cat: Image.Image, tmp_path: Path) -> None:
    assert np.array_equal(edited(tmp_path, cat, prompt), expected(np.asarray(cat)))  # type: ignore[operator]


def test_sizes(cat: Image.Image, tmp_path: Path) -> None:
    assert edited(tmp_path, cat, "resize the image to 200 x 100").shape == (100, 200, 3)
    half = (round(cat.height / 2), round(cat.width / 2), 3)
    assert edited(tmp_path, cat, "scale by 50 %").shape == half
    assert edited(tmp_path, cat, "scale to 0.5").shape == half


def test_colours_and_sharpness(cat: Image.Image, tmp_path: Path) -> None:
    before = np.asarray(cat, dtype=float)
    grey = edited(tmp_path, cat, "make it black and white")
    assert (grey[..., 0] == grey[..., 2]).all()
    assert edited(tmp_path, cat, "brighten").mean() > before.mean() + 20
    assert edited(tmp_path, cat, "make the picture darker").mean() < before.mean() - 20
    assert edited(tmp_path, cat, "increase the contrast").std() > before.std()
    assert edited(tmp_path, cat, "reduce contrast").std() < before.std()
    detail = [np.abs(np.diff(edited(tmp_path, cat, p).astype(float), axis=1)).mean()
              for p in ("blur it", "scale by 100 %", "sharpen")]  # fmt: skip
    assert detail == sorted(detail) and len(set(detail)) == 3


def test_drawing(tmp_path: Path) -> None:
    white = Image.new("RGB", (300, 200), "white")
    box = edited(tmp_path, white, "draw a blue box at [50, 40, 150, 120]")
    assert tuple(box[40, 60]) == (0, 0, 255) and tuple(box[80, 100]) == (255, 255, 255)
    filled = edited(tmp_path, white, "fill [0, 0, 30, 30] with #00ff00")
    assert (filled[:30, :30] == (0, 255, 0)).all() and (filled[30:] == 255).all()


def test_written_text_is_read_back(tmp_path: Path) -> None:
    white = Image.new("RGB", (600, 300), "white")
    edited(tmp_path, white, "write 'Crop, then blur 42' at [60, 120] in black")
    assert BUILTIN["ocr"]()(tmp_path, {"image_path": "edited.png"}) == "Crop, then blur 42"


@pytest.mark.parametrize(
    "prompt",
    ["remove the dark cat", "add a hat, then blur", "make the sky brighter", "turn it into a dog",
     "blur the face"],
)  # fmt: skip
def test_what_needs_a_model_is_told(prompt: str, cat: Image.Image, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"without a model.*\[tool.image_edit\] model"):
        edited(tmp_path, cat, prompt)


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        (" ", "empty"),
        ("crop to [900, 0, 950, 10]", "451 x 300"),
        ("resize to 9000 x 9000", "too large"),
        ("draw a notacolour box at [1, 1, 9, 9]", "is no colour"),
    ],
)
def test_edits_that_cannot_be_done(
    prompt: str, message: str, cat: Image.Image, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=message):
        edited(tmp_path, cat, prompt)
