"""Pictures that tools make, given back as files in memory."""

from __future__ import annotations

import io
from pathlib import Path
from typing import cast

from PIL import Image

from sport.tools.values import MadeFile


def made_png(image: Image.Image, name: str) -> Path:
    """A picture as a PNG that becomes a file of the candidate's workspace.

    Args:
        image: The picture.
        name: Its name there, such as ``mask.png``; a free one near it is taken.
    """
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=1)
    # A tool's signature calls a file that it makes a Path; no file of the host need stand for it.
    return cast(Path, MadeFile(name, buffer.getvalue()))
