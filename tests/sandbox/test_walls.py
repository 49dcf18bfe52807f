"""What a candidate cannot reach. Every attack is harmless where a wall would fail: it aims at
what the test made, at signal 0, or at loopback."""

from __future__ import annotations

import os
import platform
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from sport.sandbox import ForkSandbox, Limits, SandboxError, probe_tier
from sport.sandbox.syscalls import (
    AFFINITY,
    ARCHITECTURES,
    CLONE,
    DENIED,
    IOCTL,
    MMAP,
    OPEN,
    OPENAT,
    PRCTL,
    PRETENDED,
    PRLIMIT,
    SIGNALS,
    SOCKETPAIR,
    TRUNCATE,
    UNKNOWN,
    build_filter,
)

LIMITS = Limits(wall_s=20, cpu_s=10)
SYSCALL = "import ctypes, os\nlibc = ctypes.CDLL(None, use_errno=True)\n"


@pytest.fixture(scope="module")
def canary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("outside") / "canary"
    path.write_text("secret canary")
    path.chmod(0o666)
    path.parent.chmod(0o777)
    return path


@pytest.fixture(scope="module")
def server() -> AsyncIterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


def number(call: str) -> int | None:
    return DENIED[call][ARCHITECTURES[platform.machine()][0]]


# Each ends without an exception only if the attack worked.
ATTACKS: dict[str, str] = {
    "read a file": "open({canary!r}).read()",
    "write a file": "open({canary!r}, 'a').write('x')",
    "truncate through a read-only descriptor": (
        "import os\nos.open({canary!r}, os.O_RDONLY | os.O_TRUNC)"
    ),
    "truncate by path": "import os\nos.truncate({canary!r}, 0)",
    "read by a symlink": "import os\nos.symlink({canary!r}, 'l')\nopen('l').read()",
    "hard link": "import os\nos.link({canary!r}, 'l')\nopen('l').read()",
    "rename": "import os\nos.rename({canary!r}, 'l')",
    "rename out": "import os\nopen('f', 'w')\nos.rename('f', {canary!r} + '2')",
    "create beside": "open({canary!r} + '3', 'w')",
    "remove": "import os\nos.unlink({canary!r})",
    "list a folder": "import os\nos.listdir(os.path.dirname({canary!r}))",
    "go up": "open('../' * 20 + {canary!r}).read()",
    "environment of the host": "open('/proc/{host}/environ', 'rb').read()[0]",
    "own environment by /proc": "open('/proc/self/environ', 'rb').read()[0]",
    "memory of the host": "open('/proc/{host}/mem', 'rb')",
    "password file": "open('/etc/passwd').read()",
    "tcp": "import socket\nsocket.create_connection(('127.0.0.1', {port}), timeout=2)",
    "udp": "import socket\nsocket.socket(socket.AF_INET, socket.SOCK_DGRAM)",
    "unix socket": "import socket\nsocket.socket(socket.AF_UNIX)",
    "netlink": "import socket\nsocket.socket(socket.AF_NETLINK, socket.SOCK_RAW)",
    "datagram pair": "import socket\nsocket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)",
    "signal": "import os\nos.kill({host}, 0)",
    "signal to the parent": "import os\nos.kill(os.getppid(), 0)",
    "ptrace": SYSCALL + "assert libc.ptrace(16, os.getppid(), 0, 0) == 0",
    "read memory": (
        SYSCALL + "b = ctypes.create_string_buffer(8)\n"
        "v = (ctypes.c_size_t * 2)(ctypes.addressof(b), 8)\n"
        "assert libc.process_vm_readv(os.getppid(), v, 1, v, 1, 0) == 8"
    ),
    "exec": "import os\nos.execv('/usr/bin/true', ['true'])",
    "spawn": "import os\nassert os.posix_spawn('/usr/bin/true', ['true'], {{}})",
    "shell": "import os\nassert os.system('true') == 0",
    "exec from memory": "import os\nos.memfd_create('x')",
    "user namespace": SYSCALL + "assert libc.unshare(0x10000000) == 0",
    "mount": SYSCALL + "assert libc.mount(b'none', b'.', b'tmpfs', 0, None) == 0",
    "session": "import os\nos.setsid()",
    "priority of others": "import os\nos.setpriority(os.PRIO_PROCESS, os.getppid(), 19)",
    "limits of others": (
        "import resource, os\nresource.prlimit(os.getppid(), resource.RLIMIT_CORE, (0, 0))"
    ),
    "raise a limit": (
        "import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)"
    ),
    "keyring": SYSCALL + f"assert libc.syscall({number('keyctl')}, 0, -3, 1) >= 0",
    "bpf": SYSCALL + f"assert libc.syscall({number('bpf')}, 0, b'0' * 64, 64) >= 0",
    "io_uring": (
        SYSCALL + "p = ctypes.create_string_buffer(256)\nassert libc.syscall(425, 1, p) >= 0"
    ),
    "leave the subreaper": SYSCALL + "assert libc.prctl(36, 0, 0, 0, 0) == 0",
    "shared memory": "import mmap\nmmap.mmap(-1, 4096)",
    "device": "import os\nos.mknod('d', 0o20666, os.makedev(1, 1))",
    "pipe with a name": "import os\nos.mkfifo('p')",
    "write a library": "import os\nopen(os.__file__, 'a')",
    "write a cache of byte code": (
        "import os\nos.makedirs(os.path.dirname(os.__file__) + '/__pycache__/x')"
    ),
    "write the base folder": "open('../base/x', 'w')",
    "write beside the workspace": "open('../x', 'w')",
}  # fmt: skip

