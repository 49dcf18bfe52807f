"""Nothing stays: processes, folders, descriptors, threads."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest

from sport.sandbox import ForkSandbox, Limits
from sport.sandbox.launch import PREFIX

HOSTILE = (
    "import os, time\nif os.fork() == 0:\n    if os.fork() == 0:\n        time.sleep(60)\n"
    "    os._exit(0)\nos.wait()"
)


def mine() -> dict[str, int]:
    """What this process holds, without what other programs on the machine do."""
    return {
        "processes": len(psutil.Process().children(recursive=True)),
        "descriptors": len(os.listdir("/proc/self/fd")),
        "threads": sum(t.name.startswith("sport") for t in threading.enumerate()),
    }


async def settled(expected: dict[str, int]) -> dict[str, int]:
    """Waits a little for what is on its way out."""
    for _ in range(40):
        if mine() == expected:
            break
        await asyncio.sleep(0.05)
    return mine()


async def calm() -> dict[str, int]:
    """What this process holds once nothing is on its way out."""
    for _ in range(40):
        before = mine()
        await asyncio.sleep(0.1)
        if mine() == before:
            break
    return mine()


@pytest.fixture
async def sandbox() -> AsyncIterator[ForkSandbox]:
    """One whose thread runs already."""
    async with ForkSandbox() as made:
        base = await made.open()
        await made.run(base, ["1"])
        await made.discard(base)
        yield made


async def use(sandbox: ForkSandbox, pictures: Path) -> None:
    base = await sandbox.open(pictures)
    for _ in range(2):
        outcomes = await sandbox.run(base, ["x = 1", HOSTILE, "1 / 0", "import os\nos._exit(0)"])
        base = await sandbox.commit(outcomes[0])
    await sandbox.run(base, ["open('kept', 'w')"])


async def test_nothing_stays_after_close(pictures: Path) -> None:
    async with ForkSandbox() as warm:
        await use(warm, pictures)
    before = await settled({**await calm(), "threads": 0})
    for _ in range(2):
        async with ForkSandbox({"t": lambda: 1}) as sandbox:
            await use(sandbox, pictures)
            base = await sandbox.open()
            await sandbox.run(base, ["t()"])
            root = base.workspace.parents[1]
            assert root.name.startswith(PREFIX)
        assert not root.exists()
    assert await settled(before) == before


async def test_nothing_of_a_world_stays_after_discard(sandbox: ForkSandbox, pictures: Path) -> None:
    base = await sandbox.open(pictures)
    root = base.workspace.parents[1]
    await sandbox.discard(base)
    before = await calm()
    for _ in range(3):
        base = await sandbox.open(pictures)
        outcomes = await sandbox.run(base, ["x = 1", HOSTILE])
        base = await sandbox.commit(outcomes[1])
        await sandbox.run(base, ["x = 2"])
        await sandbox.discard(base)
    assert await settled(before) == before
    assert sorted(p.name for p in root.iterdir()) == ["canary", "lock"]


async def test_losers_end_at_commit(sandbox: ForkSandbox) -> None:
    base = await sandbox.open()
    idle = await calm()
    outcomes = await sandbox.run(base, ["1"] * 4)
    assert mine()["processes"] == idle["processes"] + 4
    base = await sandbox.commit(outcomes[2])
    assert await settled(idle) == idle
    assert len(os.listdir(base.workspace.parents[1])) == 1, "the folders of the losers are gone"


async def test_cancelling_a_run_ends_its_candidates(sandbox: ForkSandbox) -> None:
    base = await sandbox.open()
    before = await calm()
    running = asyncio.create_task(sandbox.run(base, ["import time\ntime.sleep(60)"] * 3))
    await asyncio.sleep(0.3)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert await settled(before) == before
    [after] = await sandbox.run(base, ["'still good'"])
    assert after.value == "'still good'"


async def test_an_error_in_the_block_ends_everything(pictures: Path) -> None:
    before = await calm()
    with pytest.raises(ZeroDivisionError):
        async with ForkSandbox() as sandbox:
            await use(sandbox, pictures)
            raise ZeroDivisionError
    assert await settled(before) == before


HOST = """
import asyncio, sys
from sport.sandbox import ForkSandbox
async def main():
    sandbox = ForkSandbox(tier=sys.argv[1])
    base = await sandbox.open()
    print(base.workspace.parents[1], flush=True)
    await sandbox.run(base, ["while True: pass", "import time; time.sleep(60)"])
