"""Where a picture enters: once, checked, upright, RGB and small enough.

Everything after this point (policies, verifiers, tuners, tools) sees the same bytes: a PNG in
sRGB without metadata, so that no place where a photograph was taken travels with it either.
"""

from __future__ import annotations

import io
import math
import re
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError
from PIL.TiffImagePlugin import TiffImageFile

from sport.blobs import BlobStore
from sport.types import File

MAX_PIXELS = 2_000_000
"""Area to which larger pictures are scaled down unless a recipe says otherwise: about 1630 x 1220,
at which a photographed page is still readable."""

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "AVIF")
"""What is read, by content, whatever the file is called. JPEG includes MPO, in which phones put a
depth map or a preview behind the picture."""

SUFFIXES = frozenset(
    ".jpg .jpeg .jfif .mpo .png .webp .gif .tif .tiff .bmp .avif .heic .heif".split()
)
"""File names that promise a picture."""

_SIGNATURES = (
    rb"\xff\xd8\xff",  # JPEG
    rb"\x89PNG\r\n\x1a\n",
    rb"GIF8[79]a",
    rb"RIFF....WEBP",
    rb"II[*+]\0|MM\0[*+]",  # TIFF
    rb"BM....\0\0\0\0",  # BMP; the reserved zeros tell it from a text that begins with "BM"
    rb"....ftyp(avif|avis|hei[cxm]|hevc|mif1|msf1)",
)
_NEW_SUBFILE_TYPE = 254
_HEIC = rb"....ftyp(hei[cxm]|hevc|mif1|msf1)"


class ImageError(ValueError):
    """A picture cannot be taken in. The message names the file and the mend."""


def ingest(
    path: Path, name: str, blobs: BlobStore, max_pixels: int = MAX_PIXELS, source: str = ""
) -> File:
    """Reads a picture, makes it upright RGB of at most ``max_pixels``, and stores it as a PNG.

    The EXIF rotation is applied; transparency is laid over white; CMYK, palettes, grey and 16-bit
    values become 8-bit sRGB, by the embedded colour profile where there is one. A picture that is
    small enough keeps its size.

    Args:
        path: The picture: JPEG, PNG, WebP, GIF, TIFF, BMP or AVIF by content.
        name: Its name in the workspace, such as ``image_0.png``.
        blobs: Where the bytes go.
        max_pixels: Largest area (width times height).
        source: What to call it in errors and reports; the path if empty.

    Raises:
        ImageError: The file is missing, empty, broken, truncated, no picture, too large to decode,
            or holds several pictures.
    """
    if max_pixels < 1:
        raise ImageError(f"max_pixels must be at least 1, not {max_pixels}.")
    source = source or str(path)
    _check_file(path, source)
    try:
        with _bombs_are_errors(), Image.open(path, formats=FORMATS) as image:
            _check_single(image, source)
            _turn_upright(image)
            # Shrunk before its colours are converted: a large one is not held several times over.
            picture = _to_rgb(_shrink(_to_8_bits(image, source), max_pixels))
    except ImageError:
        raise
    except UnidentifiedImageError:
        raise ImageError(f"{source!r} {_what_instead(path)}") from None
    except Image.DecompressionBombError:
        raise ImageError(
            f"{source!r} is larger than 178 million pixels, which is either a trap or too much "
            "memory. Scale it down first."
        ) from None
    except MemoryError:
        raise ImageError(f"{source!r} does not fit into memory. Scale it down first.") from None
    except Exception as error:  # Decoders fail in any way at all on broken bytes; all is told.
        raise ImageError(
            f"{source!r} is a broken or truncated picture ({type(error).__name__}: {error}). "
            "Open and save it anew, or copy it again from where it came."
        ) from error
    buffer = io.BytesIO()
    # Level 1 takes a third of the time of the default, for photographs 7 % larger. A profile would
    # tell when it was made, and give equal pictures other bytes every second.
    picture.save(buffer, "PNG", compress_level=1, icc_profile=None)
    return blobs.put(buffer.getvalue(), name, "image/png", source)


