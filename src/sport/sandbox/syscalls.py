"""The seccomp filter: kernel interfaces that a candidate does not get.

A hand-written BPF program: it needs no library that a slim container may lack, and it is built
once. The numbers below come from libseccomp, and a test compares them where it is installed.
Calls newer than the table are refused, so a kernel update opens nothing.
"""

from __future__ import annotations

import os
import struct

ARCHITECTURES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
"""Column in the tables below, and the kernel's audit number."""

DENIED: dict[str, tuple[int | None, int | None]] = {
    # The network, beyond the channel that is already open.
    "socket": (41, 198), "connect": (42, 203), "accept": (43, 202), "accept4": (288, 242),
    "bind": (49, 200), "listen": (50, 201),
    # Other processes.
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271),
    "process_madvise": (440, 440), "kcmp": (312, 272), "pidfd_getfd": (438, 438),
    "setsid": (112, 157), "setpgid": (109, 154), "move_pages": (279, 239),
    "migrate_pages": (256, 238), "setpriority": (141, 140), "sched_setscheduler": (144, 119),
    "sched_setparam": (142, 118), "sched_setattr": (314, 274), "ioprio_set": (251, 30),
    # Programs.
    "execve": (59, 221), "execveat": (322, 281), "memfd_create": (319, 279),
    "memfd_secret": (447, 447), "uselib": (134, None),
    # Mounts and namespaces.
    "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41), "chroot": (161, 51),
    "open_tree": (428, 428), "move_mount": (429, 429), "fsopen": (430, 430),
    "fsconfig": (431, 431), "fsmount": (432, 432), "fspick": (433, 433),
    "mount_setattr": (442, 442), "unshare": (272, 97), "setns": (308, 268),
    # Identity.
    "setuid": (105, 146), "setgid": (106, 144), "setreuid": (113, 145), "setregid": (114, 143),
    "setresuid": (117, 147), "setresgid": (119, 149), "setfsuid": (122, 151),
    "setfsgid": (123, 152), "setgroups": (116, 159), "capset": (126, 91),
    # The machine.
    "init_module": (175, 105), "finit_module": (313, 273), "delete_module": (176, 106),
    "kexec_load": (246, 104), "kexec_file_load": (320, 294), "reboot": (169, 142),
    "swapon": (167, 224), "swapoff": (168, 225), "acct": (163, 89), "settimeofday": (164, 170),
    "clock_settime": (227, 112), "adjtimex": (159, 171), "clock_adjtime": (305, 266),
    "sethostname": (170, 161), "setdomainname": (171, 162), "iopl": (172, None),
    "ioperm": (173, None), "quotactl": (179, 60), "quotactl_fd": (443, 443),
    "syslog": (103, 116), "vhangup": (153, 58), "personality": (135, 92),
    "modify_ldt": (154, None), "nfsservctl": (180, 42), "lookup_dcookie": (212, 18),
    "_sysctl": (156, None), "sysfs": (139, None),
    # Kernel interfaces with a record of escapes, and none that an agent needs.
    "bpf": (321, 280), "perf_event_open": (298, 241), "userfaultfd": (323, 282),
    "keyctl": (250, 219), "add_key": (248, 217), "request_key": (249, 218),
    "io_uring_setup": (425, 425), "io_uring_enter": (426, 426), "io_uring_register": (427, 427),
    "open_by_handle_at": (304, 265), "name_to_handle_at": (303, 264),
    "fanotify_init": (300, 262), "fanotify_mark": (301, 263), "mknod": (133, None),
    "mknodat": (259, 33), "mbind": (237, 235), "set_mempolicy": (238, 237),
    "set_mempolicy_home_node": (450, 450), "remap_file_pages": (216, 234),
    # Memory and queues that siblings would share.
    "shmget": (29, 194), "shmat": (30, 196), "shmctl": (31, 195), "semget": (64, 190),
    "semctl": (66, 191), "semop": (65, 193), "semtimedop": (220, 192), "msgget": (68, 186),
    "msgsnd": (69, 189), "msgrcv": (70, 188), "msgctl": (71, 187), "mq_open": (240, 180),
    "mq_unlink": (241, 181),
    # Disk that is not written, and so not counted in time.
    "fallocate": (285, 47),
    # Files and pages on their way, which no process holds and nobody counts.
    "sendmsg": (46, 211), "sendmmsg": (307, 269), "vmsplice": (278, 75),
}  # fmt: skip

