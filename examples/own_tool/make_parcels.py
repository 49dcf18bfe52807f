"""Draws parcels, and asks how heavy they are: what only the tool ``weigh`` can tell.

Usage: ``python make_parcels.py [FOLDER]`` writes ``tasks.jsonl`` and ``images/`` to ``FOLDER``, by
default the one that this script lies in.
"""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path

from PIL import Image, ImageDraw

PARCELS = 12
BROWN = (92, 61, 34)


def main(folder: Path) -> None:
    """Writes the whole example to ``folder``."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    rng = random.Random(0)
    with (folder / "tasks.jsonl").open("w", encoding="utf-8") as tasks:
        for number in range(PARCELS):
            width, height = rng.randint(60, 240), rng.randint(50, 180)
            picture = Image.new("RGB", (320, 240), (240, 238, 230))
            left, top = (320 - width) // 2, 220 - height
            ImageDraw.Draw(picture).rectangle(
                (left, top, left + width - 1, top + height - 1), fill=BROWN
            )
            name = f"images/parcel_{number:02}.png"
            picture.save(folder / name)
            task = {
                "query": "How many grams does the parcel weigh?",
                "files": [name],
                "answer": width * height // 100,
                "tools": ["weigh"],
            }
            tasks.write(json.dumps(task) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
