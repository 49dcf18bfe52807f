"""Workspaces: copying them, listing what changed, removing them.

Untrusted code wrote into these folders. Nothing here follows a symlink, and nothing recurses: a
folder may nest deeper than Python's stack. The processes that could change a folder are stopped
while it is copied or listed.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sport.sandbox import gil_io
from sport.types import ProducedFile

MOST_ENTRIES = 20_000
DEEPEST = 40

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_BLOCK = 1 << 20

Stamp = tuple[int, int, int, int]
Listing = dict[str, Stamp]
"""Stamps of regular files by path: two are equal only if the file was not touched."""


class TooLarge(Exception):
    """A workspace has too many entries, or nests too deeply."""


@dataclass(frozen=True)
class _Entry:
    path: str
    name: str
    folder: int
    stat: gil_io.Status


def _walk(root: str) -> Iterator[_Entry]:
    """Every entry below ``root``, folders before what they hold; yields an open descriptor of the
    folder that it is in, for use until the next one.
    """  # noqa: D205
    pending = [""]
    seen = 0
    while pending:
        prefix = pending.pop()
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            folder = _open_folder(root, prefix)
            try:
                for name in sorted(gil_io.names(".", folder)):
                    with contextlib.suppress(FileNotFoundError):
                        status = gil_io.status(name, folder, follow=False)
                        path = f"{prefix}{name}"
                        seen += 1
                        if seen > MOST_ENTRIES or path.count("/") > DEEPEST:
                            raise TooLarge
                        yield _Entry(path, name, folder, status)
                        if stat.S_ISDIR(status.st_mode):
                            pending.append(path + "/")
            finally:
                gil_io.close(folder)


def _open_folder(root: str, prefix: str) -> int:
    folder = gil_io.open(root, _FOLDER)
    for part in prefix.split("/")[:-1]:
        try:
            deeper = _forced(part, _FOLDER, folder, 0o700)
        finally:
            gil_io.close(folder)
        folder = deeper
    return folder


def _forced(name: str, flags: int, folder: int, mode: int) -> int:
    """Opens, if need be after taking back a mode that shuts us out."""
    try:
        return gil_io.open(name, flags, folder)
    except PermissionError:
        os.chmod(name, mode, dir_fd=folder)
        return gil_io.open(name, flags, folder)


def _stamp(status: os.stat_result | gil_io.Status) -> Stamp:
    return (status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def copy_workspace(source: str, target: str) -> Listing:
    """Copies a workspace to a folder that does not exist yet; symlinks stay symlinks.

    Returns:
        The listing of the copy.

    Raises:
        TooLarge: There are too many entries.
    """
    os.mkdir(target)
    listing: Listing = {}
    for entry in _walk(source):
        path = f"{target}/{entry.path}"
        kind = entry.stat.st_mode
        if stat.S_ISDIR(kind):
            os.mkdir(path)
        elif stat.S_ISLNK(kind):
            os.symlink(os.readlink(entry.name, dir_fd=entry.folder), path)
        elif stat.S_ISREG(kind):
            listing[entry.path] = _copy_file(entry, path)
    return listing


def _copy_file(entry: _Entry, path: str) -> Stamp:
    source = _forced(entry.name, _FILE, entry.folder, 0o600)
    try:
        target = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        try:
            if entry.stat.st_size < _BLOCK:
                os.write(target, os.read(source, _BLOCK))
            else:
                _copy_large(source, target)
            os.utime(target, ns=(entry.stat.st_atime_ns, entry.stat.st_mtime_ns))
            return _stamp(os.fstat(target))
        finally:
            os.close(target)
    finally:
        os.close(source)


def _copy_large(source: int, target: int) -> None:
    """In the kernel, and without copying at all where the file system can."""
    try:
        while os.copy_file_range(source, target, 1 << 30):
            pass
    except OSError:
        os.lseek(source, 0, os.SEEK_SET)
        os.lseek(target, 0, os.SEEK_SET)
        with open(source, "rb", closefd=False) as a, open(target, "wb", closefd=False) as b:
            shutil.copyfileobj(a, b, _BLOCK)


def import_folder(source: Path, target: str) -> int:
    """Copies the user's folder in; their symlinks are followed. Returns its size in bytes."""
    shutil.copytree(source, target, symlinks=False, ignore_dangling_symlinks=True)
    return size_of(target)


def size_of(root: str) -> int:
    """Bytes that a folder takes on the disk, each entry counted as one block at least.

    Raises:
        TooLarge: There are too many entries to count.
    """
    return sum(max(entry.stat.st_blocks * 512, 4096) for entry in _walk(root))


def produced(root: str, before: Listing) -> tuple[ProducedFile, ...]:
    """The regular files that were created or changed since ``before``, by path.

    Hidden ones are left out: they are caches and settings of libraries, not products.

    Raises:
        TooLarge: There are too many entries.
    """
    found = []
    for entry in _walk(root):
        if "/." in f"/{entry.path}" or not stat.S_ISREG(entry.stat.st_mode):
            continue
        if before.get(entry.path) != _stamp(entry.stat):
            file = _forced(entry.name, _FILE, entry.folder, 0o600)
            with open(file, "rb") as content:
                digest = hashlib.file_digest(content, "sha256").hexdigest()
            path = entry.path.encode("utf-8", "replace").decode()
            found.append(ProducedFile(path=path, size=entry.stat.st_size, sha256=digest))
    return tuple(sorted(found, key=lambda f: f.path))


def remove(root: str) -> None:
    """Removes a folder, however deep and with whatever modes; missing ones are fine."""
    with contextlib.suppress(RecursionError):
        shutil.rmtree(root, onerror=_ignore)
    while os.path.isdir(root) and not os.path.islink(root):
        _flatten(root)
        os.rmdir(root)


def _ignore(function: object, path: str, info: object) -> None:
    """What plain removal could not do is done by :func:`_flatten`."""


def _flatten(root: str) -> None:
    """Empties a folder level by level: subfolders move up before they are emptied."""
    counter = 0
    while names := os.listdir(root):
        for name in names:
            path = f"{root}/{name}"
            if not os.path.isdir(path) or os.path.islink(path):
                os.unlink(path)
                continue
            os.chmod(path, 0o700)
            for inner in os.listdir(path):
                if os.path.isdir(f"{path}/{inner}") and not os.path.islink(f"{path}/{inner}"):
                    os.chmod(f"{path}/{inner}", 0o700)
                    counter += 1
                    os.rename(f"{path}/{inner}", f"{root}/.{counter}")
                else:
                    os.unlink(f"{path}/{inner}")
            os.rmdir(path)
