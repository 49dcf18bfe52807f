"""The walls: what candidates find inside, the filter's tables, and what is refused without them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from sport.sandbox import ForkSandbox, SandboxError, probe_tier
from sport.sandbox.syscalls import (
    AFFINITY,
    CLONE,
    DENIED,
    FCNTL,
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
        "sched_setaffinity": AFFINITY, "ioctl": IOCTL, "fcntl": FCNTL, "mmap": MMAP,
        "socketpair": SOCKETPAIR,
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
