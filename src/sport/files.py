"""A user's files on their way into a task: pictures by :mod:`sport.images`, others as they are."""

from __future__ import annotations

import difflib
import mimetypes
import os
import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path

from sport.blobs import BlobStore
from sport.images import MAX_PIXELS, ImageError, ingest, is_picture
from sport.types import File

MAX_BYTES = 256 * 2**20
"""Largest file that is no picture: every candidate works on a copy of its own."""

_TYPES = mimetypes.MimeTypes()  # The table of Python itself: the same on every machine.
_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]+://|data:", re.IGNORECASE)
_SHOWN = 120
_LONGEST_NAME = 100


class FileError(ValueError):
    """A file cannot be taken in. The message names it and the mend."""


class Intake:
    """Takes the files of many tasks in; a file that several tasks share is read once."""

    def __init__(
        self, root: Path, blobs: BlobStore, max_pixels: int = MAX_PIXELS, *, confined: bool = True
    ) -> None:
        """Opens an intake.

        Args:
            root: Folder that relative names start from.
            blobs: Where the bytes go.
            max_pixels: Area to which larger pictures are scaled down.
            confined: Whether files that are no pictures must lie below ``root``. A list of tasks
                from elsewhere must not carry ``~/.ssh/id_rsa`` to a model; a picture is decoded
                first, so nothing else passes as one.
        """
        self._root = root
        self._blobs = blobs
        self._max_pixels = max_pixels
        self._confined = confined
        self._seen: dict[Path, File] = {}

    def take(self, names: Sequence[str]) -> tuple[tuple[File, ...], list[str]]:
        """Takes the files of one task in, in order.

        Pictures are called ``image_0.png``, ``image_1.png``, …; others keep their own names, made
        safe, with a number where two would clash.

        Returns:
            The files, and one sentence on each that could not be had.
        """
        files: list[File] = []
        problems: list[str] = []
        for name in names:
            try:
                file = self._take_one(name)
            except (FileError, ImageError) as error:
                problems.append(str(error))
                continue
            files.append(file.model_copy(update={"name": _name_among(files, file), "source": name}))
        return tuple(files), problems

    def _take_one(self, name: str) -> File:
        path = self._locate(name)
        if path not in self._seen:
            try:
                self._seen[path] = self._read(path, name)
            except OSError as error:
                raise FileError(
                    f"{_shown(name)} cannot be read ({error.strerror or error}). "
                    "Check its name and permissions."
                ) from error
        return self._seen[path]

    def _read(self, path: Path, name: str) -> File:
        if is_picture(path):
            return ingest(path, "picture", self._blobs, self._max_pixels, source=_bare(name))
        media_type = _TYPES.guess_type(path.name)[0] or "application/octet-stream"
        if media_type.startswith("image/"):
            raise FileError(
                f"{_shown(name)} is a kind of picture that is not read. Save it as PNG."
            )
        if self._confined and not path.is_relative_to(self._root.resolve()):
            raise FileError(
                f"{_shown(name)} lies outside the folder of the tasks. Copy it there: only "
                "pictures may come from elsewhere."
            )
        size = path.stat().st_size
        if size == 0:
            raise FileError(f"{_shown(name)} is empty. Copy it again from where it came.")
        if size > MAX_BYTES:
            raise FileError(
                f"{_shown(name)} has {size / 2**20:.0f} MiB, and every candidate gets a copy: at "
                f"most {MAX_BYTES // 2**20} MiB are taken. Cut out what the task needs."
            )
        return self._blobs.put(path.read_bytes(), path.name, media_type, name)

    def _locate(self, name: str) -> Path:
        """The file behind a name, with links resolved."""
        if _ADDRESS.match(name):
            raise FileError(
                f"{_shown(name)} is an address, and nothing is downloaded. Save the file beside "
                "the tasks and give its path."
            )
        try:
            path = (self._root / name).resolve()
            if path.is_file():
                return path
            exists = path.exists()
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or error
            raise FileError(
                f"{_shown(name)} is no path that can be read ({why}). Check its name."
            ) from None
        if exists:
            raise FileError(f"{_shown(name)} is not a file. Name the file itself.")
        raise FileError(f"{_shown(name)} does not exist.{self._nearest(name)}")

    def _nearest(self, name: str) -> str:
        folder = (self._root / name).parent
        try:
            known = os.listdir(folder)
        except OSError:
            return f" There is no folder {str(folder)!r}."
        close = difflib.get_close_matches(Path(name).name, known, n=1, cutoff=0.6)
        hint = f" Did you mean {str(Path(name).parent / close[0])!r}?" if close else ""
        return hint or f" Check its name, or add it to {str(folder)!r}."


def take_files(names: Sequence[str], blobs: BlobStore, max_pixels: int) -> tuple[File, ...]:
    """Takes files in that the user names directly, relative to the working directory.

    Raises:
        FileError: All that could not be had, one line each.
    """
    files, problems = Intake(Path.cwd(), blobs, max_pixels, confined=False).take(names)
    if problems:
        raise FileError("\n".join(problems))
    return files


def safe_name(name: str) -> str:
    """A file name that means the same to a shell, a prompt and a person.

    Letters and digits of any language, dots, hyphens and underscores stay; anything else becomes
    an underscore.
    """
    cleaned = re.sub(r"[^\w.-]+", "_", unicodedata.normalize("NFC", name)).lstrip(".-") or "file"
    stem, suffix = os.path.splitext(cleaned)
    return stem[: _LONGEST_NAME - len(suffix[:20])] + suffix[:20]


def _name_among(files: Sequence[File], file: File) -> str:
    """The name of a file in a workspace that holds others already."""
    if file.is_image:
        return f"image_{sum(f.is_image for f in files)}.png"
    taken = {f.name.casefold() for f in files}
    stem, suffix = os.path.splitext(safe_name(file.name))
    name, number = stem + suffix, 0
    while name.casefold() in taken:
        number += 1
        name = f"{stem}_{number}{suffix}"
    return name


def _bare(name: str) -> str:
    return name if len(name) <= _SHOWN else f"{name[: _SHOWN // 2]}…{name[-_SHOWN // 2 :]}"


def _shown(name: str) -> str:
    return repr(_bare(name))
