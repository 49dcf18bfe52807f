"""Looks at files and folders that keep the interpreter's lock. Standard library only.

Python gives that lock up around every system call, and a thread that wants it back beside busy
Python code waits 5 ms each time. The watcher makes a hundred calls in a millisecond or two: beside
a busy host these took half a second, in which a candidate could do what it liked. All this is for
files of the kernel and of memory, which are there at once.
"""

from __future__ import annotations

import ctypes
import os
from ctypes import c_char_p, c_int, c_int64, c_size_t, c_ssize_t, c_uint, c_uint32, c_uint64
from typing import NamedTuple

_libc = ctypes.PyDLL(None, use_errno=True)
_BLOCK = 1 << 16
_HERE = -100  # AT_FDCWD
_NO_FOLLOW, _BASIC = 0x100, 0x7FF  # AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS


class _Named(ctypes.Structure):
    """``struct dirent`` of 64-bit Linux."""

    _fields_ = (
        ("inode", c_uint64),
        ("offset", c_int64),
        ("length", ctypes.c_uint16),
        ("kind", ctypes.c_uint8),
        ("name", ctypes.c_char * 256),
    )


class _Time(ctypes.Structure):
    """``struct statx_timestamp``."""

    _fields_ = (("s", c_int64), ("ns", c_uint32), ("reserved", ctypes.c_int32))


class _Statx(ctypes.Structure):
    """``struct statx``, the same on every machine."""

    _fields_ = (
        ("mask", c_uint32),
        ("block", c_uint32),
        ("attributes", c_uint64),
        ("links", c_uint32),
        ("owner", c_uint32),
        ("group", c_uint32),
        ("mode", ctypes.c_uint16),
        ("inode", c_uint64),
        ("size", c_uint64),
        ("blocks", c_uint64),
        ("attributes_mask", c_uint64),
        ("accessed", _Time),
        ("born", _Time),
        ("changed", _Time),
        ("modified", _Time),
        ("device", c_uint32 * 2),
        ("on_major", c_uint32),
        ("on_minor", c_uint32),
        ("spare", c_uint64 * 14),
    )


_libc.openat.argtypes = [c_int, c_char_p, c_int]
_libc.read.argtypes = [c_int, c_char_p, c_size_t]
_libc.read.restype = c_ssize_t
_libc.fdopendir.argtypes = [c_int]
_libc.fdopendir.restype = ctypes.c_void_p
_libc.readdir.argtypes = [ctypes.c_void_p]
_libc.readdir.restype = ctypes.POINTER(_Named)
_libc.closedir.argtypes = [ctypes.c_void_p]
_libc.statx.argtypes = [c_int, c_char_p, c_int, c_uint, ctypes.POINTER(_Statx)]


class Status(NamedTuple):
    """What is known of a file, with the names and units of :class:`os.stat_result`."""

    st_dev: int
    st_ino: int
    st_mode: int
    st_nlink: int
    st_size: int
    st_blocks: int
    st_atime_ns: int
    st_mtime_ns: int
    st_ctime_ns: int


def open(path: str, flags: int, folder: int = _HERE) -> int:
    """Opens like :func:`os.open`, below an open folder if one is given."""
    return _checked(_libc.openat(folder, os.fsencode(path), flags | os.O_CLOEXEC), path)


def close(fd: int) -> None:
    """Closes a descriptor."""
    _libc.close(fd)


def read(path: str, most: int = 1 << 24) -> bytes:
    """What is in a file.

    Args:
        path: The file.
        most: After so many bytes no more is read.

    Raises:
        OSError: It cannot be read.
    """
    fd = open(path, os.O_RDONLY)
    try:
        buffer = ctypes.create_string_buffer(min(most, _BLOCK))
        parts: list[bytes] = []
        while most > 0:
            length = _checked(_libc.read(fd, buffer, min(most, _BLOCK)), path)
            if not length:
                break
            parts.append(ctypes.string_at(buffer, length))
            most -= length
        return b"".join(parts)
    finally:
        close(fd)


def names(path: str, folder: int = _HERE) -> list[str]:
    """Names of what is in a folder, like :func:`os.listdir`."""
    listed = _libc.fdopendir(open(path, os.O_RDONLY | os.O_DIRECTORY, folder))
    found = []
    while entry := _libc.readdir(listed):
        found.append(os.fsdecode(entry.contents.name))
    _libc.closedir(listed)
    return [name for name in found if name not in (".", "..")]


def status(path: str, folder: int = _HERE, follow: bool = True) -> Status:
    """What is known of a file, like :func:`os.stat`."""
    told = _Statx()
    flags = 0 if follow else _NO_FOLLOW
    _checked(_libc.statx(folder, os.fsencode(path), flags, _BASIC, ctypes.byref(told)), path)
    return Status(
        os.makedev(told.on_major, told.on_minor),
        told.inode,
        told.mode,
        told.links,
        told.size,
        told.blocks,
        *(t.s * 1_000_000_000 + t.ns for t in (told.accessed, told.modified, told.changed)),
    )


def _checked(result: int, path: str) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), path)
    return result
