"""Process-wide settings that make CPU tensors cheap."""

from __future__ import annotations

import ctypes
import sys

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3


def keep_freed_memory() -> None:
    """Tells glibc to keep freed blocks, instead of giving each large one back to the kernel.

    Training and decoding allocate and free the same megabytes thousands of times a second; the
    page faults of fresh mappings otherwise take a large share of a small model's time. Elsewhere
    than on Linux with glibc it does nothing.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, 1 << 30)
        mallopt(_M_TRIM_THRESHOLD, (1 << 31) - 1)
