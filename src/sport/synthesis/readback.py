"""What untrusted code made is looked at before it is taken in: is it what its suffix says?

Nothing is unpacked to the disk, nothing beyond fixed bounds is decoded, and no library that could
have made the file takes part.
"""

from __future__ import annotations

import re
import struct

from sport.synthesis.office import MAIN_PARTS, check_office
from sport.synthesis.unfit import Unfit

MAX_BYTES = 20 << 20
"""Largest file that is taken: what a task's reader can look through is far smaller."""

MAX_PIXELS = 40_000_000
"""Largest area of a picture, which is decoded in this process."""

_PNG = b"\x89PNG\r\n\x1a\n"
_ESCAPED = re.compile(rb"#([0-9A-Fa-f]{2})")
_ACTIVE = re.compile(
    rb"/(JavaScript|Launch|OpenAction|EmbeddedFiles?|RichMedia|Rendition|SubmitForm|ImportData"
    rb"|GoToR|GoToE|XFA)\b"
)
_UNSEEN = re.compile(rb"/(ObjStm|Encrypt)\b")


def check(data: bytes, suffix: str) -> None:
    """Checks the bytes of a file that was made.

    Args:
        data: They, of at most :data:`MAX_BYTES`.
        suffix: What they are to be: ``.png``, ``.pdf``, ``.xlsx``, ``.docx``, ``.pptx``, ``.csv``
            or ``.txt``.

    Raises:
        Unfit: They are something else, too much, or would do more than show something.
    """
    if not data:
        raise Unfit("empty file", "the file is empty")
    if suffix in MAIN_PARTS:
        check_office(data, suffix)
    else:
        _CHECKS[suffix](data)


def _check_png(data: bytes) -> None:
    if not data.startswith(_PNG) or data[12:16] != b"IHDR" or len(data) < 33:
        raise Unfit("wrong kind of file", "the file is called .png, but is no PNG")
    width, height = struct.unpack(">II", data[16:24])
    if width * height > MAX_PIXELS:
        raise Unfit(
            "too large",
            f"the picture has {width:,} x {height:,} pixels: make it at most 2000 wide and high",
        )


def _check_pdf(data: bytes) -> None:
    if not data.startswith(b"%PDF-") or b"%%EOF" not in data[-1024:]:
        raise Unfit("wrong kind of file", "the file is called .pdf, but is no whole PDF")
    # A name may be written with escapes, as /J#61vaScript. Streams are searched like all else:
    # where they begin and end is for their author to say.
    plain = _ESCAPED.sub(lambda found: bytes([int(found[1], 16)]), data)
    if found := _ACTIVE.search(plain):
        raise Unfit("active content", f"the PDF has /{found[1].decode()}: it may only show things")
    if found := _UNSEEN.search(plain):
        raise Unfit(
            "active content",
            f"the PDF has /{found[1].decode()}, which hides what is in it: write it with reportlab",
        )


def _check_text(data: bytes) -> None:
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Unfit("wrong kind of file", f"the text is not UTF-8 ({error.reason})") from None
    if "\0" in text:
        raise Unfit("wrong kind of file", "the text holds null characters")
    if not text.strip():
        raise Unfit("empty file", "the file holds nothing but blanks")


_CHECKS = {".png": _check_png, ".pdf": _check_pdf, ".csv": _check_text, ".txt": _check_text}
