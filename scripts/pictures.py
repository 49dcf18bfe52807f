"""Takes the pictures of the README: the viewer and the learning curve of a real run.

    python scripts/pictures.py runs/pocket [--out docs/pictures]

Needs Chromium (`sh scripts/debian.sh chromium`) and Playwright for Python.
"""

from __future__ import annotations

import argparse
import io
import os
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

from sport.types import Trajectory
from sport.view.book import Book
from sport.view.save import save

CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = [
    "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip


def telling(book: Book) -> str:
    """Key of a trajectory with pairs, a boxed picture and a right answer: the first one."""
    entry = book.entries[0]
    with entry.index.connect() as db:
        rows = db.execute(
            "SELECT t.* FROM trajectory t JOIN facet f ON f.id = t.id AND f.name = 'tool' AND "
            "f.value = 'objectlocation' WHERE place LIKE 'explore-%' AND correct = 1 AND "
            "abstained = 0 AND t.steps BETWEEN 2 AND 3 ORDER BY t.id"
        ).fetchall()
    found = (row for row in rows if _differs(entry.index.read(row)))
    return str(next(found, rows[0])["key"])


def _differs(trajectory: Trajectory) -> bool:
    codes = {c.action.code for c in trajectory.steps[0].candidates}
    best = trajectory.steps[0].verdict.best
    calls = () if best is None else trajectory.steps[0].candidates[best].outcome
    return len(codes) >= 3 and "objectlocation" in str(calls)


def main() -> None:
    """Writes the pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, help="the run's folder")
    parser.add_argument("--out", type=Path, default=Path("docs/pictures"))
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    book = Book([arguments.run])
    book.update()
    slug, key = book.entries[0].slug, telling(book)
    with tempfile.TemporaryDirectory(prefix="sport-pictures-") as name, sync_playwright() as driver:
        folder = Path(name) / "copy"
        save(book, folder)
        root = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=[*ARGUMENTS, *root])
        page = browser.new_page(viewport={"width": 1440, "height": 1060})
        page.goto((folder / slug / "t" / f"{key}.html").as_uri())
        _keep(page.screenshot(), arguments.out / "trajectory.png")
        page.goto((folder / slug / "index.html").as_uri())
        curve = page.locator(".card:has(> svg)").first
        _keep(curve.screenshot(), arguments.out / "curve.png")
        browser.close()


def _keep(picture: bytes, file: Path) -> None:
    """Stores a picture with at most 128 colours: a third of the size, and nobody sees it."""
    with Image.open(io.BytesIO(picture)) as image:
        image.convert("RGB").quantize(128).save(file, optimize=True)


if __name__ == "__main__":
    main()
