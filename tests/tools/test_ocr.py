"""Reading: real text in scanned, photographed and plain pictures; nothing where there is none."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from rapidfuzz.distance import Levenshtein

from sport.images import ImageError
from sport.pocket.grammar import Problem, Scene, Sheet, Thing, make_problem
from sport.pocket.render import render
from sport.tools.ocr import ocr

PAGE = """Region-based segmentation
Let us first determine markers of the coins and the
background. These markers are pixels that we can label
unambiguously as either object or background. Here,
the markers are found at the two extreme parts of the
histogram of grey values:
>>> markers = np.zeros_like(coins)"""
"""What stands on scikit-image's sample of a scanned page."""


def error_rate(read: str, truth: str) -> float:
    return Levenshtein.distance(read, truth) / len(truth)


def photographed(image: Image.Image, rng: random.Random, scale: float) -> Image.Image:
    """As taken by hand: perspective, blur and a sensor's noise."""
    width, height = image.size
    w, h = round(width * scale), round(height * scale)
    inset = [rng.uniform(0, 0.08) for _ in range(8)]
    corners = [(0, 0), (1, 0), (1, 1), (0, 1)]
    source = np.array([(x * width, y * height) for x, y in corners], np.float32)
    target = np.array(
        [
            (w * (x + (1 - 2 * x) * inset[2 * i]), h * (y + (1 - 2 * y) * inset[2 * i + 1]))
            for i, (x, y) in enumerate(corners)
        ],
        np.float32,
    )
    move = cv2.getPerspectiveTransform(source, target)
    taken = cv2.warpPerspective(
        np.asarray(image), move, (w, h), flags=cv2.INTER_CUBIC, borderValue=(110, 100, 90)
    )
    noise = np.random.default_rng(rng.getrandbits(32)).normal(0, 6, taken.shape)
    blurred = cv2.GaussianBlur(taken, (0, 0), 1.0)
    return Image.fromarray(np.clip(blurred + noise, 0, 255).astype(np.uint8))


def sheets(n: int) -> list[tuple[Problem, Sheet]]:
    drawn = (make_problem("train", seed) for seed in range(60_000, 61_000))
    found = [(p, p.picture) for p in drawn if isinstance(p.picture, Sheet)]
    return found[:n]


@pytest.mark.parametrize("scale", [0.6, 1, 4])
def test_a_scanned_page_is_read_at_any_size(scale: float, tmp_path: Path) -> None:
    data = pytest.importorskip("skimage.data")
    page = Image.fromarray(data.page())
    page.resize((round(page.width * scale), round(page.height * scale))).save(tmp_path / "p.png")
    assert error_rate(ocr(tmp_path / "p.png"), PAGE) <= 0.1


def test_photographed_sheets_are_read_line_by_line(tmp_path: Path) -> None:
    rows, read = [], []
    for problem, sheet in sheets(4):
        photo = photographed(render(problem), random.Random(problem.seed), scale=2.5)
        photo.save(tmp_path / "photo.jpg", quality=70)
        rows += [" ".join(row) for row in sheet.rows]
        read += ocr(tmp_path / "photo.jpg").split("\n")
    assert sum(row in read for row in rows) >= 0.95 * len(rows)


def test_shapes_are_not_text(tmp_path: Path) -> None:
    for shape in ("cross", "moon", "star", "circle"):
        scene = Scene(tuple(Thing("black", shape) for _ in range(6)))
        render(Problem("", "", scene, 0.0, (), (), (), 3)).save(tmp_path / "scene.png")
        assert ocr(tmp_path / "scene.png") == ""


def test_an_empty_picture_has_no_text(tmp_path: Path) -> None:
    for size in ((320, 240), (1, 1), (900, 3)):
        Image.new("RGB", size, "white").save(tmp_path / "empty.png")
        assert ocr(tmp_path / "empty.png") == ""


