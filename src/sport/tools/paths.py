"""Opening, reading and adding files of a workspace that untrusted code has written to.

Every component of a path is opened in turn, relative to the folder before it and without following
symlinks, so neither ``..``, nor a symlink, nor one that is swapped in while we look leads outside.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
from pathlib import Path, PurePosixPath

SHOWN = PurePosixPath("/workspace")
"""What a candidate sees as the path of its workspace."""

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def relative(workspace: Path, path: str) -> PurePosixPath:
    """The path below the workspace that ``path`` means.

    Accepts what a candidate may write: a relative path, ``/workspace/x``, or the host's own
    absolute path of the workspace.

    Raises:
        PermissionError: The path leaves the workspace.
    """
    if not path or "\0" in path:
        raise FileNotFoundError(f"{path!r} is no file name: give the name of a workspace file")
    pure = PurePosixPath(path)
    for root in (SHOWN, PurePosixPath(workspace)):
        if pure.is_relative_to(root):
            pure = pure.relative_to(root)
            break
    parts: list[str] = []
    for part in pure.parts:
        if part == ".." and parts:
            parts.pop()
        elif part in ("..", "/"):
            raise PermissionError(
                f"{path!r} is outside the workspace: only files in it can be used"
            )
        else:
            parts.append(part)
    return PurePosixPath(*parts)


def open_file(workspace: Path, path: str) -> int:
    """Opens a regular file of the workspace for reading; returns a descriptor that is yours.

    Raises:
        FileNotFoundError: There is no such file; names the files that are there.
        PermissionError: It is outside of the workspace, or a symlink.
        IsADirectoryError: It is a folder.
    """
    inside = relative(workspace, path)
    folder = os.open(workspace, _FOLDER)
    try:
        for part in inside.parts[:-1]:
            deeper = os.open(part, _FOLDER, dir_fd=folder)
            os.close(folder)
            folder = deeper
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        file = os.open(inside.name or ".", flags, dir_fd=folder)
    except OSError as error:
        raise _explained(error, workspace, path) from None
    finally:
        os.close(folder)
    if stat.S_ISREG(os.fstat(file).st_mode):
        return file
    os.close(file)
    raise IsADirectoryError(f"{path!r} is not a file: give the path of a file")


def _explained(error: OSError, workspace: Path, path: str) -> OSError:
    if error.errno in (errno.ELOOP, errno.ENOTDIR):
        return PermissionError(f"{path!r} goes through a symlink or a file: give its real path")
    if error.errno == errno.ENOENT:
        here = sorted(entry.name for entry in os.scandir(workspace))[:10]
        there = f"files here: {', '.join(here)}" if here else "the workspace is empty"
        return FileNotFoundError(f"there is no file {path!r}; {there}")
    return OSError(error.errno, f"{path!r} cannot be opened: {error.strerror}")


def read_file(workspace: Path, path: str) -> bytes:
    """The bytes of a file of the workspace; errors as :func:`open_file`."""
    with open(open_file(workspace, path), "rb") as file:
        return file.read()


def add_file(workspace: Path, name: str, source: Path | bytes) -> str:
    """Copies a file into the workspace, under ``name`` or one near it that is free.

    Returns:
        Its path, relative to the workspace.
    """
    stem, suffix = PurePosixPath(name).stem, PurePosixPath(name).suffix
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    folder = os.open(workspace, _FOLDER)
    try:
        for number in range(10_000):
            free = f"{stem}_{number}{suffix}" if number else f"{stem}{suffix}"
            try:
                target = os.open(free, flags, 0o644, dir_fd=folder)
            except FileExistsError:
                continue
            with open(target, "wb") as out:
                if isinstance(source, bytes):
                    out.write(source)
                else:
                    with source.open("rb") as file:
                        shutil.copyfileobj(file, out)
            return free
    finally:
        os.close(folder)
    raise FileExistsError(f"the workspace holds too many files named like {name!r}")