asyncio.run(main())
"""


@pytest.mark.parametrize("tier", ["strong", "standard"])
def test_a_killed_host_leaves_nothing(tier: str) -> None:
    host = subprocess.Popen([sys.executable, "-c", HOST, tier], stdout=subprocess.PIPE, text=True)
    assert host.stdout is not None
    with host.stdout:
        root = Path(host.stdout.readline().strip())
    assert root.name.startswith(PREFIX)
    deadline = time.monotonic() + 20
    while len(left := psutil.Process(host.pid).children(recursive=True)) < 4:
        assert time.monotonic() < deadline, "it did not start its candidates"
        time.sleep(0.05)
    host.send_signal(signal.SIGKILL)
    host.wait()
    deadline = time.monotonic() + 10
    _, alive = psutil.wait_procs(left, timeout=10)
    assert not alive
    while root.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not root.exists()


FORKING = """
import asyncio, sys
from sport.sandbox import ForkSandbox, Limits
BURST = "import os\\nfor _ in range(9):\\n    if os.fork() == 0: os._exit(0)\\nos._exit(0)"
async def main():
    sandbox = ForkSandbox(tier=sys.argv[1], limits=Limits(processes=6))
    base = await sandbox.open()
    print(base.workspace.parents[1], flush=True)
    while True:
        outcomes = await sandbox.run(base, [BURST, "x = 1", BURST])
asyncio.run(main())
"""
"""It forks, and is asked whether code may fork, all the time."""


@pytest.mark.slow
@pytest.mark.parametrize("tier", ["strong", "standard"])
def test_a_host_killed_while_it_forks_leaves_nothing(tier: str) -> None:
    chance = random.Random(tier)
    for _ in range(12):
        with subprocess.Popen(
            [sys.executable, "-c", FORKING, tier], stdout=subprocess.PIPE, text=True
        ) as host:
            assert host.stdout is not None
            root = Path(host.stdout.readline().strip())
            time.sleep(chance.uniform(0, 0.3))
            host.send_signal(signal.SIGSTOP)  # it makes no more while they are listed
            left = psutil.Process(host.pid).children(recursive=True)
            host.send_signal(signal.SIGKILL)
        assert root.name.startswith(PREFIX)
        deadline = time.monotonic() + 2
        while (root.exists() or any(map(_goes_on, left))) and time.monotonic() < deadline:
            time.sleep(0.02)
        alive = list(filter(_goes_on, left))
        held = [p.pid for p in psutil.process_iter() if str(root) in _paths(p)]
        assert (alive, held, root.exists()) == ([], [], False)


def _goes_on(process: psutil.Process) -> bool:
    """Whether it has not ended; when it is reaped is up to the machine's first process."""
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _paths(process: psutil.Process) -> str:
    """Where a process works: one that was forked after all were listed shows by that."""
    try:
        return os.readlink(f"/proc/{process.pid}/cwd")
    except OSError:
        return ""


async def test_folders_of_dead_hosts_are_swept(tmp_path: Path) -> None:
    dead = Path(tempfile.mkdtemp(prefix=PREFIX, dir=tmp_path))
    (dead / "lock").touch()
    (dead / "w0").mkdir()
    unrelated = tmp_path / "other"
    unrelated.mkdir()
    async with ForkSandbox(folder=tmp_path) as sandbox, ForkSandbox(folder=tmp_path) as second:
        first = (await sandbox.open()).workspace
        assert not dead.exists()
        assert (await second.open()).workspace.exists()
        assert first.exists(), "the folder of a living host is left alone"
    assert list(tmp_path.iterdir()) == [unrelated]