def test_the_picture_is_read_as_it_is_meant_to_be_seen(tmp_path: Path) -> None:
    """An EXIF turn, grey with transparency, and CMYK make no difference."""
    problem, sheet = sheets(1)[0]
    upright = render(problem)
    exif = Image.Exif()
    exif[0x0112] = 6  # shown turned clockwise by 90 degrees
    upright.rotate(90, expand=True).save(tmp_path / "turned.jpg", exif=exif, quality=95)
    upright.convert("LA").save(tmp_path / "grey.png")
    upright.convert("CMYK").save(tmp_path / "cmyk.jpg", quality=95)
    for name in ("turned.jpg", "grey.png", "cmyk.jpg"):
        read = ocr(tmp_path / name).split("\n")
        assert all(" ".join(row) in read for row in sheet.rows), name


def test_what_is_no_picture_is_named(tmp_path: Path) -> None:
    (tmp_path / "notes.png").write_text("no picture")
    (tmp_path / "drawing.eps").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
    Image.new("1", (10_000, 5_000)).save(tmp_path / "huge.png")
    Image.new("RGB", (9, 9)).save(tmp_path / "odd.ppm")  # what Pillow reads beyond our formats
    for name in ("notes.png", "drawing.eps", "odd.ppm", "huge.png", "missing.png"):
        with pytest.raises(ImageError, match=name):
            ocr(tmp_path / name)


@pytest.mark.parametrize("degrees", [-6, 6])
def test_rows_of_a_tilted_sheet_stay_together(degrees: int, tmp_path: Path) -> None:
    rows = (("brown tea", "5.32"), ("dried fish", "2.67"), ("ripe jam", "3.05"), ("oil", "1.94"))
    sheet = Sheet("receipt", "", (), rows)
    picture = render(Problem("", "", sheet, 0.0, (), (), (), 4))
    picture.rotate(degrees, Image.Resampling.BICUBIC, expand=True).save(tmp_path / "tilted.png")
    assert ocr(tmp_path / "tilted.png").split("\n") == [" ".join(row) for row in rows]


def test_boxes_on_request_stand_around_their_lines(tmp_path: Path) -> None:
    problem, sheet = sheets(1)[0]
    picture = render(problem)
    picture.save(tmp_path / "sheet.png")
    lines = ocr(tmp_path / "sheet.png", boxes=True)
    assert [line["text"] for line in lines] == ocr(tmp_path / "sheet.png").split("\n")
    assert {" ".join(row) for row in sheet.rows} <= {line["text"] for line in lines}
    for line in lines:
        x1, y1, x2, y2 = line["box"]
        picture.crop((x1 - 4, y1 - 4, x2 + 4, y2 + 4)).save(tmp_path / "line.png")
        assert ocr(tmp_path / "line.png") == line["text"]


def test_error_rates_are_told(tmp_path: Path, tell: Callable[[str], None]) -> None:
    """A scan, a chart and a plain print; the share of characters that were misread."""
    data = pytest.importorskip("skimage.data")
    pyplot = pytest.importorskip("matplotlib.figure")
    Image.fromarray(data.page()).save(tmp_path / "scan.png")
    figure = pyplot.Figure(figsize=(6, 4), dpi=120)
    axes = figure.subplots()
    axes.barh(["Harbour", "Mill Lane", "Old Town"], [310, 475, 120])
    axes.set_title("Visitors in thousands")
    figure.savefig(tmp_path / "chart.png")
    chart = {"Visitors in thousands", "Harbour", "Mill Lane", "Old Town"}
    read = ocr(tmp_path / "chart.png").split("\n")
    rates = {
        "scan": error_rate(ocr(tmp_path / "scan.png"), PAGE),
        "chart": sum(min(error_rate(line, name) for line in read) for name in chart) / len(chart),
    }
    told = ", ".join(f"{rate:.1%} on a {name}" for name, rate in rates.items())
    tell(f"ocr: character error rate {told}")
    assert rates["scan"] <= 0.05 and rates["chart"] <= 0.05
