"""What a candidate costs, side by side with other ways, and with many worlds at once.

python benchmarks/sandbox.py [--tier strong] [--repeats 5] [--worlds 64] [--json results.json]

CPU time is of this process and all that it starts, the dead included. Other ways need the extra
`bench` (cloudpickle, smolagents); those that are missing are named and left out.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from isolation import Copied, Forked, Fresh, Replayed, Way

from sport.sandbox import ForkSandbox, Limits, Snapshot

CODES = ["x = 1", "x = 2\nprint(x)", "y = sum(range(100))\ny", "print('hello')", "final_answer(3)"]
STATE = (
    "import numpy\narray = numpy.random.default_rng(0).random(20_000_000)\n"
    "table = {i: (str(i), float(i)) for i in range(200_000)}"
)
"""About 200 MB: one array of 160 MB, and many small objects."""

LOOKS = [f"x = float(array[{i}]) + len(table)\nx" for i in range(5)]

# What a step makes, and an expression over it; two candidates must both find it, and alike.
KINDS = {
    "function": ("def f(x): return x + 1", "f(1)"),
    "class and object": ("class A:\n    x = 1\na = A()", "(type(a) is A, a.x)"),
    "generator": ("g = (i * i for i in range(9)); next(g)", "next(g)"),
    "iterator": ("import itertools\nn = itertools.count(3)", "next(n)"),
    "lock": ("import threading\nlock = threading.Lock()", "lock.acquire(timeout=1)"),
    "open file at its offset": (
        "import tempfile\nf = tempfile.TemporaryFile('w+'); f.write('hello'); f.seek(2)",
        "f.read()",
    ),
    "data base in memory": (
        "import sqlite3\nd = sqlite3.connect(':memory:')\n_ = d.execute('create table t (x)')",
        "d.execute('select count(*) from t').fetchone()",
    ),
    "drawn by chance": ("import os\ntoken = os.urandom(8)", "token"),
    "time of a reading": ("import time\nread = time.time()", "read"),
    "patched module": ("import string\nstring.mine = 1", "string.mine"),
}


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


async def timed(meter: Meter, way: Way, codes: list[str], repeats: int) -> dict[str, float]:
    """Medians of a step of five candidates, in milliseconds."""
    cpus, walls = [], []
    expected = await way.step(codes)  # the first step warms up
    for _ in range(repeats):
        cpu, wall = meter.cpu_s(), time.perf_counter()
        values = await way.step(codes)
        cpus.append(1000 * (meter.cpu_s() - cpu))
        walls.append(1000 * (time.perf_counter() - wall))
        assert values == expected and None not in values, (way.name, values)
    return {"cpu_ms": statistics.median(cpus), "wall_ms": statistics.median(walls)}


async def lost(make: Callable[[], Way]) -> list[str]:
    """The kinds of state that a way loses."""
    found = []
    for kind, (setup, use) in KINDS.items():
        way = make()
        try:
            await way.start(setup + "\nNone")
            values = await way.step([use, use])
            if None in values or values[0] != values[1]:
                found.append(kind)
        except Exception as error:
            # Whatever a way raises, the kind is lost in it.
            found.append(f"{kind} ({type(error).__name__})")
        finally:
            await way.close()
    return found


async def compare(meter: Meter, options: argparse.Namespace) -> dict[str, Any]:
    """Five candidates over 200 MB of state, in each way."""
    ways: list[Callable[[], Way]] = [lambda: Forked(options.tier), Fresh, Copied, Replayed]
    rows: dict[str, Any] = {}
    for make in ways:
        try:
            way = make()
            await way.start(STATE)
        except ImportError as error:
            print(f"left out: {error}. pip install 'sport-agents[bench]'")
            continue
        row: dict[str, Any] = await timed(meter, way, LOOKS, options.repeats)
        row["load"] = os.getloadavg()[0]
        await way.close()
        row["loses"] = await lost(make)
        rows[way.name] = row
        print(
            f"{way.name:29} {row['cpu_ms']:9.1f} CPU ms {row['wall_ms']:9.1f} ms wall   "
            f"load {row['load']:.2f}   loses: {', '.join(row['loses']) or 'nothing'}",
            flush=True,
        )
    return rows


async def trivial(meter: Meter, options: argparse.Namespace) -> dict[str, Any]:
    """Five trivial candidates, one world at a time."""
    way = Forked(options.tier)
    await way.start("None")
    row: dict[str, Any] = await timed(meter, way, ["1"] * 5, min(options.repeats, 11))
    row["tier"] = way.sandbox.tier
    await way.close()
    return row


async def steps(sandbox: ForkSandbox, folder: Path, count: int) -> None:
    """One trajectory."""
    base: Snapshot = await sandbox.open(folder)
    for step in range(count):
        outcomes = await sandbox.run(base, CODES, seed=step)
        base = await sandbox.commit(outcomes[step % len(CODES)])
    await sandbox.discard(base)


async def crowd(meter: Meter, options: argparse.Namespace) -> dict[str, Any]:
    """Many worlds at once: CPU milliseconds of one candidate, medians of some repeats."""
    opens, runs, hosts, walls = [], [], [], []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "image_0.png").write_bytes(os.urandom(20_000))
        async with ForkSandbox({}, Limits(), tier=options.tier) as sandbox:
            await steps(sandbox, folder, 1)
            for _ in range(options.repeats):
                opens.append(await _opening(meter, sandbox, folder, options.worlds))
                run, host, wall = await _running(meter, sandbox, folder, options)
                runs.append(run - opens[-1] / options.steps / len(CODES))
                hosts.append(host)
                walls.append(wall)
            tier = sandbox.tier
    figures = {"open": opens, "candidate": runs, "host": hosts, "wall": walls}
    medians = {f"{k}_ms": 1000 * statistics.median(v) for k, v in figures.items()}
    return {"tier": tier, "load": os.getloadavg()[0], **medians}


async def _opening(meter: Meter, sandbox: ForkSandbox, folder: Path, count: int) -> float:
    before = meter.cpu_s()
    worlds = [await sandbox.open(folder) for _ in range(count)]
    for world in worlds:
        await sandbox.discard(world)
    return (meter.cpu_s() - before) / count


async def _running(
    meter: Meter, sandbox: ForkSandbox, folder: Path, options: argparse.Namespace
) -> tuple[float, float, float]:
    before, began = meter.cpu_s(), time.perf_counter()
    mine = resource.getrusage(resource.RUSAGE_SELF)
    await asyncio.gather(*(steps(sandbox, folder, options.steps) for _ in range(options.worlds)))
    count = options.worlds * options.steps * len(CODES)
    now = resource.getrusage(resource.RUSAGE_SELF)
    host = now.ru_utime + now.ru_stime - mine.ru_utime - mine.ru_stime
    return (
        (meter.cpu_s() - before) / count,
        host / count,
        (time.perf_counter() - began) / count,
    )


async def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tier", default=None)
    parser.add_argument("--worlds", type=int, default=64)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path, default=None, help="where the figures go, too")
    options = parser.parse_args()
    with Meter() as meter:
        print(f"five candidates over 200 MB of state, medians of {options.repeats}")
        rows = await compare(meter, options)
        few = await trivial(meter, options)
        many = await crowd(meter, options)
    print(f"five trivial candidates, tier {few['tier']}: {few['cpu_ms']:.1f} CPU ms, "
          f"{few['wall_ms']:.1f} ms wall")  # fmt: skip
    print(f"{options.worlds} worlds at once, tier {many['tier']}, load {many['load']:.2f}: "
          f"{many['candidate_ms']:.2f} CPU ms a candidate")  # fmt: skip
    print(f"  of which host {many['host_ms']:.2f}; {many['wall_ms']:.2f} ms wall")
    print(f"  opening a world {many['open_ms']:.2f} CPU ms")
    if Fresh.name in rows:
        share = rows[Forked.name]["cpu_ms"] / rows[Fresh.name]["cpu_ms"]
        print(f"of the CPU time of fresh processes: {100 * share:.1f} % (wanted: at most 10 %)")
    if options.json:
        figures = {"state": rows, "trivial": few, "crowd": many}
        options.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    asyncio.run(main())