def is_picture(path: Path) -> bool:
    """Whether a file is a picture by its first bytes, or claims to be one by its name.

    One that only claims it is an error for :func:`ingest` to tell.
    """
    if path.suffix.lower() in SUFFIXES:
        return True
    with path.open("rb") as file:
        start = file.read(16)
    return any(re.match(signature, start, re.DOTALL) for signature in _SIGNATURES)


@contextmanager
def _bombs_are_errors() -> Iterator[None]:
    """Leaves Pillow's error beyond 178 million pixels, without its warning beyond 89 million."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _check_file(path: Path, source: str) -> None:
    try:
        if not path.exists():
            raise ImageError(f"{source!r} does not exist. Check its name, or add the file.")
        if not path.is_file():
            raise ImageError(f"{source!r} is not a file. Name the picture itself.")
        if path.stat().st_size == 0:
            raise ImageError(f"{source!r} is empty. Copy it again from where it came.")
        with path.open("rb"):
            pass
    except OSError as error:
        raise ImageError(
            f"{source!r} cannot be read ({error.strerror}). Check its name and permissions."
        ) from error


def _what_instead(path: Path) -> str:
    with path.open("rb") as file:
        start = file.read(16)
    if re.match(_HEIC, start, re.DOTALL):
        return "is a HEIC picture, which cannot be read here. Save it as JPEG or PNG."
    return "is not a picture that can be read. Save it as JPEG, PNG or WebP."


def _check_single(image: Image.Image, source: str) -> None:
    # What comes after the first picture of an MPO is a preview or a depth map, not content.
    frames = getattr(image, "n_frames", 1)
    if frames > 1 and image.format != "MPO":
        raise ImageError(
            f"{source!r} holds {frames} pictures (an animation, or pages). "
            "Save those that you mean as one file each."
        )
    if isinstance(image, TiffImageFile) and image.tag_v2.get(_NEW_SUBFILE_TYPE, 0) & 1:
        raise ImageError(
            f"{source!r} is a camera's raw file, of which only the preview could be read. "
            "Export it as JPEG or PNG."
        )


def _turn_upright(image: Image.Image) -> None:
    image.load()
    try:
        ImageOps.exif_transpose(image, in_place=True)
    except (SyntaxError, ValueError, KeyError, TypeError, struct.error):
        # Unreadable metadata says nothing about the pixels; viewers show such a picture as it is.
        return


def _to_8_bits(image: Image.Image, source: str) -> Image.Image:
    """The picture in a mode that can be resized."""
    if image.mode in ("I", "F"):
        raise ImageError(
            f"{source!r} stores numbers of 32 bits, which do not say what is black and what is "
            "white. Save it with 8 or 16 bits a channel."
        )
    if image.mode.startswith("I;16"):
        # Pillow's own conversion clips at 255 instead of scaling.
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.has_transparency_data or image.mode in ("La", "RGBa"):
        return image.convert("RGBA")
    return image if image.mode in ("L", "RGB", "CMYK") else image.convert("RGB")


def _to_rgb(image: Image.Image) -> Image.Image:
    profile = image.info.get("icc_profile")
    if image.mode == "RGBA":
        white = Image.new("RGBA", image.size, (255, 255, 255, 255))
        image = Image.alpha_composite(white, image).convert("RGB")
    if profile and image.mode in ("RGB", "CMYK"):
        return _to_srgb(image, profile)
    return image.convert("RGB")


def _to_srgb(image: Image.Image, profile: bytes) -> Image.Image:
    try:
        converted = ImageCms.profileToProfile(
            image,
            ImageCms.ImageCmsProfile(io.BytesIO(profile)),
            ImageCms.createProfile("sRGB"),
            outputMode="RGB",
        )
    except (ImageCms.PyCMSError, OSError):
        # A broken or foreign profile: the plain conversion is what viewers show.
        converted = None
    return converted if converted is not None else image.convert("RGB")


def _shrink(image: Image.Image, max_pixels: int) -> Image.Image:
    width, height = image.size
    scale = math.sqrt(max_pixels / (width * height))
    if scale >= 1:
        return image
    size = (max(1, int(width * scale)), max(1, int(height * scale)))
    if size[0] * size[1] > max_pixels:  # A strip one pixel wide cannot keep its proportions.
        size = (min(size[0], max_pixels), min(size[1], max_pixels))
    return image.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)
