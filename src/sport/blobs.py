"""Content-addressed bytes: where the files of tasks and observations lie.

A blob lives at ``<folder>/<first two hex digits>/<sha256>``. Its name is its content, so writing
it twice is harmless, and many processes may write the same one at the same time.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path

from sport.types import File


class BlobError(RuntimeError):
    """A blob is missing or its bytes are not those that its address promises."""


class BlobStore:
    """A folder of content-addressed bytes."""

    def __init__(self, folder: Path) -> None:
        """Opens a store at ``folder``, which is created when the first blob is put."""
        self.folder = Path(folder).absolute()

    def put(self, data: bytes, name: str, media_type: str, source: str = "") -> File:
        """Stores bytes and returns the record that points at them.

        Args:
            data: The bytes.
            name: File name in the workspace, such as ``image_0.png``.
            media_type: Such as ``image/png``.
            source: What the user called it, for reports.
        """
        digest = hashlib.sha256(data).hexdigest()
        file = File(
            name=name, sha256=digest, media_type=media_type, source=source, blobs=self.folder
        )
        # A blob of the right length is whole: it was renamed into place after it was written.
        if not (file.path.is_file() and file.path.stat().st_size == len(data)):
            _write_atomically(file.path, data)
        return file

    def read(self, file: File) -> bytes:
        """The bytes of a file, checked against its address.

        Raises:
            BlobError: The blob is missing, or was changed on the disk.
        """
        path = self.folder / file.sha256[:2] / file.sha256
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            raise BlobError(
                f"The bytes of {file.source or file.name!r} are missing: there is no {path}. "
                "Put the run's blobs folder back, or start the run anew."
            ) from None
        if hashlib.sha256(data).hexdigest() != file.sha256:
            raise BlobError(
                f"The bytes of {file.source or file.name!r} in {path} were changed on the disk. "
                "Delete that file and start the run anew."
            )
        return data


def _write_atomically(path: Path, data: bytes) -> None:
    """Writes through a temporary neighbour, so that a reader sees all of it or nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".tmp-")
    try:
        with os.fdopen(handle, "wb") as out:
            out.write(data)
            out.flush()
            os.fsync(out.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
