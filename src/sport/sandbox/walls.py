"""The walls around a candidate: Landlock, seccomp, rlimits, no capabilities (Linux, ctypes only).

This runs inside the worker: it may import nothing but the standard library and its neighbours
that say the same. Every wall is irrevocable, and is inherited by what a candidate forks.
"""

from __future__ import annotations

import ctypes
import os
import posix  # not os: a candidate may have patched that
import resource
import struct
from collections.abc import Sequence

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long

_PR_SET_SECCOMP, _PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS = 22, 24, 38
_PR_SET_CHILD_SUBREAPER, _PR_SET_THP_DISABLE = 36, 41
_CAPSET = {"x86_64": 126, "aarch64": 91}
_SECCOMP = {"x86_64": 317, "aarch64": 277}
_SET_MODE_FILTER, _NEW_LISTENER = 1, 1 << 3
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_LAST_CAPABILITY = 40

# Landlock's rights on files.
_EXECUTE, _WRITE, _READ, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_MAKE_CHAR, _MAKE_SOCK, _MAKE_FIFO, _MAKE_BLOCK = 1 << 6, 1 << 9, 1 << 10, 1 << 11
_TRUNCATE, _IOCTL_DEV = 1 << 14, 1 << 15
_ON_FILES = _EXECUTE | _WRITE | _READ | _TRUNCATE | _IOCTL_DEV
_READ_ONLY = _EXECUTE | _READ | _READ_DIR
_NOT_IN_WORKSPACE = _EXECUTE | _MAKE_CHAR | _MAKE_SOCK | _MAKE_FIFO | _MAKE_BLOCK | _IOCTL_DEV
_HANDLED = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 4: (1 << 15) - 1}
_ALL = (1 << 16) - 1
_NETWORK = 3  # bind and connect by TCP
_SCOPES = 3  # abstract unix sockets and signals
LAYERS = 16
"""So many Landlock layers fit on one another: one a step."""


def landlock_abi() -> int:
    """Version of Landlock in this kernel; 0 if it is absent or switched off."""
    return max(0, int(_libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), 1)))


class Landlock:
    """Rules on files, worked out once and applied again and again.

    Args:
        read_only: Files and folders that may be read and executed from.
        devices: Device files that may be read and written.
    """

    def __init__(self, read_only: Sequence[str], devices: Sequence[str]) -> None:
        """Paths that do not exist are left out."""
        self.abi = landlock_abi()
        self._handled = _HANDLED.get(self.abi, _ALL)
        attributes = (self._handled, _NETWORK, _SCOPES)
        count = 1 if self.abi < 4 else 2 if self.abi < 6 else 3
        self._attributes = struct.pack("Q" * count, *attributes[:count])
        wanted = [(path, _READ_ONLY) for path in read_only]
        wanted += [(path, _READ | _WRITE) for path in devices]
        self._rules = [
            (path, rights if os.path.isdir(path) else rights & _ON_FILES)
            for path, rights in wanted
            if os.path.exists(path)
        ]

    def restrict(self, writable: Sequence[str]) -> None:
        """Confines this process for good to the rules, and to the folders ``writable``.

        Raises:
            OSError: The kernel refused, for instance because 16 layers are there already.
        """
        size = ctypes.c_size_t(len(self._attributes))
        ruleset = _checked(
            _libc.syscall(_CREATE_RULESET, ctypes.c_char_p(self._attributes), size, 0),
            "landlock_create_ruleset",
        )
        try:
            for path, rights in self._rules:
                self._add(ruleset, path, rights)
            for path in writable:
                self._add(ruleset, path, ~_NOT_IN_WORKSPACE)
            no_new_privileges()
            _checked(_libc.syscall(_RESTRICT_SELF, ruleset, 0), "landlock_restrict_self")
        finally:
            posix.close(ruleset)

    def _add(self, ruleset: int, path: str, rights: int) -> None:
        descriptor = posix.open(path, os.O_PATH | os.O_CLOEXEC)
        try:
            rule = struct.pack("=Qi", rights & self._handled, descriptor)
            _checked(
                _libc.syscall(_ADD_RULE, ruleset, 1, ctypes.c_char_p(rule), 0), "landlock_add_rule"
            )
        finally:
            posix.close(descriptor)


def _checked(result: int, call: str) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{call}: {os.strerror(code)}")
    return int(result)


def no_new_privileges() -> None:
    """Set-uid programs give nothing from now on."""
    _checked(_libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "prctl(NO_NEW_PRIVS)")


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p)]


def seccomp(program: bytes) -> None:
    """Installs a filter made by :func:`sport.sandbox.syscalls.build_filter`."""
    no_new_privileges()
    fprog = _Program(len(program) // 8, program)
    _checked(_libc.prctl(_PR_SET_SECCOMP, 2, ctypes.byref(fprog), 0, 0), "prctl(SECCOMP)")


def seccomp_listener(program: bytes) -> int:
    """Installs a filter made by :func:`sport.sandbox.syscalls.build_gate`.

    Returns:
        The descriptor by which the kernel asks whoever holds it. There is one for all processes
        that inherit the filter, and none of them can add another.

    Raises:
        OSError: The kernel refuses, for instance because there is such a filter already.
    """
    no_new_privileges()
    fprog = _Program(len(program) // 8, program)
    number = _SECCOMP[os.uname().machine]
    return _checked(
        _libc.syscall(number, _SET_MODE_FILTER, _NEW_LISTENER, ctypes.byref(fprog)),
        "seccomp(NEW_LISTENER)",
    )


def drop_capabilities() -> None:
    """Gives up what root can do beyond owning files; a no-op for others."""
    for capability in range(_LAST_CAPABILITY + 1):
        _libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)  # fails for others: nothing to drop
    header = struct.pack("Ii", 0x20080522, 0)
    _checked(
        _libc.syscall(
            _CAPSET[os.uname().machine], ctypes.c_char_p(header), ctypes.c_char_p(bytes(24))
        ),
        "capset",
    )


def adopt_orphans() -> None:
    """Descendants whose parent ends become children of this process."""
    _checked(_libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), "prctl(CHILD_SUBREAPER)")


def small_pages() -> None:
    """No huge pages: copying one at the first write after a fork costs more than it gives."""
    _libc.prctl(_PR_SET_THP_DISABLE, 1, 0, 0, 0)


def limit_resources(memory_mb: int, cpu_s: float, disk_mb: int) -> None:
    """Per-process limits: the backstop of the watcher, which sums over a candidate's processes.

    Args:
        memory_mb: Address space beyond what this process has now, in MiB.
        cpu_s: CPU time, in seconds; the watcher is to come first.
        disk_mb: Size of one file, in MiB.
    """
    with open("/proc/self/statm") as file:
        now = int(file.read().split()[0]) * resource.getpagesize()
    cpu = int(cpu_s) + 2
    for kind, value in (
        (resource.RLIMIT_AS, now + (memory_mb << 20)),
        (resource.RLIMIT_CPU, cpu),
        (resource.RLIMIT_FSIZE, disk_mb << 20),
        (resource.RLIMIT_NOFILE, 256),
        (resource.RLIMIT_CORE, 0),
    ):
        _, hard = resource.getrlimit(kind)
        bound = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (bound, bound))