SIGNALS: dict[str, tuple[int | None, int | None]] = {
    "kill": (62, 129), "tkill": (200, 130), "tgkill": (234, 131), "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240), "pidfd_send_signal": (424, 424),
}  # fmt: skip
"""Denied where Landlock cannot keep signals inside (before Linux 6.12)."""

TRUNCATE: dict[str, tuple[int | None, int | None]] = {"truncate": (76, 45)}
"""Denied where Landlock does not know it (before Linux 6.2)."""

PRETENDED: dict[str, tuple[int | None, int | None]] = {
    "chmod": (90, None), "fchmodat": (268, 53), "fchmodat2": (452, 452), "chown": (92, None),
    "lchown": (94, None), "fchownat": (260, 54), "utime": (132, None), "utimes": (235, None),
    "utimensat": (280, 88), "futimesat": (261, None), "setxattr": (188, 5),
    "lsetxattr": (189, 6), "removexattr": (197, 14), "lremovexattr": (198, 15),
}  # fmt: skip
"""They take a path, and Landlock cannot confine them. They do nothing and report success, so that
``shutil.copy2`` and the like go on working."""

UNKNOWN: dict[str, tuple[int | None, int | None]] = {"clone3": (435, 435), "openat2": (437, 437)}
"""Their arguments lie in memory, where a filter cannot look: reported as not existing, upon which
callers fall back to the older call."""

LAST_KNOWN = 462
"""The newest call of Linux 6.10; what came later was not looked at."""

FORKS: tuple[tuple[int | None, int | None], ...] = ((56, 220), (57, None), (58, None))
"""``clone``, ``fork`` and ``vfork``: who makes a process or a thread asks the gate on forks."""

CLONE, OPEN, OPENAT, PRLIMIT = (56, 220), (2, None), (257, 56), (302, 261)
AFFINITY, IOCTL, PRCTL, MMAP, SOCKETPAIR = (203, 122), (16, 29), (157, 167), (9, 222), (53, 199)
FCNTL = (72, 25)

_EPERM, _ENOSYS = 1, 38
_ALLOW, _ASK, _ERRNO, _KILL = 0x7FFF0000, 0x7FC00000, 0x00050000, 0x80000000
_NEW_NAMESPACES = 0x7E020000
_CLONE_PARENT = 0x8000
_PR_SET_DUMPABLE, _PR_SET_CHILD_SUBREAPER = 4, 36
_F_SETOWN, _F_SETOWN_EX = 8, 15
_TIOCSTI, _TIOCLINUX, _FIOSETOWN, _SIOCSPGRP = 0x5412, 0x541C, 0x8901, 0x8902
_X32 = 0x40000000

_Instruction = tuple[int, int, int, int]


def _load(offset: int) -> _Instruction:
    return (0x20, 0, 0, offset)


def _argument(index: int) -> _Instruction:
    return _load(16 + 8 * index)  # the low half: both machines are little-endian


def _equal(value: int, then: int, otherwise: int) -> _Instruction:
    return (0x15, then, otherwise, value)


def _at_least(value: int, then: int, otherwise: int) -> _Instruction:
    return (0x35, then, otherwise, value)


def _any_bit(mask: int, then: int, otherwise: int) -> _Instruction:
    return (0x45, then, otherwise, mask)


def _mask(value: int) -> _Instruction:
    return (0x54, 0, 0, value)


def _return(value: int) -> _Instruction:
    return (0x06, 0, 0, value)


def _when(number: int | None, tests: list[_Instruction]) -> list[_Instruction]:
    """``tests`` for one call; they end in a verdict, or jump just past their end to allow it."""
    if number is None:
        return []
    return [_equal(number, 0, len(tests) + 1), *tests, _return(_ALLOW)]


