"""What a candidate costs: CPU milliseconds, host included, and wall time.

python benchmarks/sandbox.py [--tier strong] [--worlds 64] [--steps 3]
"""

from __future__ import annotations

import argparse
import asyncio
import os
import resource
import statistics
import tempfile
import time
from pathlib import Path

from sport.sandbox import ForkSandbox, Limits, Snapshot

CODES = ["x = 1", "x = 2\nprint(x)", "y = sum(range(100))\ny", "print('hello')", "final_answer(3)"]


class Meter:
    """CPU time of this process and all that it starts, the dead included, by a control group.

    Candidates are reaped by the kernel without a trace in their parents' accounts, so nothing
    less will do. Needs a writable cpuacct (v1) or unified (v2) hierarchy, which root has.
    """

    _PLACES = (("/sys/fs/cgroup/cpuacct", "cpuacct.usage"), ("/sys/fs/cgroup", "cpu.stat"))

    def __enter__(self) -> Meter:
        """Moves this process into a group of its own."""
        for place, file in self._PLACES:
            if Path(place, "cgroup.procs").exists():
                self._home = Path(place)
                self._group = Path(place, f"sport-bench-{os.getpid()}")
                self._file = self._group / file
                self._group.mkdir()
                (self._group / "cgroup.procs").write_text(str(os.getpid()))
                return self
        raise SystemExit("this benchmark needs a writable cgroup hierarchy: run it as root")

    def __exit__(self, *_: object) -> None:
        """Moves it back."""
        (self._home / "cgroup.procs").write_text(str(os.getpid()))
        self._group.rmdir()

    def cpu_s(self) -> float:
        """Seconds so far."""
        text = self._file.read_text()
        return int(text) / 1e9 if text.strip().isdigit() else int(text.split()[1]) / 1e6


async def steps(sandbox: ForkSandbox, folder: Path, count: int) -> None:
    """One trajectory."""
    base: Snapshot = await sandbox.open(folder)
    for step in range(count):
        outcomes = await sandbox.run(base, CODES, seed=step)
        base = await sandbox.commit(outcomes[step % len(CODES)])
    await sandbox.discard(base)


async def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tier", default=None)
    parser.add_argument("--worlds", type=int, default=64)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    with Meter() as meter, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "image_0.png").write_bytes(os.urandom(20_000))
        async with ForkSandbox({}, Limits(), tier=options.tier) as sandbox:
            await steps(sandbox, folder, 1)
            await measure(meter, sandbox, folder, options)


async def measure(
    meter: Meter, sandbox: ForkSandbox, folder: Path, options: argparse.Namespace
) -> None:
    """Prints the medians of some repeats."""
    opens, runs, walls, host = [], [], [], []
    for _ in range(options.repeats):
        before = meter.cpu_s()
        worlds = [await sandbox.open(folder) for _ in range(options.worlds)]
        for world in worlds:
            await sandbox.discard(world)
        opens.append((meter.cpu_s() - before) / options.worlds)
        before, began = meter.cpu_s(), time.perf_counter()
        mine = resource.getrusage(resource.RUSAGE_SELF)
        await asyncio.gather(
            *(steps(sandbox, folder, options.steps) for _ in range(options.worlds))
        )
        count = options.worlds * options.steps * len(CODES)
        spent = meter.cpu_s() - before - opens[-1] * options.worlds
        now = resource.getrusage(resource.RUSAGE_SELF)
        host.append((now.ru_utime + now.ru_stime - mine.ru_utime - mine.ru_stime) / count)
        runs.append(spent / count)
        walls.append((time.perf_counter() - began) / count)
    print(f"tier {sandbox.tier}, {options.worlds} worlds at once, {len(CODES)} candidates a step")
    print(f"load average {os.getloadavg()[0]:.2f}")
    print(f"world open and discard: {1000 * statistics.median(opens):.2f} CPU ms")
    print(f"candidate: {1000 * statistics.median(runs):.2f} CPU ms")
    print(f"  of which host: {1000 * statistics.median(host):.2f} CPU ms")
    print(f"  wall: {1000 * statistics.median(walls):.2f} ms")


if __name__ == "__main__":
    asyncio.run(main())
