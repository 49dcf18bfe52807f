"""Process-wide settings of the C library's allocator, for tensors on CPUs."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3

_in_force = (1 << 25, 1 << 26)
"""What was set last; before anything was, where glibc's own adjustment ends."""


def keep_freed_memory() -> None:
    """Tells glibc to keep freed blocks, instead of giving each large one back to the kernel.

    Training and decoding allocate and free the same megabytes thousands of times a second; the
    page faults of fresh mappings otherwise take a large share of a small model's time. Elsewhere
    than on Linux with glibc it does nothing.
    """
    _set(threshold=1 << 30, trim=(1 << 31) - 1)


def return_freed_memory() -> None:
    """Tells glibc to give each block above 64 kilobytes back to the kernel as soon as it is freed.

    Blocks of many sizes that are kept leave gaps, and a process then holds several times what is
    in use. Elsewhere than on Linux with glibc it does nothing.
    """
    _set(threshold=1 << 16, trim=1 << 20)


@contextmanager
def returning_freed_memory() -> Iterator[None]:
    """As :func:`return_freed_memory`, for a block; afterwards holds what held before."""
    before = _in_force
    return_freed_memory()
    try:
        yield
    finally:
        _set(*before)


def _set(threshold: int, trim: int) -> None:
    """Sets from which size on blocks get a mapping of their own, and when the heap shrinks."""
    global _in_force
    _in_force = (threshold, trim)
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, threshold)
        mallopt(_M_TRIM_THRESHOLD, trim)