# Without walls these work: the attacks are real.
CONTROLS = (
    "read a file", "write a file", "read by a symlink", "list a folder", "go up", "tcp", "udp",
    "unix socket", "signal", "signal to the parent", "shell", "exec from memory", "shared memory",
    "pipe with a name", "write beside the workspace", "environment of the host",
)  # fmt: skip

FEW = ("read a file", "write a file", "environment of the host", "tcp", "signal", "shell",
       "write beside the workspace", "ptrace", "user namespace")  # fmt: skip


def attack(kind: str, canary: Path, port: int) -> str:
    return ATTACKS[kind].format(canary=str(canary), port=port, host=os.getpid())


async def check(tier: str, kinds: tuple[str, ...], canary: Path, port: int) -> None:
    async with ForkSandbox(tier=tier, limits=LIMITS) as sandbox:
        base = await sandbox.open()
        codes = [attack(kind, canary, port) for kind in kinds]
        outcomes = await sandbox.run(base, codes)
    worked = {k: o for k, o in zip(kinds, outcomes, strict=True) if o.status != "error"}
    assert not worked
    odd = {
        k: o.error
        for k, o in zip(kinds, outcomes, strict=True)
        if o.error and o.error.type in ("SyntaxError", "NameError", "AttributeError", "KeyError")
    }
    assert not odd, "the attack itself is broken"
    assert canary.read_text() == "secret canary"
    assert os.listdir(canary.parent) == ["canary"]


@pytest.mark.parametrize("tier", ["strong", "standard"])
async def test_a_few_attacks_fail(tier: str, canary: Path, server: int) -> None:
    await check(tier, FEW, canary, server)


@pytest.mark.attack
@pytest.mark.parametrize("tier", ["strong", "standard"])
async def test_all_attacks_fail(tier: str, canary: Path, server: int) -> None:
    await check(tier, tuple(ATTACKS), canary, server)


@pytest.mark.attack
async def test_controls_succeed_without_walls(tmp_path: Path, server: int) -> None:
    (tmp_path / "canary").write_text("secret canary")
    async with ForkSandbox(tier="unsafe_local", limits=LIMITS) as sandbox:
        assert sandbox.tier == "unsafe_local"
        base = await sandbox.open()
        codes = [attack(kind, tmp_path / "canary", server) for kind in CONTROLS]
        outcomes = await sandbox.run(base, codes)
    failed = {k: o for k, o in zip(CONTROLS, outcomes, strict=True) if o.status != "ok"}
    assert not failed


