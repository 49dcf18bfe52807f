"""How tools open pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError


class ImageError(ValueError):
    """A file is no picture that can be opened."""


def load_rgb(path: str | Path) -> NDArray[np.uint8]:
    """Opens a picture as it is meant to be seen: turned as its EXIF says, transparency on white.

    Returns:
        Pixels of shape ``(height, width, 3)``, RGB.

    Raises:
        ImageError: There is no such file, or it is not a whole picture.
    """
    try:
        with Image.open(path) as image:
            image.load()
            upright = ImageOps.exif_transpose(image)
    except FileNotFoundError:
        raise ImageError(f"There is no file {Path(path).name!r}.") from None
    except (OSError, SyntaxError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise ImageError(f"{Path(path).name!r} cannot be opened as a picture: {error}") from None
    if upright.has_transparency_data:
        upright = upright.convert("RGBA")
        white = Image.new("RGBA", upright.size, "white")
        upright = Image.alpha_composite(white, upright)
    return np.asarray(upright.convert("RGB"))
