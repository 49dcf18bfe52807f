"""Makes the pictures and tasks of this example: a scanned page, and photographed price boards.

The page is scikit-image's ``page``: a photographed sheet of its own documentation, whose text is
known. The boards are sheets of the pocket world, printed large and photographed synthetically:
seen at an angle on a table, unevenly lit, slightly out of focus, noisy, compressed.

Usage: ``python make_documents.py [FOLDER]`` writes ``tasks.jsonl``, ``images/`` and
``texts.json`` (what is written in each picture) to ``FOLDER``, by default the one that this
script lies in.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sport.pocket.grammar import Problem, Sheet, make_problem
from sport.pocket.render import render

Pixels = NDArray[np.uint8]

BOARDS = 72
PHOTO = (1280, 960)
"""Width and height of a photograph, in pixels."""

PAGE_TEXT = """\
Region-based segmentation
Let us first determine markers of the coins and the
background. These markers are pixels that we can label
unambiguously as either object or background. Here,
the markers are found at the two extreme parts of the
histogram of grey values:
>>> markers = np.zeros_like(coins)"""
PAGE_QUESTIONS = (
    ("What is the heading of the page?", "Region-based segmentation"),
    ("Whose markers are determined on the page?", "the coins and the background"),
    ("Which function makes the markers in the code on the page?", "np.zeros_like"),
)


def main(folder: Path, boards: int = BOARDS) -> None:
    """Writes the example to ``folder``: two pictures of a page, and photographs of boards."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    tasks: list[dict[str, Any]] = []
    texts: dict[str, str] = {}
    for name, picture in _pages():
        _save(picture, folder / name)
        texts[name] = PAGE_TEXT
        tasks += [
            {"query": query, "files": [name], "answer": answer, "tools": ["ocr"], "kind": "page"}
            for query, answer in PAGE_QUESTIONS
        ]
    for number, problem in enumerate(_boards(boards)):
        assert isinstance(problem.picture, Sheet)
        name = f"images/board_{number:02}.jpg"
        _save(photograph(np.asarray(render(problem)), seed=number), folder / name)
        texts[name] = "\n".join(problem.picture.lines)
        tasks.append(
            {
                "query": problem.query,
                "files": [name],
                "answer": problem.answer,
                "tools": [move.tool for move in problem.moves if move.tool],
                "kind": problem.kind,
            }
        )
    _write(folder / "tasks.jsonl", *(json.dumps(task) for task in tasks))
    _write(folder / "texts.json", json.dumps(texts, indent=1))


def photograph(sheet: Pixels, seed: int) -> Pixels:
    """A sheet as a photograph of it shows it.

    Args:
        sheet: Its pixels, of shape ``(height, width, 3)``, RGB.
        seed: Of the camera's place, the light and the noise.

    Returns:
        Pixels of shape ``(960, 1280, 3)``, RGB.
    """
    rng = np.random.default_rng(seed)
    width, height = PHOTO
    rows, columns = sheet.shape[:2]
    scale = min(width / columns, height / rows) * 0.94
    margins = np.array([width - columns * scale, height - rows * scale]) / 2
    corners = np.array([[0, 0], [columns, 0], [columns, rows], [0, rows]], np.float32)
    # Each corner of the sheet strays on its own: a turn, a tilt and a perspective in one.
    places = (corners * scale + margins + rng.uniform(-28, 28, (4, 2))).astype(np.float32)
    lens = cv2.getPerspectiveTransform(corners, places)
    table = np.full((height, width, 3), rng.integers(70, 150, 3), np.uint8)
    sharp = cv2.warpPerspective(
        sheet, lens, PHOTO, dst=table, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_TRANSPARENT
    )
    photo = np.asarray(cv2.GaussianBlur(sharp, (0, 0), rng.uniform(0.7, 1.5)), np.float64)
    across, down = np.meshgrid(np.linspace(-1, 1, width), np.linspace(-1, 1, height))
    light = 1 + rng.uniform(-0.12, 0.12) * across + rng.uniform(-0.12, 0.12) * down
    photo = photo * light[:, :, None] + rng.normal(0, 6, (height, width, 1))
    return photo.clip(0, 255).astype(np.uint8)


def _pages() -> Iterator[tuple[str, Pixels]]:
    with resources.as_file(resources.files("skimage.data") / "page.png") as path:
        page = np.asarray(Image.open(path).convert("RGB"))
    yield "images/page.png", page
    yield "images/page_photo.jpg", photograph(page, seed=1000)


def _boards(count: int) -> Iterator[Problem]:
    """Problems over receipts, boards, tables and charts, of words that the model never learnt."""
    seed = 0
    while count:
        problem = make_problem("dev", seed)
        seed += 1
        if problem.kind in ("cost", "difference", "table", "chart"):
            count -= 1
            yield problem


def _save(picture: Pixels, path: Path) -> None:
    # The suffix decides the format; 85 is a phone's quality of JPEG, and PNG has none.
    Image.fromarray(picture).save(path, quality=85)


def _write(path: Path, *lines: str) -> None:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
