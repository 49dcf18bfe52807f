"""Copies ten ordinary photographs out of scikit-image and scikit-learn, and asks about each.

Only pictures that come inside these packages are used: nothing is downloaded.

Usage: ``python make_photographs.py [FOLDER]`` writes ``tasks.jsonl`` and ``images/`` to
``FOLDER``, by default the one that this script lies in.
"""

from __future__ import annotations

import json
import sys
from importlib import resources
from pathlib import Path

SKIMAGE, SKLEARN = "skimage.data", "sklearn.datasets.images"
PHOTOGRAPHS: tuple[tuple[str, str, str, str | int], ...] = (
    (SKIMAGE, "astronaut.png", "How many people are in the picture?", 1),
    (SKIMAGE, "camera.png", "What is the man looking through?", "camera"),
    (SKIMAGE, "chelsea.png", "Which animal is in the picture?", "cat"),
    (SKIMAGE, "coffee.png", "How many cups are on the table?", 1),
    (SKIMAGE, "coins.png", "How many coins are in the picture?", 24),
    (SKIMAGE, "horse.png", "Which animal's outline is this?", "horse"),
    (SKIMAGE, "motorcycle_left.png", "What colour is the motorcycle?", "red"),
    (SKIMAGE, "rocket.jpg", "What stands on the launch pad?", "rocket"),
    (SKLEARN, "china.jpg", "In which country does this building stand?", "China"),
    (SKLEARN, "flower.jpg", "What colour is the flower?", "orange"),
)
"""Package, file, query and answer."""


def main(folder: Path) -> None:
    """Writes the whole example to ``folder``."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    with (folder / "tasks.jsonl").open("w", encoding="utf-8") as tasks:
        for package, name, query, answer in PHOTOGRAPHS:
            data = (resources.files(package) / name).read_bytes()
            (folder / "images" / name).write_bytes(data)
            task = {
                "id": Path(name).stem,
                "query": query,
                "files": [f"images/{name}"],
                "answer": answer,
            }
            tasks.write(json.dumps(task) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
