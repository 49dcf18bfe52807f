"""Attacks on other processes, by programs, and by interfaces of the kernel."""

from __future__ import annotations

import platform

from attack import Attack, became_root, harmed, leaked, worked
from attacks_outside import LIBC

from sport.sandbox.syscalls import ARCHITECTURES, DENIED

_COLUMN = ARCHITECTURES[platform.machine()][0]


def call(name: str, *arguments: str) -> str:
    """Code that makes a call by its number; it prints WORKED where the kernel agrees."""
    given = ", ".join(["0", *arguments][1:])
    return (
        f"{LIBC}result = libc.syscall({DENIED[name][_COLUMN]}, {given})\n"
        "assert result >= 0, os.strerror(ctypes.get_errno())\nprint('WORKED')"
    )


PROCESS = {
    "signal": Attack("import os, signal\nos.kill($victim, signal.SIGTERM)", harmed, victim=True),
    "signal by pidfd": Attack(
        "import os, signal\nsignal.pidfd_send_signal(os.pidfd_open($victim), signal.SIGTERM)",
        harmed, victim=True),
    "signal by thread": Attack(
        LIBC + "libc.syscall(200 if os.uname().machine == 'x86_64' else 130, $victim, 15)",
        harmed, victim=True),
    "signal by an owned descriptor": Attack(
        "import fcntl, os, signal\na, b = os.pipe()\n"
        "fcntl.fcntl(a, fcntl.F_SETOWN, $victim)\nfcntl.fcntl(a, 10, signal.SIGTERM)\n"
        "flags = fcntl.fcntl(a, fcntl.F_GETFL)\n"
        "fcntl.fcntl(a, fcntl.F_SETFL, flags | os.O_ASYNC)\nos.write(b, b'x')",
        harmed, victim=True),
    "signal 0 to the host": Attack("import os\nos.kill($host, 0)\nprint('WORKED')", worked),
    "signal 0 to the parent": Attack("import os\nos.kill(os.getppid(), 0)\nprint('WORKED')",
                                     worked),
    "signal 0 to neighbours": Attack(
        "# beside\nimport os\nfor other in range(os.getpid() - 3, os.getpid() + 4):\n"
        "    try:\n        if other not in (os.getpid(), 0): os.kill(other, 0); print('WORKED')\n"
        "    except OSError: pass", worked, "unsafe_local"),
    "ptrace": Attack(
        LIBC + "assert libc.ptrace(16, $victim, 0, 0) == 0\nos.waitpid($victim, 0x40000000)\n"
        "print('WORKED')\nlibc.ptrace(17, $victim, 0, 0)", worked, victim=True),
    "process_vm_readv": Attack(
        LIBC + "stack = next(l for l in open('/proc/$victim/maps') if '[stack]' in l)\n"
        "first, last = (int(a, 16) for a in stack.split()[0].split('-'))\n"
        "got = ctypes.create_string_buffer(last - first)\nsize = ctypes.c_size_t * 2\n"
        "libc.process_vm_readv($victim, size(ctypes.addressof(got), last - first), 1, "
        "size(first, last - first), 1, 0)\nprint(got.raw)", leaked, victim=True),
    "pidfd_getfd": Attack(
        LIBC + "assert libc.syscall(438, os.pidfd_open($victim), 0, 0) >= 0\nprint('WORKED')",
        worked, victim=True),
    "priority": Attack("import os\nos.setpriority(os.PRIO_PROCESS, $victim, 19)\nprint('WORKED')",
                       worked, victim=True),
    "limits": Attack(
        "import resource\nresource.prlimit($victim, resource.RLIMIT_CORE, (0, 0))\n"
        "print('WORKED')", worked, victim=True),
    "processors": Attack("import os\nos.sched_setaffinity($victim, {0})\nprint('WORKED')", worked,
                         victim=True),
    "names of processes": Attack(
        "print(open('/proc/$victim/cmdline').read())\nprint('WORKED')", worked, victim=True),
    "a session of its own": Attack("import os\nif os.fork() == 0:\n    os.setsid()\n"
                                   "    os.write(1, b'WORKED')\n    os._exit(0)\nos.wait()",
                                   worked),
}  # fmt: skip

_OWN = "open('/proc/self/exe', 'rb').read()"
_SAY = "['python', '-c', 'print(\"WORKED\")']"

PROGRAM = {
    "exec": Attack("import os\nos.execv('/bin/echo', ['echo', 'WORKED'])", worked),
    "spawn": Attack("import subprocess\nsubprocess.run(['/bin/echo', 'WORKED'])", worked),
    "shell": Attack("import os\nos.system('echo WORKED')", worked),
    "a script of its own": Attack(
        "import os\nopen('s', 'w').write('#!/bin/sh\\necho WORKED')\nos.chmod('s', 0o755)\n"
        "os.execv('./s', ['s'])", worked),
    "exec from memory": Attack(
        "import os\nfd = os.memfd_create('x', 0)\nos.write(fd, open('/bin/echo', 'rb').read())\n"
        "os.execv(f'/proc/self/fd/{fd}', ['echo', 'WORKED'])", worked),
    "execveat": Attack(
        LIBC + "libc.fexecve.argtypes = None\nfd = os.open('/bin/echo', os.O_RDONLY)\n"
        "argv = (ctypes.c_char_p * 3)(b'echo', b'WORKED', None)\n"
        "libc.fexecve(fd, argv, (ctypes.c_char_p * 1)(None))", worked),
    "a setuid program": Attack(
        "import os\nos.execv('$folder/../setuid', ['id', '-u'])", became_root, "user"),
}  # fmt: skip