async def test_the_environment_is_clean(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPORT_TEST_TOKEN", "secret")
    async with ForkSandbox() as sandbox:
        base = await sandbox.open()
        code = "import os, sys\nprint(dict(os.environ), sys.argv, sys.orig_argv)"
        [outcome] = await sandbox.run(base, [code])
    assert "secret" not in outcome.stdout
    assert "SPORT_TEST_TOKEN" not in outcome.stdout
    assert outcome.stdout.endswith("[''] []\n"), "the command line tells nothing"


async def test_no_descriptor_of_the_host_is_inherited(tmp_path: Path) -> None:
    with (tmp_path / "open").open("w") as file:
        os.set_inheritable(file.fileno(), True)
        async with ForkSandbox() as sandbox:
            base = await sandbox.open()
            code = (
                "import os\nopen_fds = []\nfor fd in range(256):\n    try: os.fstat(fd)\n"
                "    except OSError: continue\n    open_fds.append(fd)\nopen_fds"
            )
            [outcome] = await sandbox.run(base, [code])
    assert outcome.value == "[0, 1, 2, 3, 200]"


async def test_pretended_calls_change_nothing(canary: Path) -> None:
    async with ForkSandbox(tier="standard") as sandbox:
        base = await sandbox.open()
        code = f"import os\nos.chmod({str(canary)!r}, 0)\nos.utime({str(canary)!r}, (0, 0))"
        before = canary.stat()
        [outcome] = await sandbox.run(base, [code])
    assert outcome.status == "ok"
    assert (canary.stat().st_mode, canary.stat().st_mtime) == (before.st_mode, before.st_mtime)


async def test_siblings_cannot_reach_each_other(sandbox: ForkSandbox) -> None:
    base = await sandbox.open()
    spy = (
        "import os, time\nfound = []\nhere = os.getcwd()\n"
        "for i in range(50):\n"
        "    for name in range(20):\n"
        "        try: found += os.listdir(f'../../{name}/work')\n"
        "        except OSError: pass\n"
        "        try:\n"
        "            if name != os.getpid() and name > 1: os.kill(name, 0); found.append(name)\n"
        "        except OSError: pass\n"
        "    time.sleep(0.01)\n"
        "print(found)"
    )
    first, second = await sandbox.run(base, [spy, "open('s.txt', 'w')\nimport time\ntime.sleep(1)"])
    assert second.status == "ok"
    assert first.stdout == "[]\n", first


@pytest.mark.parametrize(
    "code",
    [
        "import os\nos.write(3, b'\\xff\\xff\\xff\\xff')",
        "import os\nos.write(3, b'\\0\\0\\0\\2[]')",
        "import os\nos.write(3, b'\\0\\0\\0\\1x')",
        "import os\nb = b'[' * 100000\nos.write(3, len(b).to_bytes(4, 'big') + b)",
        "import os, json\nb = json.dumps({'kind': 'done', 'status': 'great'}).encode()\n"
        "os.write(3, len(b).to_bytes(4, 'big') + b)\nimport time\ntime.sleep(60)",
        "import os\nos.close(3)",
    ],
)
async def test_a_forged_channel_ends_its_candidate_only(sandbox: ForkSandbox, code: str) -> None:
    base = await sandbox.open()
    forged, honest = await sandbox.run(base, [code, "'honest'"])
    assert forged.status == "died", forged
    assert honest.value == "'honest'"


async def test_after_an_early_done_nothing_runs_on(sandbox: ForkSandbox) -> None:
    base = await sandbox.open()
    code = (
        "import os, json, time\nb = json.dumps({'kind': 'done', 'status': 'ok'}).encode()\n"
        "os.write(3, len(b).to_bytes(4, 'big') + b)\n"
        "while True:\n    open('n.txt', 'a').write('x')\n    time.sleep(0.01)"
    )
    [outcome] = await sandbox.run(base, [code])
    import asyncio

    first = await sandbox.read_file(outcome, "n.txt") if outcome.files else b""
    await asyncio.sleep(0.3)
    names = [f.path for f in outcome.files]
    later = await sandbox.read_file(outcome, "n.txt") if "n.txt" in names else b""
    assert first == later


def test_the_tables_agree_with_libseccomp() -> None:
    import ctypes
    import ctypes.util

    name = ctypes.util.find_library("seccomp")
    if name is None:
        pytest.skip("libseccomp is not installed")
    resolve: Callable[..., int] = ctypes.CDLL(name).seccomp_syscall_resolve_name_arch
    single = {
        "clone": CLONE, "open": OPEN, "openat": OPENAT, "prlimit64": PRLIMIT, "prctl": PRCTL,
        "sched_setaffinity": AFFINITY, "ioctl": IOCTL, "mmap": MMAP, "socketpair": SOCKETPAIR,
    }  # fmt: skip
    for table in (DENIED, SIGNALS, TRUNCATE, PRETENDED, UNKNOWN, single):
        for call, numbers in table.items():
            for number, arch in zip(numbers, (0xC000003E, 0xC00000B7), strict=True):
                theirs = resolve(arch, call.encode())
                if theirs != -1:  # newer than the library
                    assert number == (theirs if theirs >= 0 else None), call


def test_there_is_a_filter_for_both_machines_and_no_other() -> None:
    assert build_filter(7, "x86_64") != build_filter(7, "aarch64")
    assert len(build_filter(1, "aarch64")) > len(build_filter(7, "aarch64"))
    with pytest.raises(OSError, match="no seccomp table for riscv64"):
        build_filter(7, "riscv64")


def test_the_probe_reports_layers() -> None:
    report = probe_tier()
    assert report.tier in ("strong", "standard")
    assert [layer.name for layer in report.layers if not layer.found] == []


async def test_without_walls_it_refuses_with_reason_and_mend(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from sport.sandbox import launch

    monkeypatch.setattr(launch.shutil, "which", lambda name: None)
    async with ForkSandbox() as sandbox:
        assert sandbox.tier == "standard"
    with pytest.raises(SandboxError, match="strong: bubblewrap is not installed.*apt install"):
        await ForkSandbox(tier="strong").open()
    monkeypatch.setattr(launch, "_DEVICES", ())
    monkeypatch.setattr(launch, "_BOOT", "raise SystemExit('no walls here')")
    with pytest.raises(SandboxError, match="no walls here.*unsafe_local"):
        await ForkSandbox().open()
