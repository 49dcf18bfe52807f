"""A tool of one's own: a function with types and a docstring is all that is needed."""

from pathlib import Path

from PIL import Image


def weigh(image_path: Path) -> int:
    """Weighs the parcel in the picture, in grams."""
    return Image.open(image_path).convert("L").point(lambda grey: grey < 128).histogram()[1] // 100
