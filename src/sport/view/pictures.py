"""Pictures by their content hash: the only way from an address to bytes of a run."""

from __future__ import annotations

import re

from sport.blobs import BlobError
from sport.store import Run
from sport.types import File

_DIGEST = re.compile(r"[0-9a-f]{64}")
_TYPES = (
    (b"\x89PNG\r\n\x1a\n", "image/png", "png"),
    (b"\xff\xd8\xff", "image/jpeg", "jpg"),
    (b"GIF8", "image/gif", "gif"),
)


def picture(run: Run, sha256: str) -> tuple[bytes, str] | None:
    """A picture's bytes and type; ``None`` for whatever is no picture of the run.

    The type is that of the bytes, not the one that somebody claimed: a browser runs nothing in it.
    """
    if not _DIGEST.fullmatch(sha256):
        return None
    try:
        data = run.blobs.read(File(name="picture", sha256=sha256, media_type=""))
    except BlobError:
        return None
    kind = _kind(data)
    return None if kind is None else (data, kind[0])


def extension(data: bytes) -> str | None:
    """The extension of a picture's file name; ``None`` for what is no picture."""
    kind = _kind(data)
    return None if kind is None else kind[1]


def _kind(data: bytes) -> tuple[str, str] | None:
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp", "webp"
    return next((kind[1:] for kind in _TYPES if data.startswith(kind[0])), None)