KERNEL = {
    "user namespace": Attack(
        LIBC + "assert libc.unshare(0x10000000) == 0\nprint('WORKED')", worked),
    "user namespace by clone": Attack(
        LIBC + "pid = libc.syscall(56 if os.uname().machine == 'x86_64' else 220, "
        "0x10000011, 0, 0, 0, 0)\n"
        "if pid == 0: os._exit(0)\nassert pid > 0\nprint('WORKED')", worked),
    "mount": Attack(
        LIBC + "libc.unshare(0x20000)\nassert libc.mount(b'none', b'.', b'tmpfs', 0, None) == 0\n"
        "print('WORKED')\nlibc.umount2(b'.', 2)", worked, "root"),
    "fsopen": Attack(call("fsopen", "b'tmpfs'", "0"), worked, "root"),
    "setns": Attack(
        LIBC + "assert libc.setns(os.open('/proc/self/ns/net', os.O_RDONLY), 0) == 0\n"
        "print('WORKED')", worked, "root"),
    "chroot": Attack("import os\nos.chroot('.')\nos.write(1, b'WORKED')", worked, "root"),
    "add_key": Attack(call("add_key", "b'user'", "b'sport-test'", "b'x'", "1", "-2"), worked),
    "keyctl": Attack(call("keyctl", "0", "-2", "1"), worked),
    "bpf": Attack(
        LIBC + "attr = (ctypes.c_uint32 * 32)(2, 4, 4, 1)\n"
        f"assert libc.syscall({DENIED['bpf'][_COLUMN]}, 0, attr, 128) >= 0\nprint('WORKED')",
        worked, "root"),
    "perf": Attack(
        LIBC + "attr = (ctypes.c_uint32 * 32)(1, 128)\nattr[10] = 0x60\n"
        f"assert libc.syscall({DENIED['perf_event_open'][_COLUMN]}, attr, 0, -1, -1, 0) >= 0\n"
        "print('WORKED')", worked, "root"),
    "userfaultfd": Attack(call("userfaultfd", "1"), worked),
    "io_uring": Attack(
        call("io_uring_setup", "1", "ctypes.create_string_buffer(256)"), worked),
    "fanotify": Attack(call("fanotify_init", "0", "0"), worked, "root"),
    "personality": Attack(call("personality", "0x0040000"), worked),
    "shared memory of System V": Attack(
        LIBC + "id = libc.shmget(0, 4096, 0o1600)\nassert id >= 0\nlibc.shmctl(id, 0, None)\n"
        "print('WORKED')", worked),
    "message queue": Attack(
        LIBC + "q = libc.mq_open(b'/sport-$name', 0o102, 0o600, None)\nassert q >= 0\n"
        "libc.mq_unlink(b'/sport-$name')\nprint('WORKED')", worked),
    "memory shared with siblings": Attack("import mmap\nmmap.mmap(-1, 4096)\nprint('WORKED')",
                                          worked),
    "memory file": Attack("import os\nos.memfd_create('x')\nprint('WORKED')", worked),
    "raise a limit": Attack(
        "import resource\nlimit = resource.getrlimit(resource.RLIMIT_CPU)\n"
        "wanted = 10**6 if limit[1] > 0 else resource.RLIM_INFINITY\n"
        "resource.setrlimit(resource.RLIMIT_CPU, (wanted, wanted))\nprint('WORKED')", worked),
    "leave the subreaper": Attack(
        LIBC + "assert libc.prctl(36, 0, 0, 0, 0) == 0\nprint('WORKED')", worked),
    "hide from the watcher": Attack(
        LIBC + "assert libc.prctl(4, 0, 0, 0, 0) == 0\nprint('WORKED')", worked),
    "change the user": Attack("import os\nos.setuid(0)\nprint('WORKED')", worked, "root"),
    "regain capabilities": Attack(
        LIBC + "header = (ctypes.c_uint32 * 2)(0x20080522, 0)\nwanted = (ctypes.c_uint32 * 6)()\n"
        "wanted[0] = wanted[1] = 1 << 21\nassert libc.capset(header, wanted) == 0\n"
        "print('WORKED')", worked, "root"),
    "calls of another machine": Attack(
        LIBC + "if os.uname().machine != 'x86_64': os._exit(0)\n"
        "fd = libc.syscall(0x40000000 | 41, 1, 1, 0)\nassert fd >= 0\nprint('WORKED')", worked,
        "few kernels have this second table of calls"),
    "calls newer than the filter": Attack(
        LIBC + "assert libc.syscall(463, 0, 0, 0, 0, 0) >= 0 or ctypes.get_errno() != 38\n"
        "print('WORKED')", worked),
    "typing into a terminal": Attack(
        "import fcntl, os\nmaster, slave = os.openpty()\nfcntl.ioctl(slave, 0x5412, b'x')\n"
        "print('WORKED')", worked, "root"),
}  # fmt: skip
