"""How one picture gets into a library: looked at before it is decoded, then stored."""

from __future__ import annotations

import warnings
from pathlib import Path

from PIL import Image

from sport.blobs import BlobStore
from sport.images import FORMATS, MAX_PIXELS, ImageError, ingest
from sport.library.hashing import dhash
from sport.library.records import Caption, Picture

_SUFFIXES = {
    "JPEG": (".jpg", ".jpeg", ".jfif"),
    "MPO": (".jpg", ".jpeg", ".mpo"),
    "PNG": (".png",),
    "WEBP": (".webp",),
    "GIF": (".gif",),
    "TIFF": (".tif", ".tiff"),
    "BMP": (".bmp",),
    "AVIF": (".avif",),
}


def take(path: Path, shown: str, original: str, caption: Caption, blobs: BlobStore) -> Picture:
    """Stores a picture and describes it.

    A library is filled from whole folders that nobody looked through, so what is odd is left out
    with its reason, where a picture that the user named one by one is converted.

    Args:
        path: The file.
        shown: What to call it in errors and reports.
        original: SHA-256 of its bytes.
        caption: What it shows.
        blobs: Where the bytes go.

    Raises:
        ImageError: It is unreadable, too large, animated, CMYK or misnamed.
    """
    _check_header(path, shown)
    file = ingest(path, "picture.png", blobs, MAX_PIXELS, shown)
    with Image.open(file.path) as image:
        width, height = image.size
        value = dhash(image)
    return Picture(file.sha256, original, shown, caption, width, height, value)


def _check_header(path: Path, shown: str) -> None:
    """Refuses what decodes well but is doubtful; the rest is for :func:`ingest` to tell."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Of size, which is judged when it is decoded.
            with Image.open(path, formats=FORMATS) as image:
                kind, mode = image.format or "", image.mode
    except Exception:  # Decoders fail in any way at all on broken bytes; `ingest` says in which.
        return
    if path.suffix.lower() not in _SUFFIXES[kind]:
        raise ImageError(
            f"{shown!r} is misnamed: by its content it is {kind}. Rename it to end in "
            f"{_SUFFIXES[kind][0]}, if it is what you think it is."
        )
    if mode == "CMYK":
        raise ImageError(
            f"{shown!r} is CMYK, for print, and its colours on a screen are a guess. Save it as "
            "RGB."
        )
