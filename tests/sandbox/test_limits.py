"""Every limit ends in its own status, with a note for the model, and harms one candidate only."""

from __future__ import annotations

import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

import pytest

from sport.sandbox import ForkSandbox, Limits
from sport.sandbox.folders import size_of

LIMITS = Limits(wall_s=60, cpu_s=0.5, memory_mb=200, disk_mb=8, processes=8)

BREACHES = {
    "wall": ("import time\ntime.sleep(60)", "timeout", "longer than 0.5 s"),
    "cpu": ("while True: pass", "timeout", "CPU time"),
    "cpu in a child": (
        "import os, time\nif os.fork() == 0:\n    while True: pass\ntime.sleep(60)",
        "timeout",
        "CPU time",
    ),
    "memory at once": ("x = bytearray(400 << 20)", "memory", ""),
    "memory of children": (
        "import os, time\nfor _ in range(4):\n    if os.fork() == 0:\n"
        "        x = b'x' * (90 << 20)\n        time.sleep(60)\ntime.sleep(60)",
        "memory",
        "200 MiB of memory",
    ),
    "disk, one file": (
        "f = open('big', 'wb')\nfor _ in range(40): f.write(bytes(1 << 20))",
        "disk",
        "",
    ),
    "disk, many files": (
        "import time\nfor i in range(40):\n    open(f'f{i}', 'wb').write(bytes(1 << 20))\n"
        "    time.sleep(0.01)\ntime.sleep(60)",
        "disk",
        "8 MiB of disk",
    ),
    "processes": (
        "import os, time\nfor _ in range(20):\n    if os.fork() == 0:\n        time.sleep(60)\n"
        "time.sleep(60)",
        "died",
        "more than 8 processes",
    ),
    "threads": (
        "import threading, time\nfor _ in range(20):\n"
        "    threading.Thread(target=time.sleep, args=(60,)).start()\ntime.sleep(60)",
        "died",
        "more than 8 processes",
    ),
}


@pytest.mark.parametrize("kind", BREACHES)
async def test_a_breach_ends_in_its_status(kind: str) -> None:
    code, status, note = BREACHES[kind]
    others = {"wall": {"wall_s": 0.5}, "threads": {"memory_mb": 2000}}
    limits = LIMITS.model_copy(update=others.get(kind, {}))
    async with ForkSandbox(limits=limits) as sandbox:
        base = await sandbox.open()
        neighbour, breach = await sandbox.run(base, ["'fine'", code])
        assert breach.status == status, breach
        assert note in " ".join(breach.notes), breach
        assert neighbour.value == "'fine'"
        base = await sandbox.commit(neighbour)
        [after] = await sandbox.run(base, ["'goes on'"])
        assert after.value == "'goes on'"


async def test_a_child_that_outlives_its_candidate_holds_nothing_up(sandbox: ForkSandbox) -> None:
    base = await sandbox.open()
    code = "import os, time\nif os.fork() == 0: time.sleep(60)\nos._exit(1)"
    began = time.monotonic()
    [outcome] = await sandbox.run(base, [code])
    assert outcome.status == "died", outcome
    assert time.monotonic() - began < 5


async def test_ordinary_work_stays_within_the_limits() -> None:
    async with ForkSandbox(limits=LIMITS) as sandbox:
        base = await sandbox.open()
        code = "x = bytearray(50 << 20)\nopen('f', 'wb').write(bytes(1 << 20))\nlen(x)"
        [outcome] = await sandbox.run(base, [code])
        assert (outcome.status, outcome.value) == ("ok", str(50 << 20)), outcome


SHARED = """
import os, signal, time
shared = b'x' * (120 << 20)
asleep = os.fork()
if asleep == 0:
    os.kill(os.getpid(), signal.SIGSTOP)
    os._exit(1)
workers = []
for _ in range(2):
    worker = os.fork()
    if worker == 0:
        time.sleep(0.5)
        os._exit(7)
    workers.append(worker)
ends = [os.waitstatus_to_exitcode(os.waitpid(worker, 0)[1]) for worker in workers]
os.waitpid(asleep, os.WUNTRACED)
ends, os.waitpid(asleep, os.WCONTINUED | os.WNOHANG)
"""