def build_filter(landlock_abi: int, machine: str | None = None) -> bytes:
    """The BPF program for this machine.

    Args:
        landlock_abi: Version of Landlock; older ones leave more to this filter.
        machine: As ``uname -m`` names it.

    Raises:
        OSError: There is no table for this machine.
    """
    machine = machine or os.uname().machine
    if machine not in ARCHITECTURES:
        raise OSError(f"no seccomp table for {machine}; known: {', '.join(ARCHITECTURES)}")
    column, audit = ARCHITECTURES[machine]
    denied = dict(DENIED)
    if landlock_abi < 6:
        denied |= SIGNALS
    if landlock_abi < 3:
        denied |= TRUNCATE
    program = [_load(4), _equal(audit, 1, 0), _return(_KILL), _load(0)]
    if machine == "x86_64":
        program += [_at_least(_X32, 0, 1), _return(_KILL)]
    program += [_at_least(LAST_KNOWN + 1, 0, 1), _return(_ERRNO | _ENOSYS)]
    for table, verdict in ((denied, _EPERM), (PRETENDED, 0), (UNKNOWN, _ENOSYS)):
        for numbers in table.values():
            number = numbers[column]
            if number is not None:
                program += [_equal(number, 0, 1), _return(_ERRNO | verdict)]
    program += _argument_rules(column)
    return _assembled(program)


def build_gate() -> bytes:
    """The BPF program that makes every fork wait for the host's answer.

    It is a filter of its own, below the other: what that one refuses is not asked for.
    """
    column, audit = ARCHITECTURES[os.uname().machine]
    program = [_load(4), _equal(audit, 1, 0), _return(_ALLOW), _load(0)]
    for numbers in FORKS:
        number = numbers[column]
        if number is not None:
            program += [_equal(number, 0, 1), _return(_ASK)]
    return _assembled(program)


def _assembled(program: list[_Instruction]) -> bytes:
    return b"".join(struct.pack("HBBI", *i) for i in [*program, _return(_ALLOW)])


def _argument_rules(column: int) -> list[_Instruction]:
    no = _return(_ERRNO | _EPERM)
    rdonly_trunc = 0o1000, 0o3
    rules: list[_Instruction] = []
    # A child with our parent as its own would escape the count of our processes.
    rules += _when(
        CLONE[column], [_argument(0), _any_bit(_NEW_NAMESPACES | _CLONE_PARENT, 0, 1), no]
    )
    # Limits and processors of other processes.
    rules += _when(PRLIMIT[column], [_argument(0), _equal(0, 1, 0), no])
    rules += _when(AFFINITY[column], [_argument(0), _equal(0, 1, 0), no])
    # Typing into a terminal, and signals from the kernel to whom a descriptor is said to belong.
    rules += _when(
        IOCTL[column],
        [
            _argument(1),
            *(_equal(r, n, 0) for r, n in ((_TIOCSTI, 3), (_TIOCLINUX, 2), (_FIOSETOWN, 1))),
            _equal(_SIOCSPGRP, 0, 1),
            no,
        ],
    )
    rules += _when(
        FCNTL[column], [_argument(1), _equal(_F_SETOWN, 1, 0), _equal(_F_SETOWN_EX, 0, 1), no]
    )
    # Orphans stay below their candidate, and the host can look at what it uses.
    rules += _when(
        PRCTL[column],
        [
            _argument(0),
            _equal(_PR_SET_DUMPABLE, 3, 0),
            _equal(_PR_SET_CHILD_SUBREAPER, 0, 3),
            _argument(1),
            _equal(0, 0, 1),
            no,
        ],
    )
    # Writable shared memory, which siblings would share after a fork.
    rules += _when(
        MMAP[column], [_argument(3), _any_bit(1, 0, 3), _argument(2), _any_bit(2, 0, 1), no]
    )
    # Datagram pairs can address any socket on the disk.
    rules += _when(SOCKETPAIR[column], [_argument(1), _mask(0xF), _equal(1, 1, 0), no])
    # Truncation through a read-only descriptor, which old versions of Landlock let through.
    truncates, access = rdonly_trunc
    for number, index in ((OPEN[column], 1), (OPENAT[column], 2)):
        flags = _argument(index)
        rules += _when(number, [flags, _any_bit(truncates, 0, 2), _any_bit(access, 1, 0), no])
    return rules
