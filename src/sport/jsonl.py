"""Durable lines: JSONL files that only grow, and that survive being killed.

A line counts once its newline is on the disk. A last line without one is torn: readers ignore it,
and the writer cuts it off before it goes on, so what it held is owed again.
"""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_FORBIDDEN = frozenset({errno.EROFS, errno.EACCES, errno.EPERM})


class StoreError(RuntimeError):
    """The run folder cannot be read or written; says why and what would mend it."""


def explain(error: OSError, path: Path | str | None = None) -> str:
    """One sentence on an operating system's error: where, what, and the mend."""
    where = path or error.filename or "the run folder"
    if error.errno in _FULL:
        return (
            f"{where}: the disk is full. Free some space and start the same command again: "
            "what was finished is kept."
        )
    if error.errno in _FORBIDDEN:
        return (
            f"{where} cannot be written ({error.strerror}). Make it writable, or choose another "
            "folder with --out."
        )
    return f"{where}: {error.strerror or error}"


@contextmanager
def storing(path: Path) -> Iterator[None]:
    """Turns an operating system's error into a :class:`StoreError` that names ``path``."""
    try:
        yield
    except OSError as error:
        raise StoreError(explain(error, path)) from error


def read_lines(path: Path) -> Iterator[bytes]:
    """The whole lines of a file, without a torn last one; none if there is no file."""
    if not path.is_file():
        return
    with path.open("rb") as file:
        for line in file:
            if not line.endswith(b"\n"):
                return
            yield line


def append_lines(path: Path, lines: Iterable[str]) -> None:
    """Appends lines in one write, and returns once they are on the disk.

    Where the disk has no room for all of them, none is kept.

    Raises:
        StoreError: The disk is full, or the file cannot be written.
    """
    data = "".join(f"{line}\n" for line in lines).encode()
    with storing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        try:
            before = os.fstat(handle).st_size
            try:
                rest = memoryview(data)
                while rest:
                    rest = rest[os.write(handle, rest) :]
                os.fsync(handle)
            except OSError:
                # Where this fails too, the torn line is cut off when the file is next opened.
                with suppress(OSError):
                    os.ftruncate(handle, before)
                raise
        finally:
            os.close(handle)


def keep_lines(path: Path, count: int) -> None:
    """Cuts a file off after its first ``count`` whole lines."""
    if not path.is_file():
        return
    size = sum(len(line) for _, line in zip(range(count), read_lines(path), strict=False))
    if size < path.stat().st_size:
        with storing(path):
            os.truncate(path, size)


def mend(path: Path) -> None:
    """Cuts off a torn last line."""
    keep_lines(path, sum(1 for _ in read_lines(path)))


def sort_lines(path: Path, places: Sequence[int]) -> None:
    """Rewrites a file of whole lines in the order of their places; equal places keep theirs.

    A reader sees the old file or the new one, and lines are copied one at a time.
    """
    starts, position = [], 0
    for line in read_lines(path):
        starts.append(position)
        position += len(line)
    order = sorted(range(len(starts)), key=places.__getitem__)
    part = path.with_name(f".sorting-{path.name}")
    with storing(path), path.open("rb") as old, part.open("wb") as new:
        for index in order:
            old.seek(starts[index])
            new.write(old.readline())
        new.flush()
        os.fsync(new.fileno())
    with storing(path):
        os.replace(part, path)


def write_whole(path: Path, text: str) -> None:
    """Writes a file through a temporary neighbour: a reader sees all of it, or the old one."""
    with storing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".tmp-")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as out:
                out.write(text)
                out.flush()
                os.fsync(out.fileno())
            os.chmod(temporary, 0o644)
            os.replace(temporary, path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