async def test_many_sandboxes_at_once() -> None:
    before = await calm()
    sandboxes = [ForkSandbox(limits=Limits()) for _ in range(4)]

    async def once(sandbox: ForkSandbox, number: int) -> str | None:
        base = await sandbox.open()
        [outcome] = await sandbox.run(base, [f"{number}"])
        return outcome.value

    values = await asyncio.gather(*(once(s, i) for i, s in enumerate(sandboxes)))
    assert values == ["0", "1", "2", "3"]
    await asyncio.gather(*(s.close() for s in sandboxes))
    assert await settled(before) == before


@pytest.mark.slow
async def test_256_sandboxes_are_open_at_once() -> None:
    before = await calm()
    sandboxes = [ForkSandbox() for _ in range(256)]

    async def once(sandbox: ForkSandbox, number: int) -> str | None:
        base = await sandbox.open()
        [outcome] = await sandbox.run(base, [f"{number}"])
        return outcome.value

    try:
        for first in range(0, 256, 16):
            few = enumerate(sandboxes[first : first + 16], first)
            await asyncio.gather(*(once(s, i) for i, s in few))
        values = await asyncio.gather(*(once(s, i) for i, s in enumerate(sandboxes)))
    finally:
        await asyncio.gather(*(s.close() for s in sandboxes))
    assert values == [str(i) for i in range(256)]
    assert await settled(before) == before


HOSTILE_KINDS = (
    HOSTILE,
    "import os\nfor _ in range(8): os.fork()",
    "import os\nos.close(3)",
    "x = b'x' * (300 << 20)",
    "import ctypes\nctypes.string_at(0)",
    "for i in range(50): open(f'f{i}', 'wb').write(bytes(1 << 20))",
    "import os\nos.write(3, b'\\xff' * 64)",
    "while True: pass",
    "import os, time\nif os.fork() == 0: time.sleep(60)\nos._exit(0)",
    "import threading, time\nfor _ in range(40): threading.Thread(target=time.sleep, "
    "args=(9,)).start()",
)


def resident() -> int:
    """Memory of this process, in bytes."""
    return int(psutil.Process().memory_info().rss)


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_soak(pictures: Path) -> None:
    """A thousand steps of five candidates, a tenth of them hostile."""
    limits = Limits(wall_s=3, cpu_s=0.2, memory_mb=128, disk_mb=16, processes=16)
    async with ForkSandbox(limits=limits) as sandbox:

        async def trajectory(number: int) -> int:
            base = await sandbox.open(pictures)
            hostile = 0
            for step in range(10):
                codes = [f"x = {step}\nopen('x.txt', 'w').write('x')"] * 5
                if step % 2:
                    codes[1 + step % 3] = HOSTILE_KINDS[(number + step // 2) % len(HOSTILE_KINDS)]
                    hostile += 1
                outcomes = await sandbox.run(base, codes)
                assert (outcomes[0].status, outcomes[4].status) == ("ok", "ok"), outcomes
                base = await sandbox.commit(outcomes[0])
            await sandbox.discard(base)
            return hostile

        root = (await sandbox.open()).workspace.parents[1]
        await asyncio.gather(*map(trajectory, range(4)))
        before, folders, memory = await calm(), sorted(os.listdir(root)), resident()
        hostile = 0
        for first in range(0, 100, 4):
            hostile += sum(await asyncio.gather(*map(trajectory, range(first, first + 4))))
        assert hostile == 500, "a tenth of 5,000"
        assert await settled(before) == before
        assert sorted(os.listdir(root)) == folders
        assert resident() - memory < 32 << 20
