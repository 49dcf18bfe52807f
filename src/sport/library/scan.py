"""What lies in the folders that a library is filled from: pictures, each with its caption."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sport.images import is_picture
from sport.library.captions import CaptionError, collection, own_caption
from sport.library.records import Caption, LibraryError, Skipped

_CAPTIONS = (".json", ".txt")


@dataclass
class Scan:
    """What was found.

    Attributes:
        pictures: Each picture with a caption, in the order of the paths.
        bare: Each picture without one, with its source and licence where they are known.
        skipped: Files that are of no use, with the reason.
    """

    pictures: list[tuple[Path, Caption]] = field(default_factory=list)
    bare: list[tuple[Path, Caption]] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)


def scan(paths: Sequence[Path], without: Path) -> Scan:
    """Looks through folders, with all below them, and single pictures.

    Args:
        paths: Folders and pictures. Hidden files and folders are passed over.
        without: A folder that is passed over: that of the library itself.

    Raises:
        LibraryError: A path does not exist.
    """
    result = Scan()
    for path in paths:
        if path.is_dir():
            _Folder(list(_files(path, without.resolve())), result).read()
        elif path.is_file():
            beside = (path.with_suffix(suffix) for suffix in _CAPTIONS)
            _Folder([path, *(file for file in beside if file.is_file())], result).read()
        else:
            raise LibraryError(f"{path} does not exist. Name a picture or a folder of pictures.")
    return result


def _files(root: Path, without: Path) -> Iterator[Path]:
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith(".") and Path(folder, name).resolve() != without
        )
        yield from (Path(folder, name) for name in sorted(names) if not name.startswith("."))


class _Folder:
    """The files of one folder, told apart and matched."""

    def __init__(self, files: Sequence[Path], result: Scan) -> None:
        self._result = result
        self._pictures = [file for file in files if self._is_picture(file)]
        self._owners = {picture.with_suffix("") for picture in self._pictures}
        self._named: dict[str, list[Path]] = {}
        for picture in self._pictures:
            self._named.setdefault(picture.name, []).append(picture)
        seen = set(self._pictures) | {Path(skipped.path) for skipped in result.skipped}
        self._others = [file for file in files if file not in seen]

    def read(self) -> None:
        shared = self._shared_captions()
        for picture in self._pictures:
            files = {s: f for s in _CAPTIONS if (f := picture.with_suffix(s)).is_file()}
            try:
                own = own_caption(files)
            except CaptionError as error:
                self._skip(picture, f"its caption cannot be used: {error}.")
                continue
            other = shared.get(picture, Caption())
            caption = Caption(
                own.text or other.text, own.source or other.source, own.licence or other.licence
            )
            (self._result.pictures if caption.text else self._result.bare).append(
                (picture, caption)
            )

    def _is_picture(self, file: Path) -> bool:
        try:
            return is_picture(file)
        except OSError as error:
            self._skip(file, f"it cannot be read ({error.strerror}).")
            return False

    def _shared_captions(self) -> dict[Path, Caption]:
        """What files of many captions say; the first one that knows a picture wins."""
        found: dict[Path, Caption] = {}
        for file in self._others:
            if file.suffix.lower() in _CAPTIONS and file.with_suffix("") in self._owners:
                continue
            if file.suffix.lower() != ".json":
                self._skip(file, "it is no picture, and no caption of a picture beside it.")
                continue
            try:
                entries = collection(file)
            except CaptionError as error:
                self._skip(file, f"it {error}.")
                continue
            strangers = 0
            for name, caption in entries:
                picture = self._match(file, name)
                strangers += picture is None
                if picture is not None:
                    found.setdefault(picture, caption)
            if strangers:
                self._skip(
                    file, f"{strangers} of its {len(entries)} captions fit no picture here, or two."
                )
        return found

    def _match(self, file: Path, name: str) -> Path | None:
        """The picture that a file of captions means: the one whose path ends most like it."""
        wanted = Path(name)
        candidates = self._named.get(wanted.name, [])
        beside = file.parent / wanted
        if beside in candidates:
            return beside
        alike = [_common_end(candidate, wanted) for candidate in candidates]
        best = [c for c, count in zip(candidates, alike, strict=True) if count == max(alike)]
        return best[0] if len(best) == 1 else None

    def _skip(self, path: Path, reason: str) -> None:
        self._result.skipped.append(Skipped(str(path), reason))


def _common_end(a: Path, b: Path) -> int:
    """In how many last parts two paths agree."""
    count = 0
    for left, right in zip(reversed(a.parts), reversed(b.parts), strict=False):
        if left != right:
            break
        count += 1
    return count