async def test_what_processes_share_counts_once_and_who_stopped_stays_so() -> None:
    async with ForkSandbox(limits=LIMITS.model_copy(update={"cpu_s": 20.0})) as sandbox:
        base = await sandbox.open()
        [outcome] = await sandbox.run(base, [SHARED])
        assert (outcome.status, outcome.value) == ("ok", "([7, 7], (0, 0))"), outcome


async def test_a_folder_that_nests_too_deeply_is_a_breach_and_goes() -> None:
    async with ForkSandbox(limits=LIMITS) as sandbox:
        base = await sandbox.open()
        code = "import os\nfor _ in range(1500):\n    os.mkdir('d')\n    os.chdir('d')"
        [outcome] = await sandbox.run(base, [code])
        assert outcome.status == "disk", outcome
        root = base.workspace.parent
        await sandbox.discard(base)
        assert not root.exists()


async def test_a_workspace_larger_than_the_disk_limit_is_refused(tmp_path: Path) -> None:
    from sport.sandbox import SandboxError

    (tmp_path / "big").write_bytes(bytes(9 << 20))
    async with ForkSandbox(limits=LIMITS) as sandbox:
        with pytest.raises(SandboxError, match="disk_mb = 8"):
            await sandbox.open(tmp_path)


FILES = "for i in range(1_000):\n    with open(f'f{i}', 'wb', 0) as f: f.write(bytes(1 << 20))"
PAGES = """
import os, time
told = os.open('told', os.O_RDWR | os.O_CREAT)
for child in range(3):
    if os.fork() == 0:
        kept = []
        for mib in range(1, 251):
            kept.append(b'x' * (1 << 20))
            os.pwrite(told, mib.to_bytes(8, 'little'), 8 * child)
            time.sleep(0.004)
        time.sleep(60)
time.sleep(60)
"""
"""Children that write down what they have: so nobody who measures is in the watcher's way."""


@contextmanager
def busy_host() -> Iterator[None]:
    """A thread that wants the interpreter's lock all the time."""
    ended = threading.Event()

    def work() -> None:
        while not ended.is_set():
            [number * number for number in range(50)]

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


Host = Callable[[], AbstractContextManager[None]]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("host", "most"), [(nullcontext, 64), (busy_host, 320)], ids=["idle host", "busy host"]
)
async def test_disk_is_overshot_by_at_most_64_mb_and_five_times_that_beside_a_busy_host(
    host: Host, most: int, tell: Callable[[str], None]
) -> None:
    limits = LIMITS.model_copy(update={"disk_mb": 100, "cpu_s": 20.0})
    async with ForkSandbox(limits=limits) as sandbox:
        base = await sandbox.open()
        with host():
            [outcome] = await sandbox.run(base, [FILES])
        filled = size_of(str(base.workspace.parent))  # what it left, until its base goes on
    assert outcome.status == "disk", outcome
    tell(f"disk limit of 100 MiB overshot by {(filled >> 20) - 100} of at most {most} MiB")
    assert 100 << 20 < filled < (100 + most) << 20


@pytest.mark.slow
@pytest.mark.parametrize(
    ("host", "most"), [(nullcontext, 50), (busy_host, 225)], ids=["idle host", "busy host"]
)
async def test_memory_of_children_is_overshot_by_at_most_a_quarter_and_beside_a_busy_host_by_300_ms(
    host: Host, most: int, tell: Callable[[str], None]
) -> None:
    limits = LIMITS.model_copy(update={"cpu_s": 20.0})
    async with ForkSandbox(limits=limits) as sandbox:
        base = await sandbox.open()
        with host():
            [outcome] = await sandbox.run(base, [PAGES])
        [told] = base.workspace.parent.rglob("told")
        highest = sum(struct.unpack("<3q", told.read_bytes()))
    assert outcome.status == "memory", outcome
    tell(f"memory limit of 200 MiB overshot by {highest - 200} of at most {most} MiB")
    assert 180 < highest < 200 + most
