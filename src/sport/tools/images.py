"""How tools open pictures, which may be of a candidate's making."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from sport.images import FORMATS, ImageError

_MOST_PIXELS = 40_000_000
"""Larger pictures would take the host's memory; a candidate can make them with one line."""


def load_rgb(path: Path) -> NDArray[np.uint8]:
    """Opens a picture as it is meant to be seen: turned as its EXIF says, transparency on white.

    Returns:
        Pixels of shape ``(height, width, 3)``, RGB.

    Raises:
        ImageError: The file is missing, is no whole picture, or is larger than 40 million pixels.
    """
    name = Path(path).name
    try:
        with Image.open(path, formats=FORMATS) as image:
            if image.width * image.height > _MOST_PIXELS:
                raise ImageError(
                    f"{name!r} has {image.width} x {image.height} pixels: scale it down to "
                    f"{_MOST_PIXELS // 1_000_000} million first"
                )
            upright = ImageOps.exif_transpose(image)
    except FileNotFoundError:
        raise ImageError(f"there is no picture {name!r}") from None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        if isinstance(error, ImageError):
            raise
        raise ImageError(f"{name!r} cannot be opened as a picture: {error}") from None
    if upright.has_transparency_data:
        upright = upright.convert("RGBA")
        upright = Image.alpha_composite(Image.new("RGBA", upright.size, "white"), upright)
    return np.asarray(upright.convert("RGB"))
